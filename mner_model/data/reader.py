"""Files of examples, in whatever form their name says."""

from collections.abc import Sequence
from pathlib import Path

from mner_model.data.conll import conll_repairs, read_conll
from mner_model.data.examples import Example
from mner_model.data.lines import DataError
from mner_model.data.spans import read_spans

_SPANS = (".jsonl", ".jsonl.xz")


def read_examples(path: str | Path, captions: str | Path | None = None) -> Sequence[Example]:
    """Posts with gold: raw text with spans from a name that ends in .jsonl or .jsonl.xz, else CoNLL.

    captions  of the images of a CoNLL file

    Raises DataError as `read_spans` and `read_conll` do, and for captions beside spans, which have no images.
    """
    if not _has_spans(path):
        return read_conll(path, captions=captions)
    if captions is not None:
        raise DataError(f"{captions}: no post of {path} can have a caption, as spans come without images")
    return read_spans(path)


def repairs(path: str | Path) -> str | None:
    """What is borne with in a file that is not quite sound, for people; None for a sound one."""
    return None if _has_spans(path) else conll_repairs(path)


def captions_beside(file: Path) -> Path | None:
    """The captions of a file's images: FILE.captions.tsv beside FILE.txt; None where there are none."""
    captions = file.with_suffix(".captions.tsv")
    return captions if captions.exists() and not _has_spans(file) else None


def _has_spans(path: str | Path) -> bool:
    return str(path).endswith(_SPANS)
