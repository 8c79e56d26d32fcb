"""At least once: posts are tracked, processed, published, confirmed, and only then marked done and committed.

Knows nothing of Faust: fetches come in, outcomes go to the publisher, commit points to the source. What is open is
bounded, so a slow model or broker holds back the reading and not the memory.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Protocol

from worker.errors import DeadReason
from worker.health import HealthState
from worker.messages import ConsumedRecord, Outcome
from worker.metrics import Metrics
from worker.offset_tracker import CommitPoint, OffsetTracker
from worker.positions import Fetch, Partition
from worker.publisher import Publisher

logger = logging.getLogger(__name__)

COMMIT_INTERVAL_S = 0.25


class Source(Protocol):
    """Where the posts come from, and where it is written down how far they are done."""

    @property
    def rebalancing(self) -> bool:
        """Whether partitions are changing hands."""

    def is_current(self, partition: Partition, epoch: int) -> bool:
        """Whether posts read in this epoch are still this worker's."""

    async def commit_points(self, points: Mapping[Partition, CommitPoint]) -> bool:
        """Commit in bounded time; False when it has to be tried again."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what is open: taken in and not yet confirmed."""

    posts: int = 2048
    """The fetch that goes beyond is still taken whole."""
    bytes: int = 256 * 1024 * 1024
    batches: int = 8
    batch_posts: int = 256
    batch_bytes: int = 128 * 1024
    """The post that goes beyond is still taken. 256 posts as long as they may be would take minutes, with no sign of
    progress before the end, and `/live` would have a working worker restarted.
    """


@dataclass(frozen=True, slots=True)
class _Slice:
    """Consecutive posts of one partition on their way, since when, and the tracker that hears when they are done."""

    partition: Partition
    tracker: OffsetTracker
    records: Sequence[ConsumedRecord]
    since: float


# Posts of one partition with the same key are about the same thing, and the last one counts.
_Key = tuple[Partition, bytes]


class Delivery:
    """Carries posts from the source through the pipeline to the broker, some batches at a time."""

    def __init__(
        self,
        source: Source,
        process: Callable[[Sequence[ConsumedRecord]], Awaitable[list[Outcome]]],
        publisher: Publisher,
        *,
        metrics: Metrics,
        health: HealthState,
        limits: Limits | None = None,
    ) -> None:
        self._source = source
        self._process = process
        self._publisher = publisher
        self._metrics = metrics
        self._health = health
        self._limits = limits or Limits()
        self._trackers: dict[Partition, OffsetTracker] = {}
        self._waiting: deque[_Slice] = deque()
        self._batches: dict[asyncio.Task[None], float] = {}
        self._last_with_key: dict[_Key, asyncio.Task[None]] = {}
        self._open_posts = 0
        self._open_bytes = 0
        self._draining = 0
        self._changed = asyncio.Event()
        self._committing = asyncio.Lock()
        # An Event is no use here: who waits for it needs the reason too.
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    # Taking posts in

    async def accept(self, fetch: Fetch) -> None:
        """Take a fetch in; waits while too much is open or what is open is being drained."""
        while not self._has_room():
            self._changed.clear()
            await self._changed.wait()
        if not self._source.is_current(fetch.partition, fetch.epoch):
            return  # its partition changed hands while it waited; whoever has it now reads it again
        tracker = self._tracker(fetch)
        tracker.track(record.offset for record in fetch.records)
        self._open(fetch.records)
        self._waiting.append(_Slice(fetch.partition, tracker, fetch.records, time.monotonic()))
        self._start_batches()

    def _has_room(self) -> bool:
        return (
            not self._draining
            and not self.failed.done()
            and self._open_posts < self._limits.posts
            and self._open_bytes < self._limits.bytes
        )

    def _tracker(self, fetch: Fetch) -> OffsetTracker:
        tracker = self._trackers.get(fetch.partition)
        if tracker is None or tracker.epoch != fetch.epoch:
            tracker = self._trackers[fetch.partition] = OffsetTracker(fetch.epoch)
        return tracker

    # Batches

    def _start_batches(self) -> None:
        while len(self._batches) < self._limits.batches and not self.failed.done() and (batch := self._next_batch()):
            keys = _keys(batch)
            earlier = {task for key in keys if (task := self._last_with_key.get(key)) is not None}
            task = asyncio.create_task(self._deliver(batch, earlier))
            self._batches[task] = batch[0].since
            self._last_with_key.update(dict.fromkeys(keys, task))
            task.add_done_callback(partial(self._batch_ended, keys))

    def _next_batch(self) -> list[_Slice]:
        """What waits, up to a batch: small fetches share one, large ones are cut, and what is no longer ours goes."""
        batch: list[_Slice] = []
        posts, room = self._limits.batch_posts, self._limits.batch_bytes
        while self._waiting and posts > 0 and room > 0:
            piece = self._waiting.popleft()
            if not self._is_current(piece):
                self._close(piece.records)
                continue
            fitting = _fitting(piece.records, posts, room)
            if len(piece.records) > fitting:
                self._waiting.appendleft(replace(piece, records=piece.records[fitting:]))
                piece = replace(piece, records=piece.records[:fitting])
            posts -= fitting
            room -= _bytes(piece.records)
            batch.append(piece)
        return batch

    def _is_current(self, piece: _Slice) -> bool:
        return self._source.is_current(piece.partition, piece.tracker.epoch)

    async def _deliver(self, batch: list[_Slice], earlier: Collection[asyncio.Task[None]]) -> None:
        records = [record for piece in batch for record in piece.records]
        try:
            outcomes = await self._process(records)
            if len(outcomes) != len(records):
                raise RuntimeError(f"the pipeline returned {len(outcomes)} outcomes for {len(records)} records")
            if not await self._is_its_turn(earlier):
                return
            ours = self._still_ours(batch, outcomes)
            with self._metrics.stage("publish"):
                answers = await self._publisher.publish([outcome for _, outcome in ours])
            self._mark_done(ours, answers)
        finally:
            self._close(records)

    async def _is_its_turn(self, earlier: Collection[asyncio.Task[None]]) -> bool:
        """Waits for earlier batches with a key of this one's: an edit or tombstone must not overtake what it follows.

        returns  False when one of them failed, for then the earlier post is still to come
        """
        if earlier:
            await asyncio.wait(earlier)
        return not any(task.cancelled() or task.exception() for task in earlier)

    def _still_ours(self, batch: list[_Slice], outcomes: Iterable[Outcome]) -> list[tuple[OffsetTracker, Outcome]]:
        """Outcomes of posts whose partition left in the meantime are dropped: they are another worker's to publish."""
        remaining = iter(outcomes)
        ours = []
        for piece in batch:
            its_outcomes = islice(remaining, len(piece.records))
            if self._is_current(piece):
                ours += [(piece.tracker, outcome) for outcome in its_outcomes]
            else:
                deque(its_outcomes, maxlen=0)
        return ours

    def _mark_done(self, ours: Iterable[tuple[OffsetTracker, Outcome]], answers: Iterable[Outcome]) -> None:
        now_s = time.time()
        for (tracker, outcome), answer in zip(ours, answers, strict=True):
            record = outcome.record
            tracker.done(record.offset, record.timestamp)
            self._metrics.post_answered(answer.kind, now_s - record.timestamp / 1000)
            if answer is not outcome:
                self._metrics.dead_letter(DeadReason.PUBLISH_FAILED)
        self._health.batch_made()

    def _batch_ended(self, keys: Iterable[_Key], task: asyncio.Task[None]) -> None:
        del self._batches[task]
        for key in keys:
            if self._last_with_key.get(key) is task:
                del self._last_with_key[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            self.fail(error)
        self._start_batches()
        self._changed.set()

    def fail(self, error: BaseException) -> None:
        """Nothing is started any more; `failed` tells why, and the first reason counts."""
        if not self.failed.done():
            self.failed.set_exception(error)
            self.failed.exception()  # counts as seen: nobody may be waiting any more when the worker is leaving

    # Committing

    async def commit_regularly(self) -> None:
        """Commit what is done, four times a second, for as long as it runs; not while partitions change hands."""
        while True:
            await asyncio.sleep(COMMIT_INTERVAL_S)
            if not self._source.rebalancing:
                await self.commit()

    async def commit(self) -> bool:
        """Commit what is done; what could not be committed is kept for the next time."""
        async with self._committing:
            trackers = {
                partition: tracker
                for partition, tracker in self._trackers.items()
                if self._source.is_current(partition, tracker.epoch)
            }
            points = {
                partition: point
                for partition, tracker in trackers.items()
                if (point := tracker.commit_point()) is not None
            }
            if points and not await self._source.commit_points(points):
                return False
            for partition, point in points.items():
                trackers[partition].committed(point)
            return True

    # Letting go

    async def drain(self, timeout_s: float) -> bool:
        """Take nothing more in, finish what is open and commit, all in bounded time; True when nothing is left open."""
        self._draining += 1
        try:
            async with asyncio.timeout(timeout_s):
                while self._open_posts and not self.failed.done():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            logger.warning("%d posts are still open after %.1f s; they will come again", self._open_posts, timeout_s)
        finally:
            self._draining -= 1
            self._changed.set()
        committed = await self.commit()
        return committed and not self._open_posts

    def close_intake(self) -> None:
        """Take nothing more in, for good."""
        self._draining += 1

    def forget(self, partitions: Iterable[Partition]) -> None:
        """These partitions left: nothing of theirs is committed any more."""
        for partition in partitions:
            self._trackers.pop(partition, None)

    # What is open

    @property
    def open_posts(self) -> int:
        """Posts taken in and not yet answered or dropped."""
        return self._open_posts

    def oldest_open_s(self) -> float:
        """Seconds since the oldest open post was taken in, 0 when none is open."""
        since = [*self._batches.values(), *(piece.since for piece in islice(self._waiting, 1))]
        return time.monotonic() - min(since) if since else 0.0

    def _open(self, records: Sequence[ConsumedRecord]) -> None:
        self._open_posts += len(records)
        self._open_bytes += _bytes(records)
        self._health.open_posts(self._open_posts)

    def _close(self, records: Sequence[ConsumedRecord]) -> None:
        self._open_posts -= len(records)
        self._open_bytes -= _bytes(records)
        self._health.open_posts(self._open_posts)


def _keys(batch: Iterable[_Slice]) -> set[_Key]:
    """What holds a batch to the order of its posts; those without a key have none."""
    return {(piece.partition, record.key) for piece in batch for record in piece.records if record.key is not None}


def _fitting(records: Sequence[ConsumedRecord], posts: int, room: int) -> int:
    """How many of the first records make up a batch of so many posts, or of so many bytes with the last one."""
    for count, record in enumerate(records[:posts], start=1):
        room -= len(record.value or b"")
        if room <= 0:
            return count
    return min(len(records), posts)


def _bytes(records: Iterable[ConsumedRecord]) -> int:
    return sum(len(record.value) for record in records if record.value is not None)
