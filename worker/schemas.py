"""JSON Schemas of everything on the topics, generated from the message classes.

Of posts they describe what is accepted; of what the worker publishes, what is sent.
"""

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode
from pydantic_core import CoreSchema, core_schema

from worker.messages import DeadLetterHeaders, EntityRecord, Mention, Message, Post


def json_schemas() -> dict[str, dict[str, Any]]:
    """Name to JSON Schema (draft 2020-12): values of posts, records and mentions, and a dead letter's headers."""
    return {
        "post": _schema(Post, "validation"),
        "entity_record": _schema(EntityRecord, "serialization"),
        "mention": _schema(Mention, "serialization"),
        "dead_letter_headers": _schema(DeadLetterHeaders, "serialization"),
    }


def _schema(message: type[Message], mode: JsonSchemaMode) -> dict[str, Any]:
    schema = message.model_json_schema(by_alias=True, mode=mode, schema_generator=_AsOnTheWire)
    return {"$schema": GenerateJsonSchema.schema_dialect, **schema}


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
