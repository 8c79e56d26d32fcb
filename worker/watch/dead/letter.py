"""A dead letter as it is read back from its topic: why, when, from where, and the post as it came."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from worker.errors import DeadReason
from worker.messages.records import ConsumedRecord, Place
from worker.messages.wire import LETTER_HEADERS, OMISSIONS, from_milliseconds

_NEEDED = ("error.reason", "source.topic", "source.partition", "source.offset")


class NotADeadLetter(ValueError):
    """A record whose headers do not say what a dead letter's do; the message says which is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A post that could not be answered otherwise."""

    place: Place
    """Where the letter lies."""
    published_at: datetime
    """The broker's timestamp of the letter."""
    reason: str
    """Of `DeadReason`, or of a later version's."""
    detail: str
    source: Place
    """Where the post was read from."""
    failed_at: str
    """RFC 3339, as the worker wrote it; empty where it did not."""
    attempts: int | None
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    """The post's own, without those that made a letter of it."""
    omitted_bytes: Mapping[str, int] = field(default_factory=dict)
    """How large those of value, headers and key were that the letter had to go without."""

    @property
    def key_text(self) -> str | None:
        """The key as people read it, usually the post's id; None where there is none."""
        return None if self.key is None else self.key.decode("utf-8", "replace")

    def is_about(self, post_id: str) -> bool:
        """Whether the post has this id: by its key or, as these may differ or be missing, by its value."""
        return post_id in {self.key_text, _id_within(self.value)}


def read_letter(record: ConsumedRecord) -> DeadLetter:
    """The dead letter in a record of its topic. Raises NotADeadLetter."""
    said = _said(record)
    if missing := [name for name in _NEEDED if name not in said]:
        raise NotADeadLetter(f"received a record without the headers {', '.join(missing)}, expected a dead letter")
    return DeadLetter(
        place=Place.of(record),
        published_at=from_milliseconds(record.timestamp),
        reason=said["error.reason"],
        detail=said.get("error.detail", ""),
        source=Place(said["source.topic"], _number(said, "source.partition"), _number(said, "source.offset")),
        failed_at=said.get("failed_at", ""),
        attempts=_number(said, "attempts") if "attempts" in said else None,
        key=record.key,
        value=value_as_it_came(record),
        headers=tuple((name, value) for name, value in record.headers if name not in LETTER_HEADERS),
        omitted_bytes={
            part: _number(said, f"{part}.omitted_bytes") for part in OMISSIONS if f"{part}.omitted_bytes" in said
        },
    )


def value_as_it_came(record: ConsumedRecord) -> bytes | None:
    """The value of the post that a record of the dead-letter topic is about.

    A post of neither key nor value lies there with an empty value: aiokafka sends no record of neither.
    """
    had_neither = record.key is None and not record.value and _said(record).get("error.reason") == DeadReason.NO_KEY
    return None if had_neither else record.value


def _said(record: ConsumedRecord) -> dict[str, str]:
    """What our headers say; of a name given twice the last counts, for ours stand behind the post's own."""
    return {name: (value or b"").decode("utf-8", "replace") for name, value in record.headers if name in LETTER_HEADERS}


def _number(said: Mapping[str, str], name: str) -> int:
    text = said[name]
    if not (text.isascii() and text.isdigit()):
        raise NotADeadLetter(f"{name}: received {text!r}, expected digits")
    return int(text)


def _id_within(value: bytes | None) -> str | None:
    try:
        post = json.loads(value or b"")
    except (ValueError, RecursionError):
        return None
    return post.get("id") if isinstance(post, dict) and isinstance(post.get("id"), str) else None
