"""At least once: posts are tracked, processed, published, confirmed, and only then marked done and committed.

Knows nothing of Faust: fetches come in, outcomes go to the publisher, commit points to the source. What is open is
bounded, so a slow model or broker holds back the reading and not the memory.
"""

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol

from worker.delivery.batches import Batch, KeyOrder, Slice, batch_of, fitting, keys, size_bytes
from worker.delivery.offset_tracker import CommitPoint, OffsetTracker
from worker.delivery.positions import Fetch, Partition
from worker.delivery.publisher import Publisher
from worker.errors import DeadReason
from worker.messages.records import ConsumedRecord, Outcome
from worker.telemetry import logs, tracing
from worker.telemetry.health import HealthState
from worker.telemetry.metrics import Metrics
from worker.telemetry.tracing import WindowTrace

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


class Pipeline(Protocol):
    """What answers posts: `worker.tagging.pipeline.Pipeline`, or a stand-in."""

    @property
    def is_crowded(self) -> bool:
        """Whether what it waits for is so much that it should be given no further posts."""

    def answers(self, records: Sequence[ConsumedRecord], /) -> AsyncGenerator[list[Outcome], None]:
        """The answer to each record, in parts as they are ready; records with one key in one part, in their order.

        A part that is empty says that all answers to come are waiting for something else than the model.
        """


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what is open: taken in and not yet confirmed."""

    posts: int = 2048
    """The fetch that goes beyond is still taken whole."""
    bytes: int = 256 * 1024 * 1024
    batches: int = 8
    """Those that the model may be at work for; one that only waits for late images holds nobody else up."""
    batch_posts: int = 256
    batch_bytes: int = 128 * 1024
    """The post that goes beyond is still taken. 256 posts as long as they may be would take minutes, with no sign of
    progress before the end, and `/live` would have a working worker restarted.
    """


class Delivery:
    """Carries posts from the source through the pipeline to the broker, some batches at a time."""

    def __init__(
        self,
        source: Source,
        pipeline: Pipeline,
        publisher: Publisher,
        *,
        metrics: Metrics,
        health: HealthState,
        limits: Limits,
    ) -> None:
        self._source = source
        self._pipeline = pipeline
        self._publisher = publisher
        self._metrics = metrics
        self._health = health
        self._limits = limits
        self._trackers: dict[Partition, OffsetTracker] = {}
        self._waiting: deque[Slice] = deque()
        self._batches: dict[asyncio.Task[None], Batch] = {}
        self._slots_taken = 0
        self._order = KeyOrder()
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
        self._waiting.append(Slice(fetch.partition, tracker, fetch.records, time.monotonic()))
        self._start_batches()

    def _has_room(self) -> bool:
        return (
            not self._draining
            and not self.failed.done()
            and not self._pipeline.is_crowded
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
        while self._slots_taken < self._limits.batches and not self.failed.done() and (pieces := self._next_batch()):
            batch = batch_of(pieces)
            self._order.enter(batch)
            self._slots_taken += 1
            task = asyncio.create_task(self._deliver(batch))
            self._batches[task] = batch
            task.add_done_callback(self._batch_ended)

    def _next_batch(self) -> list[Slice]:
        """What waits, up to a batch: small fetches share one, large ones are cut, and what is no longer ours goes."""
        batch: list[Slice] = []
        posts, room = self._limits.batch_posts, self._limits.batch_bytes
        while self._waiting and posts > 0 and room > 0:
            piece = self._waiting.popleft()
            if not self._is_current(piece.partition, piece.tracker):
                self._close(piece.records)
                continue
            count = fitting(piece.records, posts, room)
            if len(piece.records) > count:
                self._waiting.appendleft(replace(piece, records=piece.records[count:]))
                piece = replace(piece, records=piece.records[:count])
            posts -= count
            room -= size_bytes(piece.records)
            batch.append(piece)
        return batch

    def _is_current(self, partition: Partition, tracker: OffsetTracker) -> bool:
        return self._source.is_current(partition, tracker.epoch)

    async def _deliver(self, batch: Batch) -> None:
        """One window from its posts to the broker's confirmations; this is all that its task does."""
        window_id, began = secrets.token_hex(4), time.monotonic()
        with tracing.window(window_id, batch.records) as trace:
            logs.about.set({"window": window_id, "trace": trace.trace_id})
            await self._answer(batch, trace)
        posts, took_s = len(batch.records), time.monotonic() - began
        counts = ", ".join(f"{count} {kind}" for kind, count in sorted(batch.answered.items())) or "none answered"
        figures = dict(batch.answered) | {"posts": posts, "seconds": round(took_s, 4)}
        logger.debug("window of %d posts in %.3f s: %s", posts, took_s, counts, extra={"figures": figures})

    async def _answer(self, batch: Batch, trace: WindowTrace) -> None:
        held: list[Outcome] = []
        async with aclosing(self._pipeline.answers(batch.records)) as parts:
            while len(batch.remaining) > len(held):
                with self._health.tagging.on(len(batch.remaining) - len(held)):
                    outcomes = await anext(parts, None)
                if outcomes is None:
                    left, all_ = len(batch.remaining) - len(held), len(batch.records)
                    raise RuntimeError(f"the pipeline left {left} of {all_} records without an answer")
                ready = [outcome for outcome in outcomes if not batch.is_behind(outcome.record)]
                if len(ready) < len(outcomes):
                    held += [outcome for outcome in outcomes if batch.is_behind(outcome.record)]
                await self._publish(batch, ready, trace)
                self._leave_slot(batch)
        if held and await self._is_their_turn(batch, held):
            await self._publish(batch, held, trace)
            self._changed.set()

    async def _is_their_turn(self, batch: Batch, outcomes: Iterable[Outcome]) -> bool:
        """Waits for earlier posts of their keys: an edit or tombstone must not overtake what it follows.

        returns  False when one of them failed, for then the earlier post is still to come
        """
        earlier = [batch.earlier[key] for key in keys(outcome.record for outcome in outcomes)]
        await asyncio.wait(earlier)
        return all(answered.result() for answered in earlier)

    async def _publish(self, batch: Batch, outcomes: Sequence[Outcome], trace: WindowTrace) -> None:
        """Outcomes of posts whose partition left in the meantime are dropped: they are another worker's to publish."""
        if not outcomes:
            return
        trackers = {
            partition: tracker for partition, tracker in batch.trackers.items() if self._is_current(partition, tracker)
        }
        current = [outcome for outcome in outcomes if (outcome.record.topic, outcome.record.partition) in trackers]
        ours = trace.carried_on(current)
        with self._metrics.stage("publish"), tracing.stage("publish"), self._health.publishing.on(len(ours)):
            answers = await self._publisher.publish(ours)
        trace.answered(answers)
        batch.answered.update(answer.kind for answer in answers)
        self._mark_done(trackers, ours, answers)
        records = [outcome.record for outcome in outcomes]
        for record in records:
            del batch.remaining[record.topic, record.partition, record.offset]
        self._order.leave(batch, records, answered=True)
        self._close(records)

    def _mark_done(
        self, trackers: Mapping[Partition, OffsetTracker], ours: Iterable[Outcome], answers: Iterable[Outcome]
    ) -> None:
        now_s = time.time()
        for outcome, answer in zip(ours, answers, strict=True):
            record = outcome.record
            trackers[record.topic, record.partition].done(record.offset, record.timestamp)
            self._metrics.post_answered(answer.kind, now_s - record.timestamp / 1000)
            if answer is not outcome:
                self._metrics.dead_letter(DeadReason.PUBLISH_FAILED)

    def _leave_slot(self, batch: Batch) -> None:
        """What this batch still waits for, a late image, needs neither the model nor the broker now."""
        if batch.has_slot:
            batch.has_slot = False
            self._slots_taken -= 1
            self._start_batches()
        self._changed.set()

    def _batch_ended(self, task: asyncio.Task[None]) -> None:
        batch = self._batches.pop(task)
        if task.cancelled():
            self.fail(RuntimeError("a batch was cancelled"))
        elif (error := task.exception()) is not None:
            self.fail(error)
        self._order.leave(batch, batch.remaining.values(), answered=False)
        self._close(batch.remaining.values())
        self._leave_slot(batch)

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
                if self._is_current(partition, tracker)
            }
            points = {
                partition: point
                for partition, tracker in trackers.items()
                if (point := tracker.commit_point()) is not None
            }
            if not points:
                return True
            if not await self._source.commit_points(points):
                self._metrics.commit("kept")
                return False
            self._metrics.commit("done")
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
        since = [batch.since for batch in self._batches.values() if batch.remaining]
        since += [piece.since for piece in islice(self._waiting, 1)]
        return time.monotonic() - min(since) if since else 0.0

    def _open(self, records: Sequence[ConsumedRecord]) -> None:
        self._open_posts += len(records)
        self._open_bytes += size_bytes(records)

    def _close(self, records: Collection[ConsumedRecord]) -> None:
        self._open_posts -= len(records)
        self._open_bytes -= size_bytes(records)
