"""The parts of a record that several annotation tools write alike: id, text, spans. Each is checked as it is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mner_model.data.annotation_records import Record, shown
from mner_model.data.annotation_spans import GivenSpan

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class GivenText:
    """An annotated text as its tool has it.

    task   the same for annotations of one task, of which the first counts; None where each is a task of its own
    types  that the record says it is annotated with; None where it says nothing of them
    """

    record: Record
    id: str
    text: str
    spans: Sequence[GivenSpan]
    lang: object = None
    types: object = None
    task: str | None = None


def id_of(record: Record) -> str:
    """The record's id, or one made of its place. Raises DataError for one that is neither a text nor a number."""
    value = record.fields.get("id")
    if value is None:
        return record.default_id
    if type(value) in (int, str) and value != "":
        return str(value)
    raise record.error(f"id: expected a text or a number, got {shown(value)}")


def text_of(record: Record) -> str:
    """What is in the field `text`. Raises DataError where that is missing or no text."""
    if "text" not in record.fields:
        raise record.error(f"expected a field text, got {names(record.fields)}")
    value = record.fields["text"]
    if not isinstance(value, str):
        raise record.error(f"text: expected a text, got {shown(value)}")
    return value


def objects_of(record: Record, value: object, name: str) -> list[dict[str, Any]]:
    """A field that is a list of objects, None read as an empty one. Raises DataError for anything else."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise record.error(f"{name}: expected a list of objects, got {shown(value)}")
    return value


def spans_of(record: Record, value: object, name: str) -> list[GivenSpan]:
    """The spans of a field, None read as an empty list.

    A span is [start, end, label], or an object with start and end (or start_offset and end_offset) and with label, type
    or a list of labels. Raises DataError for anything else.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise record.error(f"{name}: expected a list of spans, got {shown(value)}")
    return [span for one in value for span in _with_each_label(record, one, name)]


def _with_each_label(record: Record, value: object, name: str) -> list[GivenSpan]:
    match value:
        case [start, end, label]:
            labels, text = [label], None
        case dict():
            start, end = (value.get(side, value.get(f"{side}_offset")) for side in ("start", "end"))
            labels = value["labels"] if "labels" in value else [value.get("label", value.get("type"))]
            text = value.get("text")
        case _:
            raise record.error(f"{name}: expected a span's start, end and label, got {shown(value)}")
    if type(start) is not int or type(end) is not int:
        raise record.error(f"{name}: expected whole numbers as a span's start and end, got {shown([start, end])}")
    if not isinstance(labels, list) or not labels:
        raise record.error(f"{name}: expected a label for span {start}–{end}, got {shown(labels)}")
    return [GivenSpan(start, end, label, text if isinstance(text, str) else None) for label in labels]


def names(fields: Fields) -> str:
    """The names of an object's fields, for an error."""
    return shown(", ".join(fields))
