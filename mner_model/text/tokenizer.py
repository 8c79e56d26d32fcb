"""Text as the tagger sees it: tokens with offsets into the text as received, and vocabulary forms.

Training and serving both come through `tokenize`, so a token means the same to both. What is split is the text as
people read it (`mner_model.text.reading`); offsets count code points of the text exactly as it arrived.

`#` and `@` stand alone (Twitter-2017 writes them so, and a mention should read "NBA", not "#NBA"), as do apostrophes
and hyphens, but 's, AT&T, U.S. and Jr. are tokens of their own. Scripts written without spaces, and Korean, whose
names carry endings, are split by character; marks that combine (Devanagari vowels, say) and emoji sequences stay whole.
"""

import unicodedata
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

import regex

from mner_model.text.reading import LINE_BREAKS, read

URL_FORM = "<url>"
USER_FORM = "<user>"
NUMBER_FORM = "<number>"

_AT = "@＠"
_SPACELESS = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_LETTERS = r"[A-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u0373\u0386\u0388-\u03ff\u0400-\u0481\u048a-\u052f]"
_CASED = r"[\p{Latin}\p{Cyrillic}\p{Greek}]"
# an address ends where a script begins that its writer would not set a space before
_IN_ADDRESS = r"[^\s<>\"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\u3000-\u303f\uff00-\uffef]"
_SITES = "com|org|net|edu|gov|info|biz|io|ai|app|dev|tv|fm|me|ly|gl|gd|co|be|us|uk|eu|de|fr|es|it|nl|pt|br|pl|dk|ru"
_SITES += "|jp|kr|cn|tw|id|ir|in|ca|au|nz|mx|ar|cl|ch|at|se|no|fi|cz|tr|ua|za|ie|cc|to|st|im|is|gg|social|online|xyz"
_SITES += "|blog|news|link|page|live|media|photo|store|shop|site|tech|world|wiki|space|club|art|zone"
_ABBREVIATIONS = "jr|sr|inc|corp|ltd|co|bros|cos|st|mr|mrs|ms|dr|prof|gen|sen|rep|gov|lt|sgt|capt|mt|ft|ave|blvd|univ"
_TOKEN = regex.compile(
    rf"""
      {_LETTERS}++ (?=[\s,!?)]|\Z)                                             # most tokens, at once
    | (?P<space> [\s\x1c-\x1f]+ )                                            # or \X would join it to a mark behind it
    | [,;:"()\#] (?=[\s\w]|\Z)
    | (?P<address>
          (?<![\w{_AT}]) (?i:mailto:)? [A-Za-z0-9_.+-]+ @ [A-Za-z0-9-]+ (?:\.[A-Za-z0-9-]+)* \.[A-Za-z]{{2,}}
        | (?i: https?:// | www\. ) {_IN_ADDRESS}*
        | (?<![\w{_AT}.-]) (?:[A-Za-z0-9-]+\.)+ (?i:{_SITES}) (?::\d+)? / {_IN_ADDRESS}*
        # what makes a user's name a handle on another server
        | (?<= [{_AT}][A-Za-z0-9_.-]{{1,64}} ) @ [A-Za-z0-9-]+ (?:\.[A-Za-z0-9-]+)+
        | (?<= [{_AT}][A-Za-z0-9_-]{{1,64}} ) (?:\.[a-z0-9-]+)* \. (?:{_SITES}) (?![\w-])
      )
    | (?<![\w{_AT}.-]) (?:[A-Za-z0-9-]+\.)+ (?:com|org|net|edu|gov) (?![\w-]|\.\w)    # Amazon.com
    | (?<![\w{_AT}]) {_CASED} (?:\.{_CASED})+ (?!\w) \.?                     # U.S.  J.K.
    | (?<![\w{_AT}]) (?i:{_ABBREVIATIONS})\. (?!\w)                          # Jr.
    | (?<!\w) {_CASED}{{1,3}} & {_CASED}{{1,3}} (?!\w)                       # AT&T
    | (?<=\w) ['’ʼ] (?i:s|re|ve|ll|d|m) (?!\w)                               # Macy's
    | [{_SPACELESS}]\p{{M}}*
    | \p{{N}}+ (?: [.,:] \p{{N}}+ )+                                         # 1,000  9.5  19:30
    | [\p{{L}}\p{{N}}_] (?: (?!https?://) [\p{{L}}\p{{M}}\p{{N}}_\u200c] (?<! [{_SPACELESS}] ) )*
    | (?P<sign> [.!?*=~-] ) (?P=sign)+                                       # ... !!! ---
    | \X                                                                     # any other sign, emoji whole
    """,
    regex.VERBOSE,
)
_NUMBER = regex.compile(r"\p{N}+(?:[.,:]\p{N}+)*")
_USERNAME = regex.compile(r"[A-Za-z0-9_]+")


class Bound(IntEnum):
    """What no reading of a text has mentions run over, token by token."""

    NONE = 0
    BEFORE = 1  # a mention may begin here, but not come from the token before: a line ended, or a user's name
    APART = 2  # no part of any mention: an address


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one text, position by position.

    surfaces      as people read them
    forms         under which they are looked up in a vocabulary
    starts, ends  code points [start, end) of the text as received
    bounds        what mentions may not run over
    """

    surfaces: tuple[str, ...]
    forms: tuple[str, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    bounds: tuple[Bound, ...]

    def __len__(self) -> int:
        return len(self.surfaces)

    def is_glued(self, position: int) -> bool:
        """Whether nothing, no space either, stands between this token and the one before it."""
        return position > 0 and self.starts[position] == self.ends[position - 1]


def tokenize(text: str) -> Tokens:
    """Splits `text`; every code point that is read and no space lies in exactly one token, none has one at its ends."""
    reading = read(text)
    surfaces: list[str] = []
    forms: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    bounds: list[Bound] = []
    is_at = False  # the token before is an @: a name glued to it is a user's
    bound = Bound.NONE
    for match in _TOKEN.finditer(reading.text):
        kind, surface = match.lastgroup, match.group()
        if kind == "space":
            is_at = False
            if surface != " " and not LINE_BREAKS.isdisjoint(surface):
                bound = Bound.BEFORE
            continue
        start, end = reading.place(*match.span())
        surfaces.append(surface)
        starts.append(start)
        ends.append(end)
        following = Bound.NONE
        if kind == "address":
            forms.append(URL_FORM)
            bound = following = Bound.APART
        elif is_at and _USERNAME.fullmatch(surface):
            forms.append(USER_FORM)
            bound = following = Bound.BEFORE
        else:
            forms.append(vocabulary_form(surface))
        bounds.append(bound)
        bound = Bound.BEFORE if following else Bound.NONE
        is_at = surface in _AT
    return Tokens(tuple(surfaces), tuple(forms), tuple(starts), tuple(ends), tuple(bounds))


@lru_cache(maxsize=65_536)
def vocabulary_form(surface: str) -> str:
    """The form under which a token is looked up: compatibility-normalised, lower-case, with plain apostrophes."""
    form = unicodedata.normalize("NFKC", surface).lower()
    if form.startswith("’") and len(form) > 1:
        form = "'" + form[1:]
    return form if form.strip() else surface


def fallback_forms(form: str) -> tuple[str, ...]:
    """Further forms to look a word up by when its own is unknown, best first: goood → good, god; 1,204 → <number>."""
    if _NUMBER.fullmatch(form):
        return (NUMBER_FORM,)
    twice = regex.sub(r"(\p{L})\1{2,}", r"\1\1", form)
    once = regex.sub(r"(\p{L})\1{2,}", r"\1", form)
    bare = "".join(c for c in unicodedata.normalize("NFD", form) if not unicodedata.combining(c))
    candidates = (twice, once, bare, form.strip("_"), form[0] if not form[0].isalnum() else form)
    return tuple(dict.fromkeys(c for c in candidates if c and c != form))
