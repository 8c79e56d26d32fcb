"""Languages by their codes: those that there are, those that a tagger learns, and the code in a language tag.

Codes are of two letters, lower case, as ISO 639-1 has them.
"""

import re
from collections.abc import Mapping

ISO_639_1 = frozenset(
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo "
    "es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka "
    "kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng "
    "nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su "
    "sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu".split()
)

LANGUAGE_NAMES: Mapping[str, str] = {
    "da": "Danish",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fa": "Persian",
    "fr": "French",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ru": "Russian",
    "zh": "Chinese",
}
"""What people call the languages that a tagger learns."""

TAGGED_LANGUAGES = tuple(LANGUAGE_NAMES)

# undetermined, several, none that has a code, no language at all; qaa to qtz are free for private use
_SAYS_NOTHING = re.compile(r"|und|mul|mis|zxx|q[a-t][a-z]")
# Withdrawn from ISO 639, with what the registry of BCP 47 prefers; some networks write them to this day.
_WITHDRAWN = {"in": "id", "iw": "he", "ji": "yi", "jw": "jv", "mo": "ro"}


def primary_subtag(tag: str | None) -> str | None:
    """The language that a BCP 47 tag names, without script, region and the rest: `pt` of `pt-BR`, in lower case.

    A code that was withdrawn gives the one in its place: `id` of `in`.

    returns  None of None and of an empty tag, and of what names no language: `und`, `mul`, `zxx`, Twitter's `qme`
    """
    subtag = (tag or "").partition("-")[0].lower()
    return None if _SAYS_NOTHING.fullmatch(subtag) else _WITHDRAWN.get(subtag, subtag)


def check_language(code: object) -> None:
    """Raises ValueError unless this is a BCP 47 tag of a language with a two-letter code: en, pt-BR."""
    well_formed = isinstance(code, str) and re.fullmatch(r"[A-Za-z]{2}(-[A-Za-z0-9]{1,8})*", code)
    if not well_formed or primary_subtag(str(code)) not in ISO_639_1:
        raise ValueError(f"unknown language {code!r}, expected a code such as en or pt-BR")
