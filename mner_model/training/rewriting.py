"""More posts from those with gold: the same ones as people also write them, with the gold carried over.

Feeds are full of what edited text has little of: all in lower case, all in capitals, names as hashtags, and names with
a sign of their own in them (Levi's, H&M, Jr.). Each copy is one post rewritten in one of these ways. Beside them there
are posts that are lists of names, one a line.
"""

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import regex

from mner_model.data.conll import example_from_words
from mner_model.data.examples import Example, SpanExample, WordExample
from mner_model.text.labels import Span, spans_lenient
from mner_model.text.tokenizer import tokenize

# people know them, and few are in any set of posts
_NAMES = {
    "ORG": (
        "Levi's|Domino's|Kohl's|Lowe's|Denny's|Arby's|Sotheby's|Christie's|Moody's|Trader Joe's|Sainsbury's|Kellogg's|"
        "Hershey's|Ben & Jerry's|Victoria's Secret|Dunkin' Donuts|Marks & Spencer|Ernst & Young|Dolce & Gabbana|"
        "Smith & Wesson|Abercrombie & Fitch|Crate & Barrel|Bed Bath & Beyond|Tiffany & Co.|H&M|A&E|P&G|M&S|B&Q|S&P|"
        "Tesla Inc.|Alphabet Inc.|Ford Motor Co.|Warner Bros.|News Corp.|U.N.|C.I.A.|F.C. Barcelona|Coca-Cola|"
        "Rolls-Royce|Hewlett-Packard|Mercedes-Benz|Harley-Davidson|7-Eleven|Chick-fil-A|Booking.com|Yahoo!"
    ),
    "LOC": (
        "U.K.|D.C.|N.Y.|U.A.E.|N.J.|Stratford-upon-Avon|Baden-Baden|Port-au-Prince|Guinea-Bissau|Wilkes-Barre|"
        "Aix-en-Provence|Rhône-Alpes|St. Paul|St. Petersburg|Martha's Vineyard|Hawai'i|King's Cross|Land's End"
    ),
    "PER": (
        "Martin Luther King Jr.|Sammy Davis Jr.|Ken Griffey Jr.|Harry Connick Jr.|George R.R. Martin|J.R.R. Tolkien|"
        "Daniel Day-Lewis|Catherine Zeta-Jones|Jean-Paul Sartre|Kim Jong-un|Samuel L. Jackson|Dr. Dre|Sinéad O'Connor|"
        "Conan O'Brien|will.i.am|21 Savage|2 Chainz"
    ),
}
_LISTS = {type_: names.split("|") for type_, names in _NAMES.items()}
_WORD = regex.compile(r"[\p{L}\p{N}]+")

Rewriting = Callable[[random.Random, Example], Example | None]


def rewritten(examples: Iterable[Example], share: float, seed: int) -> list[Example]:
    """Copies of about this share of the examples, each rewritten (none that would stay as it is), and lists."""
    drawn = random.Random(f"{seed}/rewritten")  # noqa: S311 (nothing secret)
    examples = list(examples)
    copies = [copy for copy in _copies(drawn, examples, share) if copy is not None]
    return [*copies, *_lists(drawn, examples, round(_LISTS_SHARE * len(copies)))]


def _copies(drawn: random.Random, examples: Iterable[Example], share: float) -> Iterator[Example | None]:
    for example in examples:
        if drawn.random() < share:
            [rewriting] = drawn.choices(_REWRITINGS, _WEIGHTS)
            yield rewriting(drawn, example)


def _lists(drawn: random.Random, examples: Sequence[Example], count: int) -> Iterator[Example]:
    """Posts that are nothing but names, one a line: of one language each, and of one set's types."""
    names: dict[tuple[str | None, tuple[str, ...]], list[tuple[str, str]]] = {}
    for example in examples:
        names.setdefault((example.lang, example.types), []).extend(
            (surface.strip("#@ "), type_) for surface, type_ in example.mentions()
        )
    pools = {about: of_set for about, of_set in names.items() if of_set}
    if not pools:
        return
    for _ in range(count):
        [(lang, types)] = drawn.choices([*pools], [len(of_set) for of_set in pools.values()])
        listed = drawn.choices(pools[lang, types], k=drawn.randint(1, 6))
        before = drawn.choice(("", "", "- ", "• ", "1. "))
        written = drawn.choice((str, str, str.lower))
        text, spans = "", []
        for surface, type_ in listed:
            text += ("\n" if text else "") + before
            spans.append(Span(len(text), len(text) + len(surface), type_))
            text += surface
        if len(written(text)) == len(text) and all(span.start < span.end for span in spans):
            text = written(text)
            yield SpanExample(text, tokenize(text), lang=lang, types=types, spans=tuple(spans))


def _in_lower_case(drawn: random.Random, example: Example) -> Example | None:
    return _with_letters(example, str.lower)


def _in_capitals(drawn: random.Random, example: Example) -> Example | None:
    return _with_letters(example, str.upper)


def _as_hashtag(drawn: random.Random, example: Example) -> Example | None:
    """One of its names as a hashtag: Serena Williams becomes #SerenaWilliams, or #serenawilliams."""

    def hashtag(surface: str, type_: str) -> str | None:
        words = _WORD.findall(surface)
        if not words or len(words) > 4 or any(_is_spaceless(word) for word in words):
            return None
        whole = "".join(word[:1].upper() + word[1:] for word in words)
        return "#" + (whole if drawn.random() < 0.7 else whole.lower())

    return _with_a_name_changed(drawn, example, hashtag)


def _with_another_name(drawn: random.Random, example: Example) -> Example | None:
    """One of its names changed for one of the same type that has a sign in it; in English posts."""
    if example.lang not in (None, "en"):
        return None

    def another(_: str, type_: str) -> str | None:
        return drawn.choice(_LISTS[type_]) if type_ in _LISTS else None

    return _with_a_name_changed(drawn, example, another)


_REWRITINGS: Sequence[Rewriting] = (_in_lower_case, _in_capitals, _as_hashtag, _with_another_name)
_WEIGHTS = (4, 1, 2, 2)
_LISTS_SHARE = 0.1  # so many more for each copy


def _with_letters(example: Example, written: Callable[[str], str]) -> Example | None:
    text = written(example.text)
    if text == example.text or len(text) != len(example.text):  # İ in lower case is two code points
        return None
    if isinstance(example, SpanExample):
        return replace(example, text=text, tokens=tokenize(text))
    if isinstance(example, WordExample):
        return _of_words(example, [written(word) for word in example.words], example.tags)
    return None


def _with_a_name_changed(
    drawn: random.Random, example: Example, change: Callable[[str, str], str | None]
) -> Example | None:
    """change: from surface and type to what stands there instead, None for nothing else; a # is outside the mention."""
    if isinstance(example, SpanExample) and example.spans:
        return _span_changed(example, drawn.choice(example.spans), change)
    if isinstance(example, WordExample) and (spans := spans_lenient(example.tags)):
        return _words_changed(example, drawn.choice(spans), change)
    return None


def _span_changed(example: SpanExample, span: Span, change: Callable[[str, str], str | None]) -> Example | None:
    new = change(example.text[span.start : span.end], span.type)
    before = example.text[: span.start]
    if new is None or (new.startswith("#") and before and not before[-1].isspace()):
        return None
    text = before + new + example.text[span.end :]
    further = len(new) - (span.end - span.start)
    spans = tuple(
        Span(one.start + new.startswith("#"), one.end + further, one.type)
        if one == span
        else Span(one.start + further, one.end + further, one.type)
        if one.start > span.start
        else one
        for one in example.spans
    )
    return replace(example, text=text, tokens=tokenize(text), spans=spans)


def _words_changed(example: WordExample, span: Span, change: Callable[[str, str], str | None]) -> Example | None:
    if span.start and example.words[span.start - 1] in ("#", "@"):
        return None
    new = change(" ".join(example.words[span.start : span.end]), span.type)
    if new is None:
        return None
    words = new.split()
    tags = [f"B-{span.type}", *[f"I-{span.type}"] * (len(words) - 1)]
    return _of_words(
        example,
        [*example.words[: span.start], *words, *example.words[span.end :]],
        [*example.tags[: span.start], *tags, *example.tags[span.end :]],
    )


def _of_words(example: WordExample, words: Sequence[str], tags: Sequence[str]) -> WordExample:
    return example_from_words(words, tags, example.image_id, example.caption)


def _is_spaceless(word: str) -> bool:
    return regex.search(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}]", word) is not None
