"""Reads topics from a start, without a consumer group: nothing is committed, and no worker notices.

For commands that people run: `tail` follows a topic, `dead` reads what is in one, the demo reads its answers.
"""

import asyncio
import contextlib
import heapq
import time
from collections.abc import AsyncGenerator, Callable, Collection, Mapping
from datetime import datetime
from operator import attrgetter
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.cluster import ClusterMetadata
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from worker.delivery.broker import client_options, remedy
from worker.delivery.topics import TopicsUnavailable
from worker.messages.records import ConsumedRecord
from worker.settings import Settings
from worker.watch.last_words import LastWords
from worker.watch.reading_start import Start

MAX_RECORD_BYTES = 32 * 1024 * 1024
FOLLOW_POLL_MS = 1_000
POLL_MS = 100
LOOK_AGAIN_S = 1.0
LOOK_UP_TIMEOUT_S = 10.0
METADATA_MAX_AGE_MS = 5_000  # how soon new partitions are noticed
SILENCE_S = 10.0  # without a record for so long, the broker is asked whether it is there
STALLED_S = 30.0
LAST_BATCH_TIMEOUT_S = 5.0
STOP_ATTEMPTS, STOP_PAUSE_S = 10, 0.5


class TopicReader:
    """The records of one or several topics, in offset order within each partition and by time as far as that allows."""

    def __init__(
        self,
        settings: Settings,
        *topics: str,
        start: Start = "beginning",
        until: Mapping[TopicPartition, int] | None = None,
        waiting: Callable[[str], None] | None = None,
    ) -> None:
        """Nothing is read before it is opened.

        until    what `ends` of an earlier reader said; None or empty: the ends as they are when it is opened
        waiting  told, once each, of a broker or a topic that is waited for; None: TopicsUnavailable is raised instead
        """
        self._settings = settings
        self._topics = topics
        self._start = start
        self._until = until
        self._waiting = waiting
        self._last_words = LastWords()
        self._is_started = False
        self._cluster = ClusterMetadata()
        self._first: dict[TopicPartition, int] = {}
        self._next: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}

    @property
    def ends(self) -> Mapping[TopicPartition, int]:
        """Behind the last record of each partition that there was when it was opened."""
        return self._ends

    def partitions_of(self, topic: str) -> set[int]:
        """Of any topic, as they were when it was opened; none where there is no such topic."""
        return self._cluster.partitions_for_topic(topic) or set()

    def held(self, partition: int) -> str:
        """Which offsets a partition of the only topic holds, in words."""
        place = TopicPartition(self._topics[0], partition)
        if place not in self._ends:
            return f"it has the partitions {', '.join(str(known.partition) for known in sorted(self._ends))}"
        first, end = self._first[place], self._ends[place]
        return f"partition {partition} holds {first} to {end - 1}" if first < end else f"partition {partition} is empty"

    async def __aenter__(self) -> Self:
        """Find the topics and where to start in them.

        Raises TopicsUnavailable where there is no broker or no such topic, unless it may wait.
        """
        self._last_words.listen()
        self._consumer = AIOKafkaConsumer(
            **client_options(self._settings),
            enable_auto_commit=False,
            # where what was to be read next is gone, by retention or because the topic was made anew
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_partition_fetch_bytes=MAX_RECORD_BYTES,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
        )
        try:
            partitions = await self._until_found()
            async with asyncio.timeout(STALLED_S):
                self._first, self._ends = await self._look_up(partitions)
        except (KafkaError, TimeoutError) as error:
            await self._close()
            raise TopicsUnavailable(f"no answer about {', '.join(self._topics)}: {error!r}") from error
        except BaseException:
            await self._close()
            raise
        self._ends = dict(self._until or self._ends)
        self._read_from(self._first)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _close(self) -> None:
        self._last_words.silence()
        stopping = asyncio.ensure_future(self._consumer.stop())
        for _ in range(STOP_ATTEMPTS):
            await asyncio.wait({stopping}, timeout=STOP_PAUSE_S)
            if stopping.done():
                break
            # aiokafka's fetcher loses a cancellation that comes while it ends the reads of an earlier assignment
            if (fetcher := self._consumer._fetcher) is not None:
                fetcher._fetch_task.cancel()
        else:
            stopping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await stopping

    # Reading

    async def follow(self) -> AsyncGenerator[ConsumedRecord, None]:
        """All records from the start on, and those to come, for as long as it is let; partitions may be added."""
        heard_at = time.monotonic()
        while True:
            records = await self._read(FOLLOW_POLL_MS)
            for record in records:
                yield record
            self._notice_new_partitions()
            if records:
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at > SILENCE_S:
                await self._until_the_broker_answers()
                heard_at = time.monotonic()

    async def present(self) -> AsyncGenerator[ConsumedRecord, None]:
        """The records that there were when the reader was opened, from the start on; may be called again.

        Raises TopicsUnavailable when the broker has gone.
        """
        async for record in self._between(self._first, self._ends):
            yield record

    async def at(self, partition: int, offset: int) -> ConsumedRecord | None:
        """The record at one place of the only topic; None where there is none."""
        place = TopicPartition(self._topics[0], partition)
        if not self._first.get(place, 0) <= offset < self._ends.get(place, 0):
            return None
        return next(iter([record async for record in self._between({place: offset}, {place: offset + 1})]), None)

    async def _between(
        self, first: Mapping[TopicPartition, int], ends: Mapping[TopicPartition, int]
    ) -> AsyncGenerator[ConsumedRecord, None]:
        if self._next != first:  # else nothing was read so far, and what was fetched can stay
            self._read_from(first)
        unread = {partition for partition in first if first[partition] < ends.get(partition, 0)}
        moved_at = time.monotonic()
        while unread:
            before = await self._positions(unread)
            for record in await self._read(POLL_MS, unread):
                if record.offset < ends[TopicPartition(record.topic, record.partition)]:
                    yield record
                moved_at = time.monotonic()
            # not the last record's offset: compaction, markers and aborted posts leave none to see
            after = await self._positions(unread)
            unread = {partition for partition in unread if after[partition] < ends[partition]}
            if after != before:
                moved_at = time.monotonic()
            elif time.monotonic() - moved_at > STALLED_S:
                raise TopicsUnavailable(f"nothing more came within {STALLED_S:.0f} s{self._last_words.because()}")

    # Finding topics and starts

    async def _until_found(self) -> list[TopicPartition]:
        said: set[str] = set()
        while True:
            try:
                return await self._find()
            except TopicsUnavailable as missing:
                if self._waiting is None:
                    raise
                kind = str(missing).partition(" (")[0]
                if kind not in said:
                    self._waiting(f"{missing}; waiting")
                said.add(kind)
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _find(self) -> list[TopicPartition]:
        brokers = ", ".join(self._settings.brokers)
        try:
            async with asyncio.timeout(LOOK_UP_TIMEOUT_S):
                if not self._is_started:
                    await self._consumer.start()
                    self._is_started = True
                # all of them: a broker may make a topic that is asked for by name
                self._cluster = await self._consumer._client.fetch_all_metadata()
        except (KafkaError, OSError, TimeoutError) as error:
            because = self._last_words.because() or f" ({error!r})"
            raise TopicsUnavailable(f"no broker at {brokers}, which MNER_BROKERS names{because}") from error
        partitions = []
        for topic in self._topics:
            if not (numbers := self.partitions_of(topic)):
                raise TopicsUnavailable(f"no topic {topic}{remedy(topic, UnknownTopicOrPartitionError())}")
            partitions += [TopicPartition(topic, number) for number in sorted(numbers)]
        return partitions

    async def _look_up(
        self, partitions: Collection[TopicPartition]
    ) -> tuple[dict[TopicPartition, int], dict[TopicPartition, int]]:
        """Where to start, and the ends; as offsets, for what is published from here on would move "the end"."""
        ends = await self._behind_the_last_batches(await self._consumer.end_offsets(partitions))
        match self._start:
            case "now":
                return ends, ends
            case "beginning":
                return await self._consumer.beginning_offsets(partitions), ends
            case moment:
                found = await self._consumer.offsets_for_times(dict.fromkeys(partitions, _milliseconds(moment)))
                first = {partition: ends[partition] if at is None else at.offset for partition, at in found.items()}
                return first, ends

    async def _behind_the_last_batches(self, ends: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        """The ends as reading finds them: the embedded broker tells the second offset of the last batch for the end."""
        self._read_from({partition: end - 1 for partition, end in ends.items() if end > 0})
        found, deadline = dict(ends), time.monotonic() + LAST_BATCH_TIMEOUT_S
        while self._next and time.monotonic() < deadline:
            await self._consumer.getmany(timeout_ms=POLL_MS)
            positions = await self._positions(self._next)
            found = {partition: max(end, positions.get(partition, 0)) for partition, end in ends.items()}
            if all(position >= ends[partition] for partition, position in positions.items()):
                break
        return found

    def _read_from(self, positions: Mapping[TopicPartition, int]) -> None:
        self._next = dict(positions)
        self._consumer.assign(list(self._next))
        for partition, offset in self._next.items():
            self._consumer.seek(partition, offset)

    # Polling

    async def _read(self, timeout_ms: int, partitions: Collection[TopicPartition] = ()) -> list[ConsumedRecord]:
        await asyncio.sleep(0)  # what is in the buffer comes without waiting, and Ctrl-C would have to
        try:
            batches = await self._consumer.getmany(*partitions, timeout_ms=timeout_ms)
        except KafkaError as error:
            raise TopicsUnavailable(f"{', '.join(self._topics)}: cannot be read: {error!r}") from error
        for partition, records in batches.items():
            self._next[partition] = records[-1].offset + 1
        return [
            record for record in heapq.merge(*batches.values(), key=attrgetter("timestamp")) if self._wanted(record)
        ]

    def _wanted(self, record: Any) -> bool:
        """Not from before the start: brokers that keep no index by time send us to the beginning."""
        if not isinstance(self._start, datetime):
            return True
        was_there = record.offset < self._ends.get(TopicPartition(record.topic, record.partition), 0)
        return not was_there or record.timestamp >= _milliseconds(self._start)

    async def _positions(self, partitions: Collection[TopicPartition]) -> dict[TopicPartition, int]:
        try:
            async with asyncio.timeout(STALLED_S):
                return {partition: await self._consumer.position(partition) for partition in partitions}
        except TimeoutError:
            raise TopicsUnavailable(f"no answer within {STALLED_S:.0f} s{self._last_words.because()}") from None

    def _notice_new_partitions(self) -> None:
        """Read them from their beginning, for all in them came after the start."""
        known = {
            TopicPartition(topic, number)
            for topic in self._topics
            for number in self._consumer.partitions_for_topic(topic) or ()
        }
        if new := known - self._next.keys():
            self._read_from(self._next | dict.fromkeys(new, 0))

    async def _until_the_broker_answers(self) -> None:
        told = False
        while not await self._broker_answers():
            if self._waiting is not None and not told:
                self._waiting(f"no broker answers{self._last_words.because()}; waiting")
            told = True
            await asyncio.sleep(LOOK_AGAIN_S)
        if self._waiting is not None and told:
            self._waiting("a broker answers again")

    async def _broker_answers(self) -> bool:
        partition = next(iter(self._next))
        try:
            async with asyncio.timeout(LOOK_UP_TIMEOUT_S):
                await self._consumer.beginning_offsets([partition])
        except (KafkaError, TimeoutError):
            return False
        return True


def _milliseconds(moment: datetime) -> int:
    return max(0, int(moment.timestamp() * 1_000))
