"""JSON Schemas of everything on the topics, generated from the message classes.

Of posts they describe what is accepted; of what the worker publishes, what is sent.
"""

import json
from typing import Any, NamedTuple

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from pydantic_core import CoreSchema, core_schema

from worker.messages.samples import topic_samples
from worker.messages.wire import DeadLetterHeaders, EntityRecord, Mention, Message, Post


class _Published(NamedTuple):
    """One schema as strangers read it, alone and without the code."""

    message: type[Message]
    mode: JsonSchemaMode
    topics: tuple[str, ...]
    title: str
    description: str


_PUBLISHED = {
    "post": _Published(
        Post,
        "validation",
        ("posts",),
        "Post",
        "One social-media message with text and at most one image: a value on the topic `posts`, UTF-8 JSON, keyed by "
        "the post's id. A null value (tombstone) deletes the post that its key names. Fields that are not listed here "
        "are ignored.",
    ),
    "entity_record": _Published(
        EntityRecord,
        "serialization",
        ("entities",),
        "Entity record",
        "Everything that was found in one post: a value on the topic `entities`, UTF-8 JSON, keyed by the post's id. A "
        "later record with the same key replaces this one; a null value (tombstone) deletes it. Fields may be added: "
        "ignore those you do not know.",
    ),
    "mention": _Published(
        Mention,
        "serialization",
        ("entities.per", "entities.loc", "entities.org", "entities.misc"),
        "Mention",
        "One name in one post: a value on `entities.per` (people), `entities.loc` (places), `entities.org` "
        "(organisations) or `entities.misc` (other names), UTF-8 JSON, keyed by the name, case-folded. A mention may "
        "come more than once, with the same `id`. Fields may be added: ignore those you do not know.",
    ),
    "dead_letter_headers": _Published(
        DeadLetterHeaders,
        "serialization",
        ("posts.dead",),
        "Headers of a dead letter",
        "Why a post could not be answered, and where it was read: the headers of a message on the topic `posts.dead`, "
        "each a UTF-8 string, beside those that the post came with. The message's key and value are the original "
        "bytes.",
    ),
}


def json_schemas() -> dict[str, dict[str, Any]]:
    """Name to JSON Schema (draft 2020-12): values of posts, records and mentions, and a dead letter's headers."""
    return {name: _schema(name, published) for name, published in _PUBLISHED.items()}


def schema_file(name: str) -> str:
    """The file that a schema is published in, and so its `$id`: relative, for the files may lie anywhere."""
    return f"{name}.schema.json"


def schema_files() -> dict[str, str]:
    """File name to content, of each schema."""
    schemas = json_schemas().items()
    return {schema_file(name): json.dumps(schema, indent=2, ensure_ascii=False) + "\n" for name, schema in schemas}


def _schema(name: str, published: _Published) -> dict[str, Any]:
    schema = published.message.model_json_schema(by_alias=True, mode=published.mode, schema_generator=_AsOnTheWire)
    head = {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$id": schema_file(name),
        "title": published.title,
        "description": published.description,
    }
    rules = {word: rule for word, rule in schema.items() if word not in head}
    return {**head, **rules, "examples": [_example(published, topic) for topic in published.topics]}


def _example(published: _Published, topic: str) -> Any:
    samples = (sample for sample in topic_samples() if sample.topic == topic)
    return next(sample.headers if published.message is DeadLetterHeaders else sample.value for sample in samples)


class _AsOnTheWire(GenerateJsonSchema):
    """Pydantic's generator, knowing that `encode` writes every field but those that are None, and without titles."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def field_is_required(self, field: Any, total: bool) -> bool:
        if self.mode == "validation":
            return super().field_is_required(field, total)
        inner: CoreSchema = field["schema"]
        return inner["type"] != "default" or inner.get("default") is not None

    def nullable_schema(self, schema: core_schema.NullableSchema) -> dict[str, Any]:
        if self.mode == "validation":
            return super().nullable_schema(schema)
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> dict[str, Any]:
        # What may be absent is told by `required`; a default of null would only repeat it.
        return self.generate_inner(schema["schema"])
