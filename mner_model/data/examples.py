"""Examples with gold: texts as the tagger reads them, what is to be learned of each, and what of a prediction is right.

Gold comes in two forms. Words with BIO tags (CoNLL) are scored on the words of the file. Spans of the raw text are
scored by their offsets: by exactly what `mner-model tag` would publish.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mner_model.text.labels import ENTITY_TYPES, OUTSIDE, Span, TagSet, spans_lenient, spans_strict, tags_of
from mner_model.text.tokenizer import Bound, Tokens

_SIGNS_BEFORE = frozenset("#@")


@dataclass(frozen=True)
class Judged:
    """The gold mentions of one post and those predicted, in units of the gold: words of a file, or code points.

    Twice, as `mner_model.text.labels` tells: they differ where the gold has orphan I- tags.
    """

    gold_strict: frozenset[Span]
    gold: frozenset[Span]  # lenient
    predicted_strict: frozenset[Span]
    predicted: frozenset[Span]  # lenient
    surface: Callable[[Span], str]


@dataclass(frozen=True)
class Example(ABC):
    """One post with gold.

    types  those that whoever annotated it looked for; of others it says nothing
    lang   BCP 47, None where it is not known
    """

    text: str
    tokens: Tokens
    image_id: str | None = None
    caption: str | None = None
    lang: str | None = None
    types: tuple[str, ...] = ENTITY_TYPES

    @abstractmethod
    def token_spans(self) -> list[Span]:
        """Gold mentions in positions of the tokens, in order, none over another; where tokens part, a mention ends."""

    @abstractmethod
    def judged(self, predicted: Iterable[Span]) -> Judged:
        """Predicted mentions, in token positions, beside the gold. Types that are not annotated are left out."""

    @abstractmethod
    def gold_lines(self) -> Iterable[str]:
        """The gold as text, for fingerprints."""

    def token_tags(self) -> tuple[str, ...]:
        """BIO tags of the tokens, as the tagger learns them."""
        return tags_of(self.token_spans(), len(self.tokens))

    def allowed(self, tagset: TagSet) -> npt.NDArray[np.bool_] | None:
        """[tokens, tags] which tags the gold leaves open; None where it leaves one for each token."""
        silent = [type_ for type_ in tagset.types if type_ not in self.types]
        if not silent:
            return None
        tags = np.array([tagset.index(tag) for tag in self.token_tags()], dtype=np.int64)
        allowed = np.eye(len(tagset), dtype=np.bool_)[tags]
        for type_ in silent:
            allowed[tags == tagset.index(OUTSIDE), tagset.begin(type_) : tagset.begin(type_) + 2] = True
        return allowed

    def mentions(self) -> list[tuple[str, str]]:
        """Surface and type of each gold mention, read leniently."""
        judged = self.judged(())
        return [(judged.surface(span), span.type) for span in sorted(judged.gold)]


@dataclass(frozen=True)
class WordExample(Example):
    """Gold as tags of words.

    words  [words]          as the file has them
    tags   [words]          as the file has them, orphan I- included, OTHER written MISC
    word_of_token [tokens]  which word each token lies in, the first where it lies in several
    """

    words: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    word_of_token: tuple[int, ...] = ()

    def token_spans(self) -> list[Span]:
        """As `Example` says; tags are repaired, and a # or @ before a name is outside it ("#NBA" is "#" then "NBA")."""
        spans = []
        for span in spans_lenient(self.tags):
            positions = [p for p, word in enumerate(self.word_of_token) if span.start <= word < span.end]
            while len(positions) > 1 and self.tokens.surfaces[positions[0]] in _SIGNS_BEFORE:
                positions.pop(0)
            if positions:
                spans.append(Span(positions[0], positions[-1] + 1, span.type))
        return _within_bounds(spans, self.tokens)

    def word_tags(self, spans: Iterable[Span]) -> tuple[str, ...]:
        """Predicted token spans as tags of the gold words; where two claim one word, the earlier keeps it."""
        tags = [OUTSIDE] * len(self.words)
        for span in sorted(spans):
            first, last = self.word_of_token[span.start], self.word_of_token[span.end - 1]
            if any(tag != OUTSIDE for tag in tags[first : last + 1]):
                continue
            tags[first : last + 1] = [f"B-{span.type}", *[f"I-{span.type}"] * (last - first)]
        return tuple(tags)

    def judged(self, predicted: Iterable[Span]) -> Judged:
        """As `Example` says; in words."""
        return judged_tags(self.words, self.tags, self.word_tags(predicted))

    def gold_lines(self) -> Iterable[str]:
        """Word TAB tag."""
        return (f"{word}\t{tag}" for word, tag in zip(self.words, self.tags, strict=True))


@dataclass(frozen=True)
class SpanExample(Example):
    """Gold as spans of the text.

    spans  code points [start, end) of the text, in order, none over another
    """

    spans: tuple[Span, ...] = ()

    def token_spans(self) -> list[Span]:
        """As `Example` says; a token belongs to a mention in which half of it lies or more."""
        found: list[Span] = []
        position = 0
        for span in self.spans:
            inside = []
            while position < len(self.tokens) and self.tokens.starts[position] < span.end:
                start, end = self.tokens.starts[position], self.tokens.ends[position]
                if 2 * (min(end, span.end) - max(start, span.start)) >= end - start:
                    inside.append(position)
                if end > span.end:
                    break  # the next mention may have the better part of it
                position += 1
            if inside and not (found and inside[0] < found[-1].end):
                found.append(Span(inside[0], inside[-1] + 1, span.type))
        return _within_bounds(found, self.tokens)

    def judged(self, predicted: Iterable[Span]) -> Judged:
        """As `Example` says; in code points."""
        starts, ends = self.tokens.starts, self.tokens.ends
        places = (Span(starts[span.start], ends[span.end - 1], span.type) for span in predicted)
        found = frozenset(place for place in places if place.type in self.types)
        gold = frozenset(self.spans)
        return Judged(gold, gold, found, found, lambda span: self.text[span.start : span.end])

    def gold_lines(self) -> Iterable[str]:
        """The text, then start TAB end TAB type of each mention, then the types that are annotated."""
        yield self.text
        yield from (f"{span.start}\t{span.end}\t{span.type}" for span in self.spans)
        yield ",".join(self.types)


def _within_bounds(spans: Iterable[Span], tokens: Tokens) -> list[Span]:
    """Each cut before the first token that mentions do not run into; none is left of one that is an address."""
    cut = []
    for span in spans:
        if tokens.bounds[span.start] is Bound.APART:
            continue
        stops = (p for p in range(span.start + 1, span.end) if tokens.bounds[p] is not Bound.NONE)
        cut.append(Span(span.start, next(stops, span.end), span.type))
    return cut


def judged_tags(words: Sequence[str], gold: Sequence[str], predicted: Sequence[str]) -> Judged:
    """One post by BIO tags of its words; raises ValueError where their numbers differ."""
    if not len(words) == len(gold) == len(predicted):
        raise ValueError(
            f"expected as many tags as words, got {len(words)} words, {len(gold)} gold and {len(predicted)} predicted "
            "tags"
        )
    return Judged(
        frozenset(spans_strict(gold)),
        frozenset(spans_lenient(gold)),
        frozenset(spans_strict(predicted)),
        frozenset(spans_lenient(predicted)),
        lambda span: " ".join(words[span.start : span.end]),
    )


def fingerprint(examples: Iterable[Example]) -> str:
    """sha256 over the gold in order: two runs with this in common saw the same posts and the same gold."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(("\n".join(example.gold_lines()) + "\n\n").encode())
    return digest.hexdigest()


def tokens_fingerprint(examples: Iterable[Example]) -> str:
    """sha256 over the tokens that this version makes of the posts, in order: another tokenizer learns other posts."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update("\x1f".join(example.tokens.surfaces).encode() + b"\x1e")
    return digest.hexdigest()


def captions_fingerprint(examples: Iterable[Example]) -> str | None:
    """sha256 over the captions in order; None where no example has one."""
    captions = [example.caption for example in examples]
    if not any(captions):
        return None
    return hashlib.sha256("\n".join(caption or "" for caption in captions).encode()).hexdigest()


def mention_count(examples: Iterable[Example]) -> int:
    """Gold mentions, counted leniently."""
    return sum(len(example.mentions()) for example in examples)


def mention_hashes(examples: Iterable[Example]) -> set[int]:
    """`mention_hash` of every gold mention: what a tagger trained on these has seen, without the texts themselves."""
    return {mention_hash(surface, type_) for example in examples for surface, type_ in example.mentions()}


def mention_hash(surface: str, type_: str) -> int:
    """64 bits (signed) of the sha256 of a mention's case-folded surface and its type."""
    digest = hashlib.sha256(f"{type_}\t{surface.casefold()}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
