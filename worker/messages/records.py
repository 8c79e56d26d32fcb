"""Records as they are consumed, the messages that answer them, and the answer as a whole.

Knows nothing of Kafka clients: a consumed record is anything with a topic, an offset, a key and a value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, Self

from worker.errors import DeadReason, Rejected

OutcomeKind = Literal["tagged", "dead", "deleted", "untagged"]


class ConsumedRecord(Protocol):
    """A record as a consumer hands it over; aiokafka's ConsumerRecord is one.

    timestamp  milliseconds since 1970, UTC
    value      None in a tombstone, which deletes what its key names
    """

    @property
    def topic(self) -> str: ...  # noqa: D102
    @property
    def partition(self) -> int: ...  # noqa: D102
    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def timestamp(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...  # noqa: D102


class Place(NamedTuple):
    """Where a record lies."""

    topic: str
    partition: int
    offset: int

    @classmethod
    def of(cls, record: ConsumedRecord) -> Self:
        """Where this one does."""
        return cls(record.topic, record.partition, record.offset)

    def __str__(self) -> str:
        return f"{self.topic} {self.partition}:{self.offset}"


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A record to be published; a value of None is a tombstone."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to one consumed record: what the broker must confirm before its offset counts as done."""

    record: ConsumedRecord
    messages: tuple[OutgoingMessage, ...]
    kind: OutcomeKind


def tombstone(record: ConsumedRecord, entities_topic: str) -> OutgoingMessage:
    """The tombstone that passes a post's deletion on. Raises Rejected if the record has no key to delete."""
    if record.key is None:
        raise Rejected(DeadReason.NO_KEY, "key: received none with a null value, expected the id of the post to delete")
    return OutgoingMessage(entities_topic, record.key, None)
