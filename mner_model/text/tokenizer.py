"""Text as the tagger sees it: tokens with offsets into the text as received, and vocabulary forms.

Training and serving both come through `tokenize`, so a token means the same to both. Offsets count
code points of the text exactly as it arrived; nothing is normalised before they are taken.

`#` and `@` stand alone (Twitter-2017 writes them so, and a mention should read "NBA", not "#NBA"),
as do apostrophes and hyphens. Scripts written without spaces are split by character; marks that
combine (Devanagari vowels, say) and emoji sequences stay whole.
"""

import html
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import regex

URL_FORM = "<url>"
USER_FORM = "<user>"
NUMBER_FORM = "<number>"

_TOKEN = regex.compile(
    r"""
      (?: https?:// | www\. ) [^\s<>"]*                                      # an address, whole
    | & (?: amp | lt | gt | quot | apos | nbsp | \#[0-9]{1,6} ) ;?           # &amp; and its like
    | [\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*   # written without spaces
    | \p{N}+ (?: [.,:] \p{N}+ )+                                             # 1,000  9.5  19:30
    | [\p{L}\p{N}_] (?: [\p{L}\p{M}\p{N}_]
        (?<! [\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}] ) )*
    | ( [.!?*=~-] ) \1+                                                      # ... !!! ---
    | [\s\x1c-\x1f]                                                          # or \X would join it to a mark behind it
    | \X                                                                     # any other sign, emoji whole
    """,
    regex.VERBOSE,
)
_NUMBER = regex.compile(r"\p{N}+(?:[.,:]\p{N}+)*")
_USERNAME = regex.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of one text: surfaces, vocabulary forms and [start, end) code-point offsets, position by position."""

    surfaces: tuple[str, ...]
    forms: tuple[str, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.surfaces)


def tokenize(text: str) -> Tokens:
    """Splits `text`; every non-space code point lies in exactly one token, and no token holds a space at its ends."""
    surfaces: list[str] = []
    forms: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    follows_at = -1  # where an @ ended: a name glued to it is a user's
    for match in _TOKEN.finditer(text):
        surface = match.group()
        if surface.isspace():
            continue
        start, end = match.span()
        surfaces.append(surface)
        forms.append(USER_FORM if start == follows_at and _USERNAME.fullmatch(surface) else vocabulary_form(surface))
        starts.append(start)
        ends.append(end)
        if surface in ("@", "＠"):
            follows_at = end
    return Tokens(tuple(surfaces), tuple(forms), tuple(starts), tuple(ends))


@lru_cache(maxsize=65_536)
def vocabulary_form(surface: str) -> str:
    """The form under which a token is looked up: unescaped, compatibility-normalised, lower-case; addresses as one."""
    if surface.startswith(("http://", "https://", "www.")):
        return URL_FORM
    form = unicodedata.normalize("NFKC", html.unescape(surface)).lower()
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
