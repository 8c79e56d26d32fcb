"""Strangers' text made legible: on a terminal, and in a picture whose fonts have not every sign.

matplotlib comes with DejaVu Sans, which has no CJK and few emoji. What further fonts of this machine have is drawn by
them; what none has is named, as a box would say nothing.
"""

import unicodedata
from collections.abc import Iterable, Sequence

FONT = "DejaVu Sans"
# the first has a box for every code point there is; of the others matplotlib draws nothing, as they hold colours alone
_NO_GLYPHS = ("Last Resort", "Color Emoji")


def printable(token: str) -> str:
    """Without what would move the cursor or the text around it; signs that only join or turn others are left out."""
    shown = "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"
        for character in token
        if unicodedata.category(character) != "Cf"
    )
    return shown or _code_points(token)


def shortened(text: str, longest: int) -> str:
    """At most `longest` characters, the last an ellipsis where some were cut off."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def drawable(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """Font families for matplotlib, and the texts in signs that these have.

    An emoji that no font has reads ":ambulance:", any other sign "U+6771".
    """
    shown = [printable(text) for text in texts]
    families, missing = _families({character for text in shown for character in text})
    return families, [_with_names(text, missing) for text in shown]


def _families(characters: set[str]) -> tuple[list[str], set[str]]:
    """DejaVu Sans and as many further families as have something that those before lack; what all of them lack."""
    from matplotlib import font_manager

    families, missing = [FONT], characters - _drawn_by(font_manager.findfont(FONT), characters)
    for family, file in _fonts():
        if not missing:
            break
        if drawn := _drawn_by(file, missing):
            families.append(family)
            missing -= drawn
    return families, missing


def _fonts() -> list[tuple[str, str]]:
    """Family and file of the upright regular fonts of this machine, in an order that does not change."""
    from matplotlib import font_manager

    return sorted(
        (font.name, font.fname)
        for font in font_manager.fontManager.ttflist
        if (font.style, font.weight, font.stretch) == ("normal", 400, "normal")
        and not any(name in font.name for name in _NO_GLYPHS)
    )


def _drawn_by(file: str, characters: Iterable[str]) -> set[str]:
    from matplotlib import font_manager

    try:
        font = font_manager.get_font(file)
    except (OSError, RuntimeError):  # matplotlib's list of fonts is kept from before: some may be gone by now
        return set()
    return {character for character in characters if font.get_char_index(ord(character))}


def _with_names(text: str, missing: set[str]) -> str:
    if missing.isdisjoint(text):
        return text
    return "".join(_name(character) if character in missing else character for character in text).strip() or (
        _code_points(text)
    )


def _name(character: str) -> str:
    match unicodedata.category(character):
        case "So":
            name = unicodedata.name(character, "").lower()
            flag = name.removeprefix("regional indicator symbol letter ")
            return flag.upper() if flag != name else f":{name}:" if name else _code_points(character)
        case "Mn" | "Me" | "Sk":  # what they would stand on is not drawn either
            return ""
        case _:
            return f"{_code_points(character)} "


def _code_points(text: str) -> str:
    return " ".join(f"U+{ord(character):04X}" for character in text)
