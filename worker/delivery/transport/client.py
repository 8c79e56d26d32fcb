"""What talks to the broker for the consumer: reads with their positions, seeks, commits."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import CommitFailedError, ConsumerStoppedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.utils.futures import maybe_async

from worker.delivery.broker import client_options, last_answer
from worker.delivery.offset_tracker import CommitPoint
from worker.delivery.positions import Partition, Read
from worker.settings import Settings
from worker.telemetry import logs

logger = logging.getLogger(__name__)

COMMIT_TIMEOUT_S = 5.0
SEEK_TIMEOUT_S = 30.0
# They are asked for every five seconds, and come with every fetch.
END_KNOWN_FOR_S = 30.0


class GroupConsumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka has no types
    """aiokafka's consumer, whose commits fail in silence once nobody waits for them any more.

    It shields each commit's request from whoever gives up waiting, and asyncio writes a traceback for each of them that
    fails afterwards: in an outage, all do.
    """

    async def start(self) -> None:
        """Connect and join the group."""
        await super().start()
        commit = self._coordinator._do_commit_offsets

        async def commit_or_fail_in_silence(*offsets: Any) -> None:
            task = asyncio.current_task()
            assert task is not None
            task.add_done_callback(_retrieved)
            await commit(*offsets)

        self._coordinator._do_commit_offsets = commit_or_fail_in_silence


def _retrieved(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()


def new_consumer(settings: Settings) -> GroupConsumer:
    """The aiokafka consumer that reads the posts, not started."""
    return GroupConsumer(
        **client_options(settings),
        group_id=settings.group,
        partition_assignment_strategy=[RoundRobinPartitionAssignor],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_poll_records=500,
        max_poll_interval_ms=900_000,
        session_timeout_ms=_milliseconds(settings.session_timeout_s),
        heartbeat_interval_ms=_milliseconds(settings.heartbeat_s),
        rebalance_timeout_ms=_milliseconds(settings.rebalance_timeout_s),
        # a join is answered only after the whole rebalance
        request_timeout_ms=_milliseconds(max(settings.rebalance_timeout_s, settings.session_timeout_s) + 30),
        # five minutes, the default, is how long a worker would sit idle after its topic was made anew
        metadata_max_age_ms=5_000,
    )


class Client(driver.AIOKafkaConsumerThread):
    """Faust's consumer thread without the thread: aiokafka's consumer in the loop where everything else is.

    Two busy threads pass the interpreter to one another every 5 ms, and each read would wait for that twice. Heartbeats
    have nothing to fear from this loop, which is never busy for long: models compute in threads of their own.
    """

    logger = logging.getLogger("faust")  # mode gives it this module's otherwise, and it says much
    consumer: driver.Consumer

    def __init__(
        self, consumer: driver.Consumer, settings: Settings, *, loop: asyncio.AbstractEventLoop, **kwargs: Any
    ) -> None:
        super().__init__(consumer, loop=loop, thread_loop=loop, **kwargs)
        self._settings = settings
        self._uncommitted = logs.Recurring(logger, "not committed, the offsets are kept")
        self._refused = logs.Recurring(logger, "not in the group, trying again")

    async def maybe_start(self) -> bool:
        """Start it unless it was; whether this call did."""
        if self._started.is_set():
            return False
        await self.start()
        return True

    async def start(self) -> None:
        """Connect and be ready to join the group."""
        await self._default_start()

    async def stop(self) -> None:
        """Leave the group and close the connections."""
        if self._started.is_set() and not self._stopped.is_set():
            self._stopped.set()
            # without a broker aiokafka passes on the cancellation of its own fetch
            with contextlib.suppress(asyncio.CancelledError):
                await self.on_thread_stop()
            await self._default_stop_futures()
            await self._default_stop_exit_stacks()
            self._shutdown.set()

    async def call_thread(self, fun: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        """Call it, here and now."""
        return await maybe_async(fun(*args, **kwargs))

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Partitions are about to go; they are ours until this returns."""
        await self.consumer.on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Partitions have come."""
        self._refused.ended("in the group")
        await self.consumer.on_partitions_assigned(assigned, generation_id)

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        return new_consumer(self._settings)

    async def read(self, partitions: set[TP], timeout_s: float) -> dict[TP, Read]:
        """At most one poll's records, by partition; empty after timeout_s without any."""
        consumer = self._ensure_consumer()
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError
        deadline = time.monotonic() + timeout_s
        with fetcher._subscriptions.fetch_context():
            while self.consumer.flow_active and partitions:
                before = self._positions(consumer)
                # with a timeout of 0 it takes what is there without awaiting, so `before` is where it begins
                drained = await fetcher.fetched_records(partitions, timeout=0, max_records=consumer._max_poll_records)
                reads = _reads(before, self._positions(consumer), drained)
                left_s = deadline - time.monotonic()
                if reads or left_s <= 0:
                    return reads
                waiter = fetcher._create_fetch_waiter()
                await asyncio.wait([waiter], timeout=left_s)
                waiter.cancel()
        return {}

    async def beginning(self, partition: TP) -> int:
        """The first offset that is still in a partition's log."""
        async with asyncio.timeout(SEEK_TIMEOUT_S):
            begins = await self._ensure_consumer().beginning_offsets([TopicPartition(*partition)])
        return int(begins[TopicPartition(*partition)])

    async def committed(self) -> dict[Partition, CommitPoint | None]:
        """What the group committed for each assigned partition."""
        consumer = self._ensure_consumer()
        assigned = consumer.assignment()
        async with asyncio.timeout(SEEK_TIMEOUT_S):
            stored = await consumer._coordinator.fetch_committed_offsets(list(assigned))
        return {
            TP(*partition): CommitPoint.read(stored[partition].offset, stored[partition].metadata)
            if partition in stored
            else None
            for partition in assigned
        }

    async def seek_all(self, offsets: Mapping[Partition, int], beginning: Iterable[Partition]) -> dict[TP, int]:
        """Move to these offsets, and to the beginning of other partitions; returns the positions of all.

        aiokafka's own seek to what was committed passes over partitions with nothing committed.
        """
        consumer = self._ensure_consumer()
        for partition, offset in offsets.items():
            consumer.seek(TopicPartition(*partition), offset)
        first = [TopicPartition(*partition) for partition in beginning]
        if first and not await consumer.seek_to_beginning(*first):
            raise TimeoutError("no answer about where the partitions begin")
        return self._positions(consumer)

    async def commit_points(self, points: Mapping[Partition, CommitPoint]) -> bool:
        """Commit in bounded time; False when the group has moved on or its coordinator does not answer."""
        consumer = self._ensure_consumer()
        assigned = consumer.assignment()
        offsets = {
            TopicPartition(*partition): OffsetAndMetadata(point.offset, point.metadata)
            for partition, point in points.items()
            if partition in assigned
        }
        if not offsets:
            return not points  # aiokafka raises ValueError where there is nothing to commit
        try:
            async with asyncio.timeout(COMMIT_TIMEOUT_S):
                await consumer.commit(offsets)
        except (CommitFailedError, IllegalStateError) as error:
            logger.info("not committed, the group has moved on: %r", error)
            return False
        except TimeoutError:
            self._uncommitted.happened(f"no answer within {COMMIT_TIMEOUT_S:g} s")
            return False
        self._uncommitted.ended("committed again")
        return len(offsets) == len(points)

    def why_not_in_group(self) -> str:
        """What has kept aiokafka out of the group since the last look, such as a missing right; else empty.

        It waits until somebody has looked, and then tries again. Raises KafkaError where it does not.
        """
        coordinator = self._consumer and self._consumer._coordinator
        if coordinator is None:
            return ""
        if coordinator._coordination_task.done():
            coordinator._coordination_task.result()
            return ""
        try:
            coordinator.check_errors()
        except KafkaError as error:
            self._refused.happened(repr(error))
            return repr(error)
        return ""

    def last_answer(self) -> float | None:
        """When a broker last answered this consumer anything, by `time.monotonic`; None where it has no connection."""
        return None if self._consumer is None else last_answer(self._consumer._client)

    def highwater(self, tp: TP) -> int | None:  # type: ignore[override]  # Faust's own would fail where there is none
        """The end of a partition; None where no broker has told it for half a minute, or it is no longer ours."""
        state = _states(self._ensure_consumer()).get(tp)
        if state is None or state.timestamp is None or time.time() - state.timestamp / 1000 > END_KNOWN_FOR_S:
            return None
        return int(state.highwater)

    async def refresh_ends(self) -> None:
        """Ask where the partitions end: that comes with fetches otherwise, and none are made while nothing is taken.

        Raises KafkaError or TimeoutError where the broker does not tell in time.
        """
        consumer = self._ensure_consumer()
        if assigned := list(consumer.assignment()):
            async with asyncio.timeout(SEEK_TIMEOUT_S):
                ends = await consumer.end_offsets(assigned)
            for partition, state in _states(consumer).items():
                if partition in ends:
                    # as aiokafka does with what a fetch tells
                    state.highwater, state.timestamp = ends[partition], int(time.time() * 1000)

    @staticmethod
    def _positions(consumer: AIOKafkaConsumer) -> dict[TP, int]:
        states = _states(consumer)
        return {partition: state.position for partition, state in states.items() if state.has_valid_position}


def _states(consumer: AIOKafkaConsumer) -> dict[TP, Any]:
    subscription = consumer._subscription.subscription
    if subscription is None or subscription.assignment is None:
        return {}
    assignment = subscription.assignment
    return {TP(*partition): assignment.state_value(partition) for partition in assignment.tps}


def _reads(before: Mapping[TP, int], after: Mapping[TP, int], drained: Mapping[TP, list[Any]]) -> dict[TP, Read]:
    """Partitions without a record are among them where their position moved, past markers and aborted posts."""
    return {
        partition: Read(start, after[partition], drained.get(partition, ()))
        for partition, start in before.items()
        if partition in after and after[partition] != start
    }


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
