"""What Label Studio exports: JSON, which has everything, and JSON-MIN, which has the labels beside the data.

https://labelstud.io/guide/export. Its editor counts code points; older ones counted UTF-16 units.
"""

from mner_model.data.annotation_fields import Fields, GivenText, id_of, names, objects_of, spans_of
from mner_model.data.annotation_records import Findings, Record, shown

# what JSON-MIN puts beside the data of a task
_MIN_FIELDS = frozenset("id annotator annotation_id created_at updated_at lead_time agreement lang".split())


def is_json(fields: Fields) -> bool:
    """Whether a record is a task of the JSON export."""
    return isinstance(fields.get("data"), dict)


def read_json(record: Record, findings: Findings) -> GivenText | None:
    """A task with the first of its annotations that was not cancelled; predictions are not gold.

    None for a task without such an annotation. Raises DataError for a task that cannot be read.
    """
    fields, data = record.fields, record.fields.get("data")
    if not isinstance(data, dict):
        raise record.error(f"data: expected an object with a text, got {shown(data)}")
    key = "completions" if "completions" in fields else "annotations"  # the first before version 1.0
    annotations = objects_of(record, fields.get(key), key)
    finished = [one for one in annotations if not one.get("was_cancelled") and not one.get("skipped")]
    if not finished:
        why = "task whose annotations were all cancelled" if annotations else "task without annotation"
        findings.left_out.add(why, record)
        return None
    for _ in finished[1:]:
        findings.left_out.add("annotation of a task that has one before it", record)
    results = objects_of(record, finished[0].get("result"), "result")
    values = [value for result in results if _has_labels(record, value := result.get("value"))]
    return GivenText(
        record, id_of(record), _only_text(record, data), spans_of(record, values, "value"), data.get("lang")
    )


def _has_labels(record: Record, value: object) -> bool:
    """Whether a result is a span with labels: choices, ratings and relations are not."""
    if not isinstance(value, dict):
        return False
    for key in value:
        if key.endswith("labels") and key != "labels":
            raise record.error(f"value: expected labels of a text, got {shown(key)}")
    return "labels" in value


def is_min(fields: Fields) -> bool:
    """Whether a record is a task of the JSON-MIN export."""
    return "annotation_id" in fields or bool(_label_lists(fields))


def _label_lists(fields: Fields) -> list[str]:
    """The fields that have spans with labels: each is named after a Labels tag, `label` in the usual template."""
    lists = ((name, value) for name, value in fields.items() if isinstance(value, list) and value)
    return [name for name, value in lists if all(isinstance(one, dict) and "labels" in one for one in value)]


def read_min(record: Record, findings: Findings) -> GivenText | None:
    """A task with an annotation; of a task that was annotated several times there are several records.

    None for a task without annotation. Raises DataError for a task that cannot be read.
    """
    fields, lists = record.fields, _label_lists(record.fields)
    if fields.get("annotation_id") is None and not lists and fields.get("label") != []:
        findings.left_out.add("task without annotation", record)
        return None
    data = {name: value for name, value in fields.items() if name not in _MIN_FIELDS}
    spans = [span for name in lists for span in spans_of(record, fields[name], name)]
    id_ = id_of(record)
    task = id_ if "id" in fields else None
    return GivenText(record, id_, _only_text(record, data), spans, fields.get("lang"), task=task)


def _only_text(record: Record, data: Fields) -> str:
    """The text of a task: its field `text` or, as users name their fields, the only one that is a text."""
    texts = [value for value in data.values() if isinstance(value, str)]
    text = data.get("text", texts[0] if len(texts) == 1 else None)
    if not isinstance(text, str):
        raise record.error(f"data: expected a text in a field text, got {names(data)}")
    return text
