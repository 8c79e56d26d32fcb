"""python scripts/draw_architecture.py

Draws docs/architecture.svg from the imports (`rooms.py`), and makes the lists and tables of docs/architecture.md.

Rows, arrows and the words in the boxes are read from the code. By hand are the columns (`COLUMNS`) and the stops of one
post and of one training (`architecture_picture/stops.py`); what they name must be there, or nothing is written.
"""

import sys
from pathlib import Path

from architecture_picture.page import filled
from architecture_picture.picture import Picture
from architecture_picture.places import PictureRefused
from architecture_picture.stops import POST, TRAINING, NoSuchStop, check

DOCS = Path(__file__).resolve().parents[1] / "docs"
PICTURE, PAGE = DOCS / "architecture.svg", DOCS / "architecture.md"


def made() -> dict[Path, str]:
    """What each file should hold. Raises NoSuchStop or PictureRefused where the code is not as the picture needs it."""
    check(POST)
    check(TRAINING)
    return {PICTURE: Picture().svg(), PAGE: filled(PAGE.read_text(encoding="utf-8"))}


def main() -> None:
    """Write both."""
    try:
        files = made()
    except (NoSuchStop, PictureRefused) as refused:
        sys.exit(f"{refused}; nothing was written")
    for file, content in files.items():
        file.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
