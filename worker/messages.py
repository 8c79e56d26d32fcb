"""What travels on the topics: posts in; entity records, mentions and dead letters out.

Bytes on one side, classes on the other. The JSON Schemas are generated from these classes.
"""

import unicodedata
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError, from_json

from mner_model.identity import entity_id
from worker import refusals
from worker.errors import DeadReason, ImageStatus, Rejected
from worker.fields import ImageBytes, ImageUrl, Language, Timestamp, format_timestamp, from_milliseconds
from worker.records import ConsumedRecord, Outcome, OutcomeKind, OutgoingMessage, tombstone

__all__ = [
    "ConsumedRecord",
    "DeadReason",
    "Entity",
    "EntityRecord",
    "EntityType",
    "ImageReport",
    "ImageStatus",
    "Mention",
    "ModelReport",
    "Outcome",
    "OutcomeKind",
    "OutgoingMessage",
    "Post",
    "dead_letter",
    "decode_post",
    "entity_id",
    "format_timestamp",
    "from_milliseconds",
    "mention_key",
    "tombstone",
]

EntityType = Literal["PER", "LOC", "ORG", "MISC"]

TEXT_MAX_CODE_POINTS = 10_000
# The largest image as base64, the longest text with each code point escaped, and room for the rest.
POST_MAX_BYTES = 16 * 1024 * 1024
DETAIL_MAX_CHARACTERS = 1000
_IMAGE_FIELDS = ("image_url", "image_data")

Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Digits = Annotated[str, Field(pattern=r"^[0-9]+$")]
Identifier = Annotated[str, Field(min_length=1, max_length=256)]


# The messages


class Message(BaseModel):
    """A frozen, strictly typed message that is one JSON object on the wire; unknown fields are ignored."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")

    def encode(self) -> bytes:
        """Compact UTF-8 JSON; fields that are None are left out."""
        return self.model_dump_json(by_alias=True, exclude_none=True).encode()

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Reads what `encode` wrote. Raises pydantic's ValidationError; for posts of strangers see `decode_post`."""
        return cls.model_validate_json(value)


def _rules_of_one_image(schema: dict[str, Any]) -> None:
    by_url, by_data = ({"required": [name], "properties": {name: {"type": "string"}}} for name in _IMAGE_FIELDS)
    schema["not"] = {"allOf": [by_url, by_data]}
    schema["anyOf"] = [{"properties": {"text": {"minLength": 1}}}, by_url, by_data]


class Post(Message):
    """A social-media message with text and at most one image."""

    model_config = ConfigDict(json_schema_extra=_rules_of_one_image)

    id: Identifier = Field(description="Identifies the post; equals the record's key when there is one.")
    text: str = Field(
        max_length=TEXT_MAX_CODE_POINTS, description="The post's text; may be empty only with an image.", repr=False
    )
    image_url: ImageUrl | None = Field(default=None, description="Where its image is; not with image_data.", repr=False)
    image_data: ImageBytes | None = Field(
        default=None, description="The image itself, at most 10 MiB decoded, as base64.", repr=False
    )
    created_at: Timestamp | None = Field(
        default=None, description="When it was posted; else the broker's timestamp is taken."
    )
    lang: Language | None = Field(default=None, description="The language of the text, a BCP 47 tag.")

    @model_validator(mode="after")
    def _one_image_and_something_to_read(self) -> Self:
        if self.image_url is not None and self.image_data is not None:
            raise PydanticCustomError("image", "image_url and image_data: received both, expected at most one")
        if not self.text and self.image_url is None and self.image_data is None:
            raise PydanticCustomError("text", "text: received an empty string without an image, expected text")
        return self


class Entity(Message):
    """One named entity in one post."""

    id: str = Field(description="SHA-256 of post id, start, end, type and model fingerprint; stable under redelivery.")
    type: EntityType = Field(description="PER person, LOC place, ORG organisation, MISC any other name.")
    text: str = Field(description="The surface text, as received.", repr=False)
    start: int = Field(ge=0, description="First code point of the mention in the post's text.")
    end: int = Field(ge=1, description="Code point after the mention's last.")
    confidence: Fraction = Field(description="Probability of the whole span under the model, 0 to 1.")
    modality_weights: dict[str, Fraction] = Field(
        description="Mean attention that each modality got over the mention's tokens, 0 to 1."
    )


class ImageReport(Message):
    """What became of a post's image."""

    status: ImageStatus = Field(description="Whether the image was used, and if not, what stood in the way.")
    digest: str | None = Field(default=None, description="SHA-256 of the image's bytes, once they were had.")
    cached: bool | None = Field(default=None, description="Whether its embedding came out of the cache.")
    reason: str | None = Field(default=None, description="Why the image was not used, in a sentence.")


class ModelReport(Message):
    """Which model tagged."""

    name: str = Field(description="The model's name.")
    fingerprint: str = Field(description="SHA-256 of its weights and preprocessing.")


class EntityRecord(Message):
    """What the worker found in one post; a later revision replaces an earlier one."""

    schema_version: Literal[1] = Field(default=1, alias="schema", description="Version of this schema.")
    post_id: Identifier = Field(description="The post's id.")
    revision: int = Field(default=1, ge=1, description="1 for the first record of a post, then counting up.")
    text: str | None = Field(
        default=None, description="The post's text as received; a setting leaves it out.", repr=False
    )
    entities: tuple[Entity, ...] = Field(description="The mentions, in order of their start.")
    image: ImageReport = Field(description="What became of the image.")
    model: ModelReport = Field(description="The model that tagged.")
    created_at: Timestamp = Field(description="When it was posted, or else the broker's timestamp.")
    tagged_at: Timestamp = Field(description="When it was tagged.")

    def message(self, entities_topic: str) -> OutgoingMessage:
        """This record, keyed by its post."""
        return OutgoingMessage(entities_topic, self.post_id.encode(), self.encode())

    def mentions(self) -> tuple["Mention", ...]:
        """One mention for each entity, to be published on the topic of its type."""
        return tuple(
            Mention.model_construct(
                **entity.__dict__, post_id=self.post_id, created_at=self.created_at, model=self.model
            )
            for entity in self.entities
        )


class Mention(Entity):
    """One named entity with the post it stands in, on the topic of its type."""

    post_id: str = Field(description="The id of the post that it stands in.")
    created_at: Timestamp = Field(description="When that post was posted, or else the broker's timestamp.")
    model: ModelReport = Field(description="The model that tagged.")

    def message(self, entities_topic: str) -> OutgoingMessage:
        """This mention for the topic of its type, keyed so that one partition sees all mentions of a name."""
        return OutgoingMessage(f"{entities_topic}.{self.type.lower()}", mention_key(self.text), self.encode())


def mention_key(surface_text: str) -> bytes:
    """The same key for all spellings of a name that differ in case, white space or Unicode composition only.

    Unicode 3.13, D145 (canonical caseless match), then composed; runs of white space become one space.
    """
    folded = unicodedata.normalize("NFD", surface_text).casefold()
    return " ".join(unicodedata.normalize("NFC", folded).split()).encode()


# Reading posts


def decode_post(key: bytes | None, value: bytes) -> Post:
    """The post in a record's key and value, wholly checked. Of a name given twice the last counts, as RFC 8259 allows.

    Raises Rejected, and nothing else whatever the bytes, with a detail that says field, received and expected, and
    never holds a text, an address or image bytes.
    """
    if len(value) > POST_MAX_BYTES:
        detail = f"value: received {len(value):,} bytes, expected at most {POST_MAX_BYTES:,}"
        raise Rejected(DeadReason.TOO_LARGE, detail)
    try:
        fields = from_json(value, allow_inf_nan=False)
    except ValueError as error:
        raise refusals.unreadable(value, error) from None
    try:
        post = Post.model_validate(fields)
    except ValidationError as error:
        raise refusals.invalid(error) from None
    if key is not None and key != post.id.encode():
        raise refusals.mismatched(key, post.id)
    return post


# Dead letters


class DeadLetterHeaders(Message):
    """The headers of a dead letter, each a UTF-8 string on the wire; key and value are the original bytes."""

    error_reason: DeadReason = Field(alias="error.reason", description="Why the post could not be answered.")
    error_detail: str = Field(alias="error.detail", description="Field, received and expected, in a sentence.")
    source_topic: str = Field(alias="source.topic", description="The topic it was read from.")
    source_partition: Digits = Field(alias="source.partition", description="The partition of that topic.")
    source_offset: Digits = Field(alias="source.offset", description="The offset in that partition.")
    failed_at: Timestamp = Field(description="When it was given up.")
    attempts: Digits = Field(description="How many times it was tried.")


def dead_letter(
    record: ConsumedRecord, reason: DeadReason, detail: str, *, topic: str, attempts: int, failed_at: datetime
) -> OutgoingMessage:
    """The record's key and value, untouched, with headers that say what went wrong, after the record's own headers."""
    ours = {
        "error.reason": reason.value,
        "error.detail": detail[:DETAIL_MAX_CHARACTERS],
        "source.topic": record.topic,
        "source.partition": str(record.partition),
        "source.offset": str(record.offset),
        "failed_at": format_timestamp(failed_at),
        "attempts": str(attempts),
    }
    # Those of an earlier failure give way, so that a replayed post that fails again tells of this failure only.
    kept = [(name, value) for name, value in record.headers if name not in ours]
    headers = (*kept, *((name, text.encode(errors="replace")) for name, text in ours.items()))
    return OutgoingMessage(topic, record.key, record.value, headers)
