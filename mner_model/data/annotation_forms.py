"""The forms of annotation tools' exports, and which of them a file is of.

doccano (https://doccano.github.io/doccano) exports JSONL of sequence labelling, with relations or without. Its editor
counts UTF-16 units since 1.5, and code points before. A project in which it counts grapheme clusters cannot be told
from others, and is not read rightly. Prodigy (https://prodi.gy/docs/api-interfaces) and spaCy count code points.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mner_model.data import label_studio
from mner_model.data.annotation_fields import Fields, GivenText, id_of, names, spans_of, text_of
from mner_model.data.annotation_records import Findings, Record, shown
from mner_model.data.annotation_spans import Units

_ANSWERS = ("accept", "reject", "ignore")


@dataclass(frozen=True)
class Form:
    """What one tool writes.

    fits   whether a record is of this form for sure
    read   gives its text, or None for one that is left out, which it counts; raises DataError for one it cannot read
    units  of its offsets, as in `SpanRules`
    """

    name: str
    fits: Callable[[Fields], bool]
    read: Callable[[Record, Findings], GivenText | None]
    units: tuple[Units, ...] = ("code-points",)


def form_of(records: Sequence[Record]) -> Form:
    """The form of all records of a file, of one or more.

    Raises DataError where none is known, or records are of several.
    """
    known = [(record, form) for record in records if (form := _form_for_sure(record.fields)) is not None]
    if not known:
        return _form_without_mentions(records)
    _, first = known[0]
    for record, form in known:
        if form is not first:
            raise record.error(f"is of {form.name}, expected {first.name} as the records before it")
    return first


def _form_for_sure(fields: Fields) -> Form | None:
    return next((form for form in FORMS if form.fits(fields)), None)


def _form_without_mentions(records: Sequence[Record]) -> Form:
    """Where no text has a mention, the names of the empty lists alone tell."""
    for form, lists in ((DOCCANO, ("label", "labels")), (SPACY, ("entities",))):
        if all(any(record.fields.get(name) == [] for name in lists) for record in records):
            return form
    expected = "what Label Studio (JSON, JSON-MIN), doccano or Prodigy (JSONL) exports, or text with entities"
    raise records[0].error(f"not recognised: expected {expected}, got the fields {names(records[0].fields)}")


def _is_doccano(fields: Fields) -> bool:
    has_labels = any(isinstance(fields.get(name), list) and fields[name] for name in ("label", "labels"))
    is_with_relations = "entities" in fields and "relations" in fields
    return has_labels or is_with_relations or "Comments" in fields or _entities_have(fields, "start_offset")


def _read_doccano(record: Record, findings: Findings) -> GivenText:
    return _read_lists(record, ("label", "labels", "entities"))


def _is_prodigy(fields: Fields) -> bool:
    is_answered = fields.get("answer") in _ANSWERS
    return is_answered or "_input_hash" in fields or isinstance(fields.get("spans"), list)


def _read_prodigy(record: Record, findings: Findings) -> GivenText | None:
    """A text that was accepted, and has no mention where it has no spans."""
    fields = record.fields
    answer = fields.get("answer", "accept" if "spans" in fields else None)
    if answer == "accept":
        task = str(fields["_input_hash"]) if "_input_hash" in fields else None
        spans = spans_of(record, fields.get("spans"), "spans")
        return GivenText(record, id_of(record), text_of(record), spans, fields.get("lang"), task=task)
    if answer is not None and answer not in _ANSWERS:
        raise record.error(f"answer: expected one of {', '.join(_ANSWERS)}, got {shown(answer)}")
    findings.left_out.add(f"answer {answer}" if answer else "text without annotation", record)
    return None


def _is_own(fields: Fields) -> bool:
    return "types" in fields or _entities_have(fields, "type")


def _is_spacy(fields: Fields) -> bool:
    entities = fields.get("entities")
    has_lists = isinstance(entities, list) and bool(entities) and isinstance(entities[0], list)
    return has_lists or _entities_have(fields, "label")


def _entities_have(fields: Fields, name: str) -> bool:
    entities = fields.get("entities")
    return isinstance(entities, list) and bool(entities) and isinstance(entities[0], dict) and name in entities[0]


def _read_entities(record: Record, findings: Findings) -> GivenText:
    return _read_lists(record, ("entities",))


def _read_lists(record: Record, lists: Sequence[str]) -> GivenText:
    """A text with its spans in the first of these fields that is there."""
    fields = record.fields
    name = next((name for name in lists if name in fields), None)
    if name is None:
        raise record.error(f"expected a field {' or '.join(lists)}, got {names(fields)}")
    spans = spans_of(record, fields[name], name)
    return GivenText(record, id_of(record), text_of(record), spans, fields.get("lang"), fields.get("types"))


DOCCANO = Form("doccano JSONL", _is_doccano, _read_doccano, ("utf-16",))
SPACY = Form("spaCy-style JSON", _is_spacy, _read_entities)
# in this order, as a record may have fields of several: doccano hands on all fields that its users gave it
FORMS = (
    Form("Label Studio JSON", label_studio.is_json, label_studio.read_json, ("code-points", "utf-16")),
    Form("Label Studio JSON-MIN", label_studio.is_min, label_studio.read_min, ("code-points", "utf-16")),
    DOCCANO,
    Form("Prodigy JSONL", _is_prodigy, _read_prodigy),
    Form("mner-model JSON lines", _is_own, _read_entities),
    SPACY,
)
