"""Reading: one message for each read of a partition, judged by its positions before it is handed over.

Faust's own consumer makes one message of each record, about 230 µs apiece, and decides by record offsets what was
seen before; here `Positions` decides.
"""

import logging
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any, ClassVar

from aiokafka.errors import KafkaError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from worker.delivery.offset_tracker import CommitPoint
from worker.delivery.positions import Fetch, Finding, Partition, Positions, Read
from worker.delivery.transport.client import Client
from worker.settings import Settings

logger = logging.getLogger(__name__)

RETRY_S = 0.2


class Consumer(driver.Consumer):
    """Faust's consumer with whole fetches for messages."""

    logger = logging.getLogger("faust")  # mode gives it this module's otherwise, and it says much
    transport: "Transport"
    _thread: Client

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.positions = Positions()
        self._committed: dict[Partition, int] = {}
        self._seek_is_due = True

    def _new_consumer_thread(self) -> Client:
        return Client(self, self.transport.settings, loop=self.loop, beacon=self.beacon)

    # Reading

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109 - Faust's name
        """One message for each partition that was read, its value a Fetch."""
        if not self.flow_active:
            await self.wait(self.can_resume_flow.wait())
        partitions = self._get_active_partitions()
        if self.should_stop or not partitions:
            await self.sleep(RETRY_S)
            return
        if self._seek_is_due and not await self._seek_to_committed():
            await self.sleep(RETRY_S)
            return
        epochs = {partition: self.positions.epoch(partition) for partition in partitions}
        reads = await self._thread.read(partitions, timeout)
        for partition, read in reads.items():
            # what is dropped here is read again: a seek follows every stop of the flow and every revocation,
            # and otherwise the next read is found to begin too late
            if not self.flow_active or self.should_stop:
                return
            epoch = epochs.get(partition)
            if epoch is None or not self.positions.is_current(partition, epoch) or partition not in partitions:
                continue
            fetch = await self._judged(partition, read)
            if fetch is not None and fetch.records:
                yield partition, self._message(partition, fetch)

    async def _judged(self, partition: TP, read: Read) -> Fetch | None:
        """The fetch to deliver, None where the partition has to be read from elsewhere first."""
        expected = self.positions.expected(partition)
        finding = self.positions.judge(partition, read)
        name = f"{partition.topic}[{partition.partition}]"
        match finding:
            case Finding.SKIPPED if expected is not None:
                await self._go_back(partition, expected, read.start)
                return None
            case Finding.REWRITTEN:
                logger.warning("%s: its log was rewritten before %s; reading all of it again", name, expected)
                self.positions.read_from_beginning(partition)
                await self._seek_or_retry({}, (partition,))
                return None
            case Finding.RESTARTED:
                logger.warning("%s: its log now begins again at %d, before %s", name, read.start, expected)
            case _:
                pass
        return self.positions.fetch(partition, read)

    async def _go_back(self, partition: TP, expected: int, start: int) -> None:
        """To what was skipped, or as much of it as there still is."""
        name = f"{partition.topic}[{partition.partition}]"
        try:
            first = await self._thread.beginning(partition)
        except (KafkaError, TimeoutError) as error:
            logger.warning("%s: could not ask where it begins, going back to what was committed: %r", name, error)
            self._seek_is_due = True
            return
        if first > expected:
            logger.warning("%s: offsets %d to %d are no longer in the log", name, expected, first - 1)
            self.positions.skip_to(partition, first)
        else:
            logger.info("%s: read from %d, expected %d; going back", name, start, expected)
        await self._seek_or_retry({partition: max(first, expected)}, ())

    def _message(self, partition: TP, fetch: Fetch) -> ConsumerMessage:
        # Faust compares offsets with the last one it saw, and would drop what comes after a log that was cut
        self._read_offset[partition] = None
        self.app.monitor.track_tp_end_offset(partition, self._thread.highwater(partition) or 0)
        last = fetch.records[-1]
        return ConsumerMessage(
            topic=partition.topic,
            partition=partition.partition,
            offset=last.offset,
            timestamp=last.timestamp / 1000,
            timestamp_type=0,
            headers=[],
            key=None,
            value=fetch,  # type: ignore[arg-type]  # the topic hands it on as it is
            checksum=None,
            tp=partition,
            generation_id=self.app.consumer_generation_id,
        )

    # Seeking

    async def perform_seek(self) -> None:
        """Called at the end of a rebalance; the seek is made before the next read, and again until it succeeds."""
        self._seek_is_due = True

    async def _seek_to_committed(self) -> bool:
        """Begin a new epoch from what the group committed; False when that has to be tried again."""
        self._seek_is_due = False
        try:
            committed = await self._thread.committed()
        except (KafkaError, TimeoutError) as error:
            logger.warning("could not ask for the committed offsets, trying again: %r", error)
            self._seek_is_due = True
            return False
        offsets = self.positions.restart(committed)
        await self._seek_or_retry(offsets, committed.keys() - offsets.keys())
        self._committed.update({partition: point.offset for partition, point in committed.items() if point})
        return not self._seek_is_due

    async def _seek_or_retry(self, offsets: Mapping[Partition, int], beginning: Collection[Partition]) -> None:
        """Move to these offsets, and to the beginning of others; what cannot be done now is made good later."""
        try:
            reached = await self._thread.seek_all(offsets, beginning)
        except (KafkaError, TimeoutError) as error:
            logger.warning("could not seek, going back to the committed offsets: %r", error)
            self._seek_is_due = True
            return
        for partition in beginning:
            if partition in reached:
                self.positions.begins_at(partition, reached[partition])
                self._committed[partition] = reached[partition]

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Faust stops the flow and lets the app drain; only then is the work on these partitions out of date."""
        await super().on_partitions_revoked(revoked)
        self.positions.revoke(revoked)
        self._committed.clear()
        self._seek_is_due = True

    # Committing

    @property
    def rebalancing(self) -> bool:
        """Whether partitions are changing hands."""
        return bool(self.app.rebalancing)

    def is_current(self, partition: Partition, epoch: int) -> bool:
        """Whether posts read in this epoch are still this worker's."""
        return self.positions.is_current(partition, epoch)

    async def commit_points(self, points: Mapping[Partition, CommitPoint]) -> bool:
        """Commit in bounded time; False when it has to be tried again later, if the partitions are still ours then."""
        committed = await self._thread.commit_points(points)
        if committed:
            self._committed.update({partition: point.offset for partition, point in points.items()})
        return committed

    async def refresh_ends(self) -> None:
        """Learn where the partitions end, also while nothing is read; what no broker tells is unknown after a while."""
        if not self._committed or self.rebalancing:
            return
        try:
            await self._thread.refresh_ends()
        except (KafkaError, TimeoutError) as error:
            logger.debug("not told where the partitions end: %r", error)

    def why_not_in_group(self) -> str:
        """What has kept this worker out of the group since the last look; it tries again when somebody has looked.

        Raises KafkaError where it never will.
        """
        return self._thread.why_not_in_group()

    def last_answer(self) -> float | None:
        """When a broker last answered this consumer anything, by `time.monotonic`; None where it has no connection."""
        return self._thread.last_answer()

    def lag(self) -> dict[Partition, int]:
        """How far each partition's committed offset is behind its end, where a broker has told it lately."""
        ends = {partition: self._thread.highwater(TP(*partition)) for partition in self._committed}
        return {
            partition: max(0, end - self._committed[partition]) for partition, end in ends.items() if end is not None
        }

    # What Faust does and this consumer must not

    def on_buffer_full(self, tp: TP) -> None:
        """Nothing: waiting for room in the buffer is back-pressure enough, pausing partitions costs a second each."""

    def on_buffer_drop(self, tp: TP) -> None:
        """Nothing, as above."""

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: it reads a position that a pending reset does not have; `/live` tells of a stall."""


class Transport(driver.Transport):
    """Faust's aiokafka transport with the consumer above."""

    Consumer: ClassVar[type[Consumer]] = Consumer

    def __init__(self, *args: Any, settings: Settings, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.settings = settings
