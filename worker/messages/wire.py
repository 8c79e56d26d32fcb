"""What travels on the topics: posts in; entity records, mentions and dead letters out.

Bytes on one side, classes on the other. Posts and records are the model's own (`mner_model.posts`); here are mentions
on their own, keys and topics, and the dead letters. The JSON Schemas are generated from these classes.
"""

import unicodedata
from datetime import datetime
from typing import Annotated

from pydantic import Field

from mner_model.posts.fields import Timestamp, format_timestamp, from_milliseconds
from mner_model.posts.image_status import ImageStatus
from mner_model.posts.post import POST_MAX_BYTES, Message, Post, read_post
from mner_model.posts.record import (
    Entity,
    EntityRecord,
    EntityType,
    ImageReport,
    ModelReport,
    UntaggedReason,
    entity_record,
)
from mner_model.posts.refusals import PostRefused, shown
from mner_model.text.reading import read
from worker.errors import DeadReason, Rejected
from worker.messages.records import ConsumedRecord, OutgoingMessage

__all__ = [
    "POST_MAX_BYTES",
    "Entity",
    "EntityRecord",
    "EntityType",
    "ImageReport",
    "ImageStatus",
    "Mention",
    "Message",
    "ModelReport",
    "Post",
    "UntaggedReason",
    "dead_letter",
    "decode_post",
    "entity_record",
    "format_timestamp",
    "from_milliseconds",
    "mention_key",
    "mention_message",
    "mentions_of",
    "record_message",
    "without",
]

DETAIL_MAX_CHARACTERS = 1000
# What a dead letter that is too large goes without, in this order, until its topic takes it.
OMISSIONS = ("value", "headers", "key")
_OMITTED_HEADERS = {part: f"{part}.omitted_bytes" for part in OMISSIONS}

Digits = Annotated[str, Field(pattern=r"^[0-9]+$")]


class Mention(Entity):
    """One named entity with the post it stands in, on the topic of its type."""

    post_id: str = Field(description="The id of the post that it stands in.")
    created_at: Timestamp = Field(description="When that post was posted, or else the broker's timestamp.")
    model: ModelReport = Field(description="The model that tagged.")


def mentions_of(record: EntityRecord) -> tuple[Mention, ...]:
    """One mention for each entity of a record, to be published on the topic of its type."""
    return tuple(
        Mention.model_construct(
            **entity.__dict__, post_id=record.post_id, created_at=record.created_at, model=record.model
        )
        for entity in record.entities
    )


def decode_post(key: bytes | None, value: bytes) -> Post:
    """The post in a record's key and value, wholly checked.

    Raises Rejected, and nothing else whatever the bytes, with a detail that says field, received and expected, and
    never holds a text, an address or image bytes.
    """
    try:
        post = read_post(value)
    except PostRefused as refused:
        raise Rejected(DeadReason(refused.kind), refused.detail) from None
    if key is not None and key != post.id.encode():
        detail = f"key: received {shown(key)}, expected the post's id, {shown(post.id.encode())}"
        raise Rejected(DeadReason.KEY_MISMATCH, detail)
    return post


def record_message(record: EntityRecord, entities_topic: str) -> OutgoingMessage:
    """A record, keyed by its post."""
    return OutgoingMessage(entities_topic, record.post_id.encode(), record.encode())


def mention_message(mention: Mention, entities_topic: str) -> OutgoingMessage:
    """A mention for the topic of its type, keyed so that one partition sees all mentions of a name."""
    return OutgoingMessage(f"{entities_topic}.{mention.type.lower()}", mention_key(mention.text), mention.encode())


def mention_key(surface_text: str) -> bytes:
    """The same key for all spellings of a name that differ in case, white space, Unicode composition or escapes only.

    The name as people read it (&eacute; is é), then Unicode 3.13, D145 (canonical caseless match), then composed; runs
    of white space become one space.
    """
    # what is read may itself be readable again: an & that was apart from its "amp;" is not any more
    while (meant := read(surface_text).text) != surface_text:
        surface_text = meant
    folded = unicodedata.normalize("NFD", surface_text).casefold()
    return " ".join(unicodedata.normalize("NFC", folded).split()).encode()


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
    value_omitted_bytes: Digits | None = Field(
        None, alias="value.omitted_bytes", description="Size of the original value, left out as too large."
    )
    headers_omitted_bytes: Digits | None = Field(
        None, alias="headers.omitted_bytes", description="Size of the original headers, left out as too large."
    )
    key_omitted_bytes: Digits | None = Field(
        None, alias="key.omitted_bytes", description="Size of the original key, left out as too large."
    )


LETTER_HEADERS = frozenset(field.alias or name for name, field in DeadLetterHeaders.model_fields.items())


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
    kept = [(name, value) for name, value in record.headers if name not in LETTER_HEADERS]
    headers = (*kept, *((name, text.encode(errors="replace")) for name, text in ours.items()))
    return OutgoingMessage(topic, record.key, record.value, headers)


def without(letter: OutgoingMessage, record: ConsumedRecord) -> OutgoingMessage | None:
    """The dead letter without one more part of its record: the value, then its headers, then the key.

    record   whose dead letter it is
    returns  None when nothing is left to go without

    A post that fits its own topic compressed, or just so, would otherwise stop the worker for ever; by its source
    headers the letter still tells where the original lies, and by a header of its own what is missing, and how large.
    """
    sizes = {
        "value": len(record.value or b""),
        "headers": sum(len(name.encode()) + len(value or b"") for name, value in record.headers),
        "key": len(record.key or b""),
    }
    said = dict(letter.headers)
    omitted = [part for part in OMISSIONS if _OMITTED_HEADERS[part] in said]
    part = next((part for part in OMISSIONS if sizes[part] and part not in omitted), None)
    if part is None:
        return None
    headers = letter.headers
    if part == "headers":
        headers = tuple((name, value) for name, value in headers if name in LETTER_HEADERS)
    return OutgoingMessage(
        letter.topic,
        None if part == "key" else letter.key,
        b"" if part == "value" else letter.value,
        (*headers, (_OMITTED_HEADERS[part], str(sizes[part]).encode())),
    )
