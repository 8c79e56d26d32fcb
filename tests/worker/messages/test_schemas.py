"""The published JSON Schemas say of every message what the codecs do with it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator, Draft202012Validator  # type: ignore[import-untyped]

from mner_model.posts.image_status import ImageStatus
from worker.errors import DeadReason, Rejected
from worker.messages.schemas import json_schemas, schema_file, schema_files
from worker.messages.wire import Entity, EntityRecord, ImageReport, ModelReport, decode_post, mentions_of
from worker.settings import MENTION_TOPIC_SUFFIXES

SCHEMAS = json_schemas()
VALIDATORS = {name: Draft202012Validator(schema) for name, schema in SCHEMAS.items()}
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def described(schema: dict[str, Any]) -> list[bool]:
    parts = [schema, *schema.get("$defs", {}).values()]
    return ["description" in field for part in parts for field in part.get("properties", {}).values()]


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_valid_in_its_dialect_and_describes_every_field(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMAS[name])
    assert SCHEMAS[name]["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert described(SCHEMAS[name])
    assert all(described(SCHEMAS[name]))


def test_schemas_are_the_same_each_time() -> None:
    assert json.dumps(json_schemas()) == json.dumps(SCHEMAS)


def is_accepted(post: dict[str, Any]) -> bool:
    try:
        decode_post(None, json.dumps(post).encode())
    except Rejected:
        return False
    return True


# What no schema tells apart (a date, a language, the length of base64) is drawn valid.
post_objects: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from(["7", "", "7" * 256, "7" * 257, None, 7]),
        "text": st.sampled_from(["Ada", "", "👩" * 10_000, "👩" * 10_001, None, ["Ada"]]),
        "image_url": st.sampled_from(["https://a/b", "HTTP://a", "ftp://a", "http://a/".ljust(2049, "a"), None, 1])
        | st.sampled_from(
            ["http://", "http:///x", "http://?x", "https://a b", "http://a/ ", "http://a\n", "http://é/\x85"]
        ),
        "image_data": st.sampled_from(["AAAA", "AA==", "AAA=", "", "a_k=", "A===", "AAAA\n", "AA=A", None, 1]),
        "created_at": st.sampled_from(["2026-11-22T01:02:03Z", "", None, 1]),
        "lang": st.sampled_from(["en", "", None, 1]),
        "more": st.sampled_from(["x", None, {}]),
    },
)


@given(st.fixed_dictionaries({"id": st.just("7"), "text": st.sampled_from(["Ada", ""])}), post_objects)
def test_a_post_is_accepted_exactly_when_its_schema_holds(base: dict[str, Any], drawn: dict[str, Any]) -> None:
    post = base | drawn
    assert is_accepted(post) == VALIDATORS["post"].is_valid(post)


@given(st.text("htps:/A?#\\ \n\x1f\x7f\x85\u00a0\u2028é", max_size=6))
def test_an_address_is_accepted_exactly_when_its_schema_holds(rest: str) -> None:
    for start in ("http://", "HTTPs://", "http:/", ""):
        post = {"id": "7", "text": "Ada", "image_url": start + rest}
        assert is_accepted(post) == VALIDATORS["post"].is_valid(post)


@given(st.text("aZ09+/=_- \n", max_size=9))
def test_base64_in_groups_of_four_is_accepted_exactly_when_its_schema_holds(data: str) -> None:
    post = {"id": "7", "text": "Ada", "image_data": data}
    assert is_accepted(post) == (len(data) % 4 == 0 and VALIDATORS["post"].is_valid(post))


@pytest.mark.parametrize("missing", ["id", "text"])
def test_a_post_needs_id_and_text(missing: str) -> None:
    post = {"id": "7", "text": "Ada"}
    del post[missing]
    assert not VALIDATORS["post"].is_valid(post)


def full_record(**changes: Any) -> EntityRecord:
    fields: dict[str, Any] = {
        "post_id": "7",
        "text": "Ada in Zürich",
        "entities": (
            Entity(
                id="e",
                type="PER",
                text="Ada",
                start=0,
                end=3,
                confidence=1.0,
                modality_weights={"word": 1.0},
                image_effect=-0.5,
            ),
        ),
        "untagged": "language",
        "image": ImageReport(status=ImageStatus.USED, digest="d", cached=True, reason="r"),
        "model": ModelReport(name="default", fingerprint="f"),
        "created_at": NOW,
        "tagged_at": NOW,
    }
    return EntityRecord(**(fields | changes))


def sparse_record() -> EntityRecord:
    return full_record(text=None, entities=(), untagged=None, image=ImageReport(status=ImageStatus.ABSENT))


@pytest.mark.parametrize(
    "record",
    [full_record(), sparse_record()],
    ids=["full", "sparse"],
)
def test_what_is_sent_satisfies_its_schema(record: EntityRecord) -> None:
    VALIDATORS["entity_record"].validate(json.loads(record.encode()))
    for mention in mentions_of(record):
        VALIDATORS["mention"].validate(json.loads(mention.encode()))


def test_a_schema_knows_every_field_that_is_sent() -> None:
    record = full_record()
    assert json.loads(record.encode()).keys() == SCHEMAS["entity_record"]["properties"].keys()
    assert json.loads(mentions_of(record)[0].encode()).keys() == SCHEMAS["mention"]["properties"].keys()


def test_a_schema_requires_all_that_is_always_sent() -> None:
    assert set(SCHEMAS["entity_record"]["required"]) == json.loads(sparse_record().encode()).keys()


def test_the_closed_lists_are_in_the_schemas() -> None:
    assert SCHEMAS["dead_letter_headers"]["$defs"]["DeadReason"]["enum"] == [*DeadReason]
    assert SCHEMAS["entity_record"]["$defs"]["ImageStatus"]["enum"] == [*ImageStatus]
    assert SCHEMAS["mention"]["properties"]["type"]["enum"] == ["PER", "LOC", "ORG", "MISC"]
    assert SCHEMAS["entity_record"]["properties"]["untagged"]["const"] == "language"


# Published


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schemas_examples_are_what_it_allows(name: str) -> None:
    assert SCHEMAS[name]["examples"]
    for example in SCHEMAS[name]["examples"]:
        VALIDATORS[name].validate(example)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_identified_by_its_file_and_names_no_host(name: str) -> None:
    assert SCHEMAS[name]["$id"] == schema_file(name) == f"{name}.schema.json"
    assert schema_file(name) in schema_files()


def test_the_schema_of_mentions_names_every_topic_of_mentions() -> None:
    assert all(f"`entities{suffix}`" in SCHEMAS["mention"]["description"] for suffix in MENTION_TOPIC_SUFFIXES)


# What draft 7, which AsyncAPI reads schemas as, has in common with draft 2020-12. Beside $ref it sees nothing.
ANNOTATIONS = {"$schema", "$id", "title", "description", "examples", "format", "contentEncoding"}
RULES = set(
    "$defs $ref additionalProperties allOf anyOf const enum items maxLength maximum minLength minimum not pattern "
    "properties required type".split()
)


def subschemas(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield schema
    for word, value in schema.items():
        if word in {"properties", "$defs"}:
            inner = value.values()
        elif word in {"allOf", "anyOf"}:
            inner = value
        else:
            inner = [value] if word in {"items", "not", "additionalProperties"} else []
        for part in inner:
            yield from subschemas(part)


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_means_the_same_in_draft_7(name: str) -> None:
    for part in subschemas(SCHEMAS[name]):
        assert part.keys() <= ANNOTATIONS | RULES
        assert "$ref" not in part or part.keys() <= ANNOTATIONS | {"$ref"}
    Draft7Validator.check_schema(SCHEMAS[name])
