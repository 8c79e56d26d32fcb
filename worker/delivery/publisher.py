"""Publishing what answers a post, and knowing that the broker has it.

A message that cannot be published is tried again for a while; then its post becomes a dead letter; and if even that
cannot be published the worker must stop, for a post without an answer must not be committed.
"""

import asyncio
import logging
from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    UnknownTopicOrPartitionError,
)
from aiokafka.partitioner import DefaultPartitioner

from worker.delivery.broker import TopicClient, client_options, remedy, topic_errors
from worker.errors import DeadReason, Unpublishable
from worker.messages.records import ConsumedRecord, Outcome, OutgoingMessage
from worker.messages.wire import POST_MAX_BYTES, dead_letter, without
from worker.settings import Settings

logger = logging.getLogger(__name__)

# Whatever could be read fits into its dead letter as far as this client is concerned; brokers have message.max.bytes.
MAX_REQUEST_BYTES = 2 * POST_MAX_BYTES
# One request is under way to each broker at a time, with one batch for each partition: at aiokafka's 16 KiB its
# round trips are what the whole worker waits for.
BATCH_BYTES = 128 * 1024
LINGER_MS = 5


class Producer(TopicClient, Protocol):
    """The part of a producer that publishing needs."""

    def knows(self, topic: str) -> bool:
        """Whether `send` can choose a partition of it without asking the broker first."""

    async def send(
        self, topic: str, value: bytes | None = None, key: bytes | None = None, *, headers: Any = None
    ) -> Awaitable[Any]:
        """Take a message into the buffer; the result resolves when the broker confirmed or refused it."""

    async def send_alone(self, topic: str, value: bytes | None, key: bytes | None, *, headers: Any) -> Awaitable[Any]:
        """As `send`, in a produce batch with no other message."""


class KafkaProducer(AIOKafkaProducer):  # type: ignore[misc]  # aiokafka has no types
    """aiokafka's producer, which can send a message by itself too: brokers refuse produce batches as a whole."""

    def knows(self, topic: str) -> bool:
        """Whether the partitions of the topic are known."""
        return self.client.cluster.partitions_for_topic(topic) is not None

    async def send_alone(self, topic: str, value: bytes | None, key: bytes | None, *, headers: Any) -> Awaitable[Any]:
        """As `send`, to the same partition, in a produce batch with no other message."""
        partitions = sorted(await self.partitions_for(topic))
        batch = self.create_batch()
        batch.append(timestamp=None, key=key, value=value, headers=headers)
        batch.close()
        partition = DefaultPartitioner()(key, partitions, partitions)
        confirmation: Awaitable[Any] = await self.send_batch(batch, topic, partition=partition)
        return confirmation


def new_producer(settings: Settings) -> KafkaProducer:
    """The worker's producer, not started.

    Not idempotent: in aiokafka a batch that the broker refuses, for its size say, would leave a hole in the sequence
    and every later batch of its partition would be refused too. A retry may publish twice, as any redelivery may.
    """
    return KafkaProducer(
        **client_options(settings),
        acks="all",
        linger_ms=LINGER_MS,
        max_batch_size=BATCH_BYTES,
        max_request_size=MAX_REQUEST_BYTES,
    )


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a message is tried in all, and the pauses between, doubling from the first to the longest."""

    attempts: int = 6
    first_pause_s: float = 0.1
    longest_pause_s: float = 5.0

    def pause_s(self, attempt: int) -> float:
        """How long to wait after this failed attempt, counted from 1."""
        return min(self.first_pause_s * 2.0 ** (attempt - 1), self.longest_pause_s)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """A message that was given up: for which topic, after how many attempts, and why."""

    topic: str
    attempts: int
    error: KafkaError


class Publisher:
    """Publishes outcomes, several calls at a time."""

    def __init__(self, producer: Producer, dead_topic: str, retry: Retry | None = None) -> None:
        self._producer = producer
        self._dead_topic = dead_topic
        self._retry = retry or Retry()
        self._said_too_large: set[str] = set()

    async def publish(self, outcomes: Sequence[Outcome]) -> list[Outcome]:
        """Send everything, and return when the broker has confirmed everything.

        returns  what was published for each outcome, in order: a dead letter where the outcome itself was refused

        Raises Unpublishable when not even the dead letter could be published.
        """
        messages = [message for outcome in outcomes for message in outcome.messages]
        refusals = await self._send_until_settled(messages)
        if not refusals:
            return list(outcomes)
        owners = [position for position, outcome in enumerate(outcomes) for _ in outcome.messages]
        given_up = {owners[index]: refusal for index, refusal in refusals.items()}
        published = list(outcomes)
        for position, refusal in given_up.items():
            published[position] = await self._bury(outcomes[position], refusal)
        return published

    async def _send_until_settled(self, messages: Sequence[OutgoingMessage]) -> dict[int, _Refusal]:
        """Each message is confirmed or given up in the end; returns those given up, by their index.

        A topic that is missing is waited for, however long: all posts would become dead letters otherwise.
        """
        refusals: dict[int, _Refusal] = {}
        alone: set[int] = set()  # too large together with others, which may not be its own fault
        pending: Sequence[int] = range(len(messages))
        attempt = 1
        while pending:
            errors = await _errors(await self._send(messages, pending, alone))
            too_large = {index for index, error in errors.items() if _is_too_large(error)} - alone
            missing = {index for index, error in errors.items() if isinstance(error, UnknownTopicOrPartitionError)}
            passing = {index for index, error in errors.items() if _may_pass(error)} - missing
            if attempt == self._retry.attempts:
                passing.clear()
            for index in errors.keys() - too_large - missing - passing:
                refusals[index] = _Refusal(messages[index].topic, attempt, errors[index])
            if missing or passing:
                await self._pause(attempt, messages, errors, min(missing | passing))
                attempt += bool(passing)
            self._say_too_large({messages[index].topic for index in too_large})
            alone |= too_large
            pending = _with_what_follows(messages, too_large | missing | passing, refusals)
        return refusals

    def _say_too_large(self, topics: Collection[str]) -> None:
        for topic in sorted(set(topics) - self._said_too_large):
            logger.warning(
                "%s refuses what is sent together as too large, and it is sent again one by one, which is slow: "
                "its max.message.bytes should be more than %d",
                topic,
                BATCH_BYTES,
            )
        self._said_too_large.update(topics)

    async def _pause(
        self, attempt: int, messages: Sequence[OutgoingMessage], errors: Mapping[int, KafkaError], first: int
    ) -> None:
        topic, error, pause_s = messages[first].topic, errors[first], self._retry.pause_s(attempt)
        reason = f"{topic}: {error!r}{remedy(topic, error)}"
        logger.warning("%d messages not published (%s); again in %.1f s", len(errors), reason, pause_s)
        await asyncio.sleep(pause_s)

    async def _send(
        self, messages: Sequence[OutgoingMessage], pending: Iterable[int], alone: Collection[int]
    ) -> dict[int, Awaitable[Any] | KafkaError]:
        """An error at the door is a result like one from the broker: the other messages are to be awaited too."""
        # All missing topics at once: `send` would look for each message's topic by itself, 40 s long.
        unknown = {topic for index in pending if not self._producer.knows(topic := messages[index].topic)}
        unavailable = await topic_errors(self._producer, unknown)
        confirmations: dict[int, Awaitable[Any] | KafkaError] = {}
        for index in pending:
            message = messages[index]
            if message.topic in unavailable:
                confirmations[index] = unavailable[message.topic]
                continue
            send = self._producer.send_alone if index in alone else self._producer.send
            # aiokafka refuses to send neither key nor value, but a post of neither must be dead-lettered too
            value = b"" if message.value is None and message.key is None else message.value
            try:
                confirmations[index] = await send(message.topic, value, message.key, headers=list(message.headers))
            except KafkaError as error:
                confirmations[index] = error
        return confirmations

    # Dead letters

    async def _bury(self, outcome: Outcome, refusal: _Refusal) -> Outcome:
        """Publish a dead letter instead of an outcome that was given up, itself perhaps a dead letter."""
        where = f"{outcome.record.topic}[{outcome.record.partition}]@{outcome.record.offset}"
        detail = f"{refusal.topic}: {refusal.error!r}{remedy(refusal.topic, refusal.error)}"
        if outcome.kind != "dead":
            logger.error("%s: its record could not be published, it becomes a dead letter: %s", where, detail)
            letter = self._letter(outcome.record, detail, refusal.attempts)
        elif _is_too_large(refusal.error) and (smaller := without(outcome.messages[0], outcome.record)):
            logger.error("%s: too large for %s, whose max.message.bytes should be raised", where, self._dead_topic)
            letter = smaller
        else:
            raise Unpublishable(f"{where}: no answer could be published, not even a dead letter to {detail}")
        dead = replace(outcome, messages=(letter,), kind="dead")
        refusals = await self._send_until_settled(dead.messages)
        return await self._bury(dead, refusals[0]) if refusals else dead

    def _letter(self, record: ConsumedRecord, detail: str, attempts: int) -> OutgoingMessage:
        return dead_letter(
            record,
            DeadReason.PUBLISH_FAILED,
            detail,
            topic=self._dead_topic,
            attempts=attempts,
            failed_at=datetime.now(UTC),
        )


def _with_what_follows(
    messages: Sequence[OutgoingMessage], again: Collection[int], given_up: Collection[int]
) -> list[int]:
    """What is sent again, and after it what followed with the same key, confirmed or not: the last one must stay last.

    Indices in, indices out, in order.
    """
    first: dict[tuple[str, bytes], int] = {}
    for index in sorted(again):
        message = messages[index]
        if message.key is not None:
            first.setdefault((message.topic, message.key), index)
    return [
        index
        for index, message in enumerate(messages)
        if index in again
        or (
            message.key is not None
            and index > first.get((message.topic, message.key), len(messages))
            and index not in given_up
        )
    ]


async def _errors(confirmations: Mapping[int, Awaitable[Any] | KafkaError]) -> dict[int, KafkaError]:
    """What was not confirmed, by its index; returns when everything is settled."""
    errors: dict[int, KafkaError] = {}
    for index, confirmation in confirmations.items():
        if isinstance(confirmation, KafkaError):
            errors[index] = confirmation
            continue
        try:
            await confirmation
        except KafkaError as error:
            errors[index] = error
    return errors


def _is_too_large(error: KafkaError) -> bool:
    return isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError)


def _may_pass(error: KafkaError) -> bool:
    """Whether the same message may be accepted later; aiokafka does not call its own time-outs retriable."""
    return bool(error.retriable) or isinstance(error, KafkaTimeoutError)
