"""Spans as annotation tools write them: found in the text, trimmed, with a type, none over another.

Tools do not count alike. Python's count code points; a browser counts UTF-16 units, in which an emoji is two.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Literal, NamedTuple

from mner_model.data.annotation_records import Findings, Record, shown
from mner_model.text.labels import ENTITY_TYPES

Units = Literal["code-points", "utf-16"]

LABEL_ALIASES: Mapping[str, str] = {
    "PERSON": "PER",
    "PERS": "PER",
    "LOCATION": "LOC",
    "GPE": "LOC",
    "ORGANIZATION": "ORG",
    "ORGANISATION": "ORG",
    "OTHER": "MISC",
    "MISCELLANEOUS": "MISC",
}
# Label Studio may write a line break as a backslash and an n, and leaves out spaces that a browser does not show
_UNSURE = re.compile(r"\s+|\\n")


@dataclass(frozen=True)
class GivenSpan:
    """A span as its tool has it: its ends in the tool's units, and its text where the tool wrote that too."""

    start: int
    end: int
    label: object
    text: str | None = None

    def __str__(self) -> str:
        return f"{self.start}–{self.end}"


class Entity(NamedTuple):
    """A mention in code points of its text: `start` inclusive, `end` exclusive."""

    start: int
    end: int
    type: str


@dataclass(frozen=True)
class SpanRules:
    """How spans are read.

    labels  the type of a tool's label, None to leave its spans out; beside the types themselves and LABEL_ALIASES
    units   of the offsets, tried in this order; the first in which all spans of a text fit counts
    """

    labels: Mapping[str, str | None]
    units: Sequence[Units]


class _Misplaced(Exception):
    """A span that does not fit its text; the message says in what."""


def entities_in(
    text: str, spans: Sequence[GivenSpan], rules: SpanRules, types: Sequence[str], record: Record, findings: Findings
) -> tuple[Entity, ...]:
    """The mentions of a text, in its order.

    White space at a span's ends is cut off, and a span that comes twice counts once.
    types     that the text is annotated with

    Raises DataError, with the record's place, for a span that is empty, leaves the text or does not hold what its own
    text says; for two that overlap; for a label without a type, or with one that is not in `types`.
    """
    typed = [(span, _type_of(span.label, rules.labels, types, record, findings)) for span in spans]
    kept = [(span, type_) for span, type_ in typed if type_ is not None]
    given_of: dict[Entity, GivenSpan] = {}
    ends = _ends(text, [span for span, _ in kept], rules.units, record, findings)
    for (span, type_), (start, end) in zip(kept, ends, strict=True):
        entity = Entity(*_trimmed(text, start, end), type_)
        if entity.start == entity.end:
            raise record.error(f"span {span} holds only white space, expected a mention")
        if (entity.start, entity.end) != (start, end):
            findings.changed.add("white space at the ends of a span, cut off", record)
        if entity in given_of:
            findings.left_out.add("span that comes twice", record)
        given_of.setdefault(entity, span)
    _check_apart(text, given_of, record)
    return tuple(sorted(given_of))


def _type_of(
    label: object, said: Mapping[str, str | None], types: Sequence[str], record: Record, findings: Findings
) -> str | None:
    """The type of a label; None where its spans are left out."""
    name = label if isinstance(label, str) else ""
    findings.labels.add(name)
    if name in said:
        type_ = said[name]
    else:
        plain = name.strip().upper()
        type_ = LABEL_ALIASES.get(plain, plain)
        if type_ not in ENTITY_TYPES:
            raise record.error(
                f"unknown label {shown(label)}, expected one of {', '.join(ENTITY_TYPES)}, "
                "or --type LABEL=TYPE for it (--type LABEL= leaves it out)"
            )
    if type_ is None:
        findings.left_out.add(f"label {shown(label)}", record)
    elif type_ not in types:
        raise record.error(
            f"label {shown(label)} is {type_}, expected one of {', '.join(types)}, the types that are annotated "
            "(--type LABEL= leaves it out)"
        )
    elif type_ != label:
        findings.changed.add(f"label {shown(label)} to {type_}", record)
    return type_


def _ends(
    text: str, spans: Sequence[GivenSpan], units: Sequence[Units], record: Record, findings: Findings
) -> list[tuple[int, int]]:
    """Start and end of each span in code points, by the first units in which all of them fit."""
    problem = None
    for unit in units:
        offsets = _code_points_at(text, unit)
        try:
            ends = [_place(text, span, offsets) for span in spans]
        except _Misplaced as misplaced:
            problem = problem or misplaced
        else:
            if ends != [(span.start, span.end) for span in spans]:
                findings.changed.add("text with offsets in UTF-16 units, to code points", record)
            return ends
    # of a text without such signs all units are the same
    hint = f" (counted in {' and in '.join(units)}; --offsets sets that)" if max(text, default="") > "\uffff" else ""
    raise record.error(f"{problem}{hint}")


def _code_points_at(text: str, unit: Units) -> dict[int, int]:
    """The code point that begins at each offset in these units, and the text's end."""
    if unit == "code-points":
        return {offset: offset for offset in range(len(text) + 1)}
    widths = (2 if character > "\uffff" else 1 for character in text)
    return {offset: position for position, offset in enumerate(accumulate(widths, initial=0))}


def _place(text: str, span: GivenSpan, offsets: dict[int, int]) -> tuple[int, int]:
    if span.start >= span.end:
        raise _Misplaced(f"span {span} is empty, expected an end behind its start")
    last = next(reversed(offsets))
    if span.start < 0 or span.end > last:
        raise _Misplaced(f"span {span} lies outside the text, expected offsets from 0 to {last}")
    start, end = offsets.get(span.start), offsets.get(span.end)
    if start is None or end is None:
        raise _Misplaced(f"span {span} begins or ends inside a sign, expected whole signs")
    if span.text is not None and _UNSURE.sub("", text[start:end]) != _UNSURE.sub("", span.text):
        raise _Misplaced(f"span {span} holds {text[start:end]!r:.60}, expected {span.text!r:.60} as its own text says")
    return start, end


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    surface = text[start:end]
    start = end - len(surface.lstrip())
    return start, start + len(surface.strip())


def _check_apart(text: str, given_of: Mapping[Entity, GivenSpan], record: Record) -> None:
    for first, second in pairwise(sorted(given_of)):
        if second.start < first.end:
            both = " and ".join(
                f"{given_of[one]} ({one.type} {text[one.start : one.end]!r:.60})" for one in (first, second)
            )
            raise record.error(f"spans {both} overlap, expected each sign in one span at most")
