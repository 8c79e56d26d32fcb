"""Machine captions of images: image id TAB caption, a line each."""

from pathlib import Path

from mner_model.data.lines import DataError, read_lines


def read_captions(path: str | Path) -> dict[str, str]:
    """Reads image id TAB caption lines; an image of which a caption was tried in vain may have an empty one, "" here.

    White space alone is empty too. To `read_conll` an empty caption is none.

    Raises DataError with file and line for a line without id or TAB, and for a second caption of an image that is not
    the first again.
    """
    captions: dict[str, str] = {}
    for number, line in enumerate(read_lines(Path(path)), start=1):
        if not line.strip():
            continue
        image_id, separator, caption = line.partition("\t")
        image_id, caption = image_id.strip(), caption.strip()
        if not separator or not image_id:
            raise DataError(f"{path}:{number}: expected an image id, a TAB and a caption, got {line[:80]!r}")
        if captions.setdefault(image_id, caption) != caption:
            raise DataError(f"{path}:{number}: a second caption of image {image_id}, and not the same")
    return captions
