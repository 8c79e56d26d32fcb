"""How wide text is, in Arial and what has its widths (Helvetica, Liberation Sans), and text in lines that fit."""

from collections.abc import Iterator

FONT = "Arial, Helvetica, 'Liberation Sans', sans-serif"

# thousandths of the size
_WIDTHS = {
    **dict.fromkeys("'", 191),
    **dict.fromkeys("ijl", 222),
    **dict.fromkeys(" ,.:;ft/I[]", 278),
    **dict.fromkeys("r()-`", 333),
    **dict.fromkeys("ckvxyzsJ", 500),
    **dict.fromkeys("FTZ", 611),
    **dict.fromkeys("ABEKPSVXY", 667),
    **dict.fromkeys("CDHNRUw", 722),
    **dict.fromkeys("GOQ", 778),
    **dict.fromkeys("mM", 833),
    **dict.fromkeys("W→", 1000),
}
_OTHERS = 556
_BOLD = 1.08


def width(text: str, size: float, *, bold: bool = False) -> float:
    """In the units of the size, a little too much rather than too little."""
    return sum(_WIDTHS.get(letter, _OTHERS) for letter in text) * size / 1000 * (_BOLD if bold else 1)


def wrapped(text: str, size: float, widest: float) -> Iterator[str]:
    """The text in lines no wider than that, broken at spaces; a word that is wider stands alone."""
    line = ""
    for word in text.split():
        longer = f"{line} {word}".lstrip()
        if line and width(longer, size) > widest:
            yield line
            longer = word
        line = longer
    yield line
