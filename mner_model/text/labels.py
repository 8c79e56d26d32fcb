"""Entity types, BIO tags, and the two ways of reading spans from tags.

Twitter-2015's gold holds I- tags that continue nothing ("orphans"). IOB2 says that such a tag
starts nothing (strict); the conlleval script lets it start a mention (lenient). Both readings
live here, named, so that no score is ever of an unknown kind.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

ENTITY_TYPES = ("PER", "LOC", "ORG", "MISC")
OUTSIDE = "O"


class Span(NamedTuple):
    """A mention in token positions: `start` inclusive, `end` exclusive."""

    start: int
    end: int
    type: str


@dataclass(frozen=True)
class TagSet:
    """The BIO tags of a list of entity types, in the order of the tagger's outputs: O, B-PER, I-PER, …"""

    types: tuple[str, ...] = ENTITY_TYPES
    tags: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        if not self.types or len(set(self.types)) != len(self.types):
            raise ValueError(f"expected one or more distinct entity types, got {self.types!r}")
        tags = (OUTSIDE, *(f"{prefix}-{type_}" for type_ in self.types for prefix in "BI"))
        object.__setattr__(self, "tags", tags)

    def __len__(self) -> int:
        return len(self.tags)

    def index(self, tag: str) -> int:
        """Output position of `tag`; raises ValueError naming the tag and the tags there are."""
        try:
            return self.tags.index(tag)
        except ValueError:
            raise ValueError(f"unknown tag {tag!r}: expected one of {', '.join(self.tags)}") from None

    def may_follow(self, previous: str | None, tag: str) -> bool:
        """Whether BIO allows `tag` after `previous` (None: at the start of a post)."""
        if not tag.startswith("I-"):
            return True
        return previous is not None and previous != OUTSIDE and previous[2:] == tag[2:]

    def begin(self, type_: str) -> int:
        """Output position of the tag that begins a mention of this type."""
        return 1 + 2 * self.types.index(type_)


def repair(tags: Iterable[str]) -> tuple[str, ...]:
    """Turns every orphan I- tag into the B- tag of its type; a sound sequence is returned as it is."""
    repaired: list[str] = []
    previous = OUTSIDE
    for tag in tags:
        orphan = tag.startswith("I-") and previous[2:] != tag[2:]
        repaired.append(f"B-{tag[2:]}" if orphan else tag)
        previous = tag
    return tuple(repaired)


def spans_strict(tags: Sequence[str]) -> list[Span]:
    """Mentions as IOB2 has them: only a B- tag starts one, an orphan I- starts nothing."""
    spans: list[Span] = []
    start = 0
    open_type: str | None = None
    for position, tag in enumerate((*tags, OUTSIDE)):
        if open_type is not None and tag != f"I-{open_type}":
            spans.append(Span(start, position, open_type))
            open_type = None
        if tag.startswith("B-"):
            start, open_type = position, tag[2:]
    return spans


def spans_lenient(tags: Iterable[str]) -> list[Span]:
    """Mentions as conlleval counts them: an orphan I- starts one."""
    return spans_strict(repair(tags))


def tags_of(spans: Iterable[Span], length: int) -> tuple[str, ...]:
    """BIO tags of `length` tokens with these spans; raises ValueError where two overlap or one leaves the text."""
    tags = [OUTSIDE] * length
    for span in spans:
        if not 0 <= span.start < span.end <= length:
            raise ValueError(f"{span} leaves the {length} tokens")
        if any(tag != OUTSIDE for tag in tags[span.start : span.end]):
            raise ValueError(f"{span} overlaps another span")
        tags[span.start] = f"B-{span.type}"
        tags[span.start + 1 : span.end] = [f"I-{span.type}"] * (span.end - span.start - 1)
    return tuple(tags)
