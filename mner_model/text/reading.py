"""A text as people read it: HTML resolved, invisible characters gone, styled letters plain, each with its place.

Feeds bring texts as they come: escaped (&eacute;), as HTML (Mastodon), with soft hyphens inside words, in letters that
only look like letters (𝐁𝐨𝐥𝐝, Ｗｉｄｅ). What is read is another text than the one received, but mentions are published
with offsets of the one received; so every code point that is read knows where it came from.
"""

import html
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import regex

LINE_BREAKS = frozenset("\n\r\v\f\x85\u2028\u2029")

# letters that no normalisation knows: small capitals, and white ones on black
_SMALL_CAPITALS = dict(zip("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnoprstuvwyz", strict=True))
_ON_BLACK = {chr(first + i): chr(ord("A") + i) for first in (0x1F150, 0x1F170) for i in range(26)}
_STYLED = _SMALL_CAPITALS | _ON_BLACK
_STYLED_LETTERS = "".join(_STYLED) + "ⓐ-ⓩⒶ-Ⓩ🄰-🅉"
# where letters stand that are another letter, or several, in a shape of their own
_STYLED_BLOCKS = (
    "\u00aa\u00ba\u0132\u0133\u013f\u0140\u0149\u017f\u01c4-\u01cc\u01f1-\u01f3\u02b0-\u02b8\u02e0-\u02e4"
    "\u1d2c-\u1d6a\u1d78\u1d9b-\u1dbf\u2071\u207f\u2090-\u209c\u2c7c\u2c7d"
    "\u2102\u210a-\u2113\u2115\u2119-\u211d\u2124\u2128\u212a-\u212d\u212f-\u2131\u2133-\u2139"
    "\uf900-\ufaff\ufb00-\ufdff\ufe70-\ufefc\uff10-\uff19\uff21-\uff3a\uff41-\uff5a\uff66-\uffdc"
    "\U0001d400-\U0001d7ff\U0001ee00-\U0001eeff\u1100-\u11ff"
)
_STRUCK = "\u0334-\u0338\u20d0-\u20e8"  # drawn over letters: s̶t̶r̶u̶c̶k̶
_MARKS = "\u0300-\u036f\u3099\u309a\uff9e\uff9f\u1160-\u11ff" + _STRUCK
# elements that end a line, and those that lie within one; any other <word> is text
_BLOCKS = "p|br|div|li|ul|ol|blockquote|pre|h[1-6]|tr|table|hr"
_INLINE = "a|span|b|strong|i|em|u|s|del|ins|small|sub|sup|mark|code|td|th|ruby|rt|rp|img"
_SPACES = "\u200b\u2800\u3164\u115f\u1160\uffa0"  # zero-width space, and what is drawn as one
_INVISIBLE = "\u00ad\u034f\u061c\u17b4\u17b5\u180b-\u180e\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
_SPECIAL = regex.compile(
    rf"""
      (?P<block> </?(?i:{_BLOCKS})(?:\s[^<>]*)?/?> )
    | (?P<inline> </?(?i:{_INLINE})(?:\s[^<>]*)?/?> )
    | (?P<reference> &(?:amp;)* (?i: \#[0-9]{{1,7}};? | \#x[0-9a-f]{{1,6}};? | (?:amp|lt|gt|quot|apos|nbsp)\b;?
                                  | [a-z][a-z0-9]{{1,31}}; ) )
    | (?P<space> [{_SPACES}] )
    | (?P<invisible> [{_INVISIBLE}] )
    | (?P<joiner> \u200d (?! \p{{Extended_Pictographic}} ) (?<! \p{{M}}. ) )
    | (?P<letter> (?: [{_STYLED_BLOCKS}{_STYLED_LETTERS}] | \p{{L}}(?=[{_MARKS}]) ) [{_MARKS}]* )
    """,
    regex.VERBOSE,
)
# what no special part is without; most texts have none of it, and the search above takes its time
_ANY_SPECIAL = re.compile(f"[&<\u200d{_SPACES}{_INVISIBLE}{_STYLED_BLOCKS}{_STYLED_LETTERS}{_MARKS}]")
_STRIKES = regex.compile(f"[{_STRUCK}]")


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read of a text as received.

    text    as people read it
    starts  [code points of text]  where in the text received each begins; None where the two are one
    ends    [code points of text]  and where it ends
    """

    text: str
    starts: Sequence[int] | None = None
    ends: Sequence[int] | None = None

    def place(self, start: int, end: int) -> tuple[int, int]:
        """Of what is read from `start` to `end` (exclusive), the place in the text as received."""
        if self.starts is None or self.ends is None:
            return start, end
        return self.starts[start], self.ends[end - 1]


def read(text: str) -> Reading:
    """The text with character references and HTML resolved, invisible characters left out, and letters made plain.

    Elements that end a line (<p>, <br>) become a line break, others nothing. A reference may be escaped again
    (&amp;rsquo;). Letters come in their compatibility form (NFKC), composed: é, not e and an accent.
    """
    is_plain = "&" not in text and "<" not in text if text.isascii() else _ANY_SPECIAL.search(text) is None
    if is_plain:
        return Reading(text)
    parts: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for start, end, meant in _pieces(text):
        parts.append(meant)
        if len(meant) == end - start and meant == text[start:end]:
            starts.extend(range(start, end))
            ends.extend(range(start + 1, end + 1))
        else:
            starts.extend([start] * len(meant))
            ends.extend([end] * len(meant))
    return Reading("".join(parts), starts, ends)


def _pieces(text: str) -> Iterator[tuple[int, int, str]]:
    """Parts of the text in order, each with what it means."""
    at = 0
    for match in _SPECIAL.finditer(text):
        start, end = match.span()
        if start > at:
            yield at, start, text[at:start]
        yield start, end, _meaning(match)
        at = end
    if at < len(text):
        yield at, len(text), text[at:]


def _meaning(match: "regex.Match[str]") -> str:
    kind, received = match.lastgroup, match.group()
    if kind == "block":
        return "\n"
    if kind == "space":
        return " "
    if kind in ("inline", "invisible", "joiner"):
        return ""
    if kind == "letter":
        return _plain(received)
    return _resolved(received)


def _resolved(reference: str) -> str:
    """What a character reference stands for, however often it was escaped; itself where it stands for nothing."""
    meant = reference
    while (once := html.unescape(meant)) != meant:
        meant = once
    if meant == reference:
        return reference
    if len(meant) == 1 and _SPECIAL.fullmatch(meant):
        return _meaning(_SPECIAL.fullmatch(meant))  # type: ignore[arg-type]
    return meant


def _plain(letter: str) -> str:
    """One letter with its marks, as it is meant. One that stands for several words (ﷺ) stays as it is."""
    plain = unicodedata.normalize("NFKC", _STRIKES.sub("", "".join(_STYLED.get(one, one) for one in letter)))
    return letter if " " in plain else plain
