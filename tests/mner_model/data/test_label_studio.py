"""What Label Studio writes: which annotation of a task counts, where its text is, and what it says of a span's text."""

import json
from typing import Any

import pytest

from mner_model.data.annotation_exports import Export, ImportChoices, read_export
from mner_model.data.lines import DataError

TEXT = "Ada met NASA"


def result(start: object, end: object, *labels: str, text: str | None = None) -> dict[str, Any]:
    value = {"start": start, "end": end, "labels": list(labels)} | ({} if text is None else {"text": text})
    return {"id": "x", "from_name": "label", "to_name": "text", "type": "labels", "origin": "manual", "value": value}


def annotation(*results: dict[str, Any], was_cancelled: bool = False) -> dict[str, Any]:
    return {"id": 9, "completed_by": 1, "result": list(results), "was_cancelled": was_cancelled, "ground_truth": False}


def task(*annotations: dict[str, Any], **fields: object) -> dict[str, Any]:
    return {"id": 5, "data": {"text": TEXT}, "annotations": list(annotations), "predictions": [], **fields}


def read(*tasks: dict[str, Any], **choices: Any) -> Export:
    content = json.dumps(tasks, ensure_ascii=False).encode()
    return read_export(content, "a.json", ImportChoices(**{"lang": "en", **choices}))


def mentions(export: Export) -> list[list[tuple[int, int, str]]]:
    return [[tuple(entity) for entity in text.entities] for text in export.texts]


PERSON = result(0, 3, "PER", text="Ada")
AGENCY = result(8, 12, "ORG", text="NASA")


def test_a_task_is_read_with_its_id() -> None:
    export = read(task(annotation(AGENCY, PERSON)))
    assert (export.form, mentions(export)) == ("Label Studio JSON", [[(0, 3, "PER"), (8, 12, "ORG")]])
    assert [(text.id, text.text) for text in export.texts] == [("5", TEXT)]


def test_the_first_annotation_counts_that_was_not_cancelled() -> None:
    export = read(task(annotation(AGENCY, was_cancelled=True), annotation(PERSON), annotation(AGENCY)))
    assert mentions(export) == [[(0, 3, "PER")]]
    assert export.findings.left_out.told() == (
        "1 × annotation of a task that has one before it (first in task 1 (id 5))"
    )


def test_predictions_are_not_gold_and_tasks_without_annotation_are_left_out() -> None:
    predicted = task(predictions=[annotation(AGENCY)])
    not_exported = {"id": 6, "data": {"text": TEXT}}
    export = read(task(annotation(PERSON)), predicted, not_exported, task(annotation(PERSON, was_cancelled=True)))
    assert mentions(export) == [[(0, 3, "PER")]]
    assert export.findings.left_out.told() == (
        "2 × task without annotation (first in task 2 (id 5)), "
        "1 × task whose annotations were all cancelled (first in task 4 (id 5))"
    )


def test_an_annotation_without_a_result_says_that_there_is_no_mention() -> None:
    assert mentions(read(task(annotation()))) == [[]]


def test_the_form_before_version_1_is_read() -> None:
    old = {"id": 5, "data": {"text": TEXT}, "completions": [{"skipped": True, "result": []}, {"result": [PERSON]}]}
    assert mentions(read(old)) == [[(0, 3, "PER")]]


def test_choices_ratings_and_relations_are_no_mentions() -> None:
    others = [
        {"type": "choices", "from_name": "mood", "value": {"choices": ["glad"]}},
        {"type": "choices", "from_name": "kind", "value": {"start": 0, "end": 3, "text": "Ada", "choices": ["x"]}},
        {"type": "relation", "from_id": "x", "to_id": "y", "direction": "right"},
    ]
    assert mentions(read(task(annotation(*others, PERSON)))) == [[(0, 3, "PER")]]


def test_a_task_whose_only_text_has_another_name_is_read() -> None:
    export = read(task(annotation(PERSON), data={"tweet": TEXT, "likes": 3, "lang": None}))
    assert [text.text for text in export.texts] == [TEXT]


def test_a_language_beside_the_text_is_taken() -> None:
    export = read(task(annotation(PERSON), data={"text": TEXT, "lang": "fr"}), lang=None)
    assert [text.lang for text in export.texts] == ["fr"]


@pytest.mark.parametrize(("start", "units"), [(2, "code points"), (3, "UTF-16 units")])
def test_offsets_are_in_the_units_in_which_the_spans_have_their_texts(start: int, units: str) -> None:
    data = {"text": "😀 Ada"}
    export = read(task(annotation(result(start, start + 3, "PER", text="Ada")), data=data))
    assert mentions(export) == [[(2, 5, "PER")]]
    assert ("UTF-16" in export.findings.changed.told()) == ("UTF-16" in units)


def test_all_spans_of_a_text_are_in_the_same_units() -> None:
    """The first span has its text in code points too, the second has it in UTF-16 units alone."""
    spans = result(2, 3, "PER", text="a"), result(4, 5, "LOC", text="b")
    assert mentions(read(task(annotation(*spans), data={"text": "😀aabc"}))) == [[(1, 2, "PER"), (3, 4, "LOC")]]


@pytest.mark.parametrize(
    ("text", "of_span"),
    [("New  York", "New York"), ("New\r\nYork", "New\n\nYork"), ("New\nYork", "New\\nYork"), ("New\nYork", "NewYork")],
)
def test_white_space_that_a_browser_changes_is_no_disagreement(text: str, of_span: str) -> None:
    export = read(task(annotation(result(0, len(text), "LOC", text=of_span)), data={"text": text}))
    assert mentions(export) == [[(0, len(text), "LOC")]]


def test_spans_without_their_texts_are_read_in_code_points() -> None:
    export = read(task(annotation(result(2, 5, "PER")), data={"text": "😀 Ada"}))
    assert mentions(export) == [[(2, 5, "PER")]]


# JSON-MIN

MIN = {
    "text": TEXT,
    "id": 5,
    "label": [PERSON["value"], AGENCY["value"]],
    "mood": "glad",
    "annotator": 1,
    "annotation_id": 9,
    "created_at": "2026-01-01T10:00:00Z",
    "updated_at": "2026-01-01T10:00:00Z",
    "lead_time": 4.2,
}


def test_json_min_is_read() -> None:
    export = read(MIN)
    assert (export.form, mentions(export)) == ("Label Studio JSON-MIN", [[(0, 3, "PER"), (8, 12, "ORG")]])
    assert mentions(read({"text": TEXT, "label": [PERSON["value"]]})) == [[(0, 3, "PER")]]


def test_in_json_min_labels_may_have_the_name_of_any_tag() -> None:
    other = {name: value for name, value in MIN.items() if name != "label"}
    assert mentions(read(other | {"names": [PERSON["value"]], "more": [AGENCY["value"]]})) == mentions(read(MIN))
    assert mentions(read(other)) == [[]]


def test_of_a_task_that_comes_again_in_json_min_the_first_counts() -> None:
    export = read(MIN, MIN | {"label": []}, MIN | {"id": 6, "annotation_id": None, "label": None})
    assert [text.id for text in export.texts] == ["5"]
    assert export.findings.left_out.told() == (
        "1 × annotation of a task that has one before it (first in task 2 (id 5)), "
        "1 × task without annotation (first in task 3 (id 6))"
    )


# What is refused


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (
            task(annotation(result(0, 3, "PER", text="Bob"))),
            "span 0–3 holds 'Ada', expected 'Bob' as its own text says",
        ),
        (
            task(annotation(result(0, 3, "PER", text="Bob")), data={"text": "Ada 😀"}),
            r"span 0–3 holds 'Ada', expected 'Bob' .* \(counted in code-points and in utf-16; --offsets sets that\)",
        ),
        (task(annotation(result("/div[1]/text()[1]", "/div[1]", "PER"))), "value: expected whole numbers as a span's"),
        (
            task(annotation({"value": {"start": 0, "end": 3, "hypertextlabels": ["PER"]}})),
            "value: expected labels of a text, got 'hypertextlabels'",
        ),
        (task(annotation(result(0, 3))), r"value: expected a label for span 0–3, got \[\]"),
        (task(annotation(result(0, 3, "PER", "ORG"))), "spans 0–3 .* and 0–3 .* overlap"),
        (task(annotation(PERSON), data={"a": "x", "b": "y"}), "data: expected a text in a field text, got 'a, b'"),
        (task(annotation(PERSON), data={"text": ["x"], "b": "y"}), "data: expected a text in a field text"),
        (task(annotations={}), r"annotations: expected a list of objects, got \{\}"),
        (task(annotations=[3]), r"annotations: expected a list of objects, got \[3\]"),
        (task({"result": "none"}), "result: expected a list of objects, got 'none'"),
    ],
)
def test_a_task_that_cannot_be_read_is_refused_with_its_place(broken: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=rf"^a\.json: task 2 \(id 5\): {message}"):
        read(task(annotation()), broken)
