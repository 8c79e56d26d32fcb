"""Gathers single items into batches for a function that runs in a thread. Knows nothing of posts or models.

A batch closes on the first of: most items, most weight (items × the heaviest, which is what padding makes of it),
longest wait since its oldest item. One batch computes at a time while the next one gathers. Queue and compute time
are told apart. A batch that fails is split in halves until the culprit stands alone: its waiter gets the error, all
others their results.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic
from typing import Generic, Protocol, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class BatchObserver(Protocol):
    """Is told of every call of the function."""

    def __call__(self, *, weights: Sequence[int], waited_s: Sequence[float], compute_s: float) -> None:
        """Weights and waiting times of the items, in their order, and how long the call took."""


@dataclass(slots=True)
class _Waiting(Generic[Item, Result]):
    item: Item
    weight: int
    since: float
    answer: "asyncio.Future[Result]"


class MicroBatcher(Generic[Item, Result]):
    """`await batcher.submit(items)` gives one result an item, computed together with what others submit.

    compute      items in, results out, one each and in order; runs in a thread of its own, one call at a time
    weight       of one item, such as its tokens
    max_items, max_weight, max_wait_s   when a batch closes
    is_fatal     errors after which the function can do no further batch: they are raised as they are, unsplit
    """

    def __init__(
        self,
        compute: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        weight: Callable[[Item], int],
        max_items: int,
        max_weight: int,
        max_wait_s: float,
        observe: BatchObserver,
        is_fatal: Callable[[BaseException], bool] = lambda error: False,
    ) -> None:
        self._compute = compute
        self._weight = weight
        self._max_items = max_items
        self._max_weight = max_weight
        self._max_wait_s = max_wait_s
        self._observe = observe
        self._is_fatal = is_fatal
        self._queue: asyncio.Queue[_Waiting[Item, Result]] = asyncio.Queue()
        self._held: _Waiting[Item, Result] | None = None  # taken from the queue, but the next batch's
        self._unanswered: set[asyncio.Future[Result]] = set()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="microbatch")
        self._loop_task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to gather; call it inside the event loop."""
        self._loop_task = asyncio.create_task(self._run(), name="microbatcher")

    async def submit(self, items: Sequence[Item]) -> list[Result | Exception]:
        """One result for each item, in order; an item that alone makes the function fail gets its error instead.

        Raises what `is_fatal` holds to be fatal, and RuntimeError when the batcher was closed.
        """
        if self._loop_task is None or self._loop_task.done():
            raise RuntimeError("the micro-batcher is not running")
        loop = asyncio.get_running_loop()
        now = monotonic()
        waiting = [_Waiting(item, self._weight(item), now, loop.create_future()) for item in items]
        for one in waiting:
            self._unanswered.add(one.answer)
            one.answer.add_done_callback(self._unanswered.discard)
        for one in sorted(waiting, key=lambda one: one.weight):  # neighbours of like length pad little
            self._queue.put_nowait(one)
        answers: list[Result | Exception] = []
        for answer in await asyncio.gather(*(one.answer for one in waiting), return_exceptions=True):
            if isinstance(answer, BaseException) and (not isinstance(answer, Exception) or self._is_fatal(answer)):
                raise answer
            answers.append(answer)
        return answers

    async def close(self) -> None:
        """Ends the gathering; what still waits is cancelled, what computes is waited for."""
        if self._loop_task is not None:
            self._loop_task.cancel()
            await asyncio.gather(self._loop_task, return_exceptions=True)
            # its CancelledError holds the frames that it came through, and these hold this batcher and its function
            self._loop_task = None
        await asyncio.to_thread(self._thread.shutdown)

    async def _run(self) -> None:
        try:
            while True:
                await self._answer(await self._gather())
        except Exception as error:  # of the observer, or our own: nobody must wait for a loop that is gone
            for answer in list(self._unanswered):
                answer.set_exception(error)
            raise
        finally:
            for answer in list(self._unanswered):
                answer.cancel()

    async def _gather(self) -> list[_Waiting[Item, Result]]:
        first, self._held = self._held or await self._queue.get(), None
        batch, heaviest = [first], first.weight
        closes_at = first.since + self._max_wait_s
        while len(batch) < self._max_items:
            one = await self._next(closes_at)
            if one is None:
                break
            heaviest = max(heaviest, one.weight)
            if heaviest * (len(batch) + 1) > self._max_weight:
                self._held = one
                break
            batch.append(one)
        return batch

    async def _next(self, closes_at: float) -> _Waiting[Item, Result] | None:
        if not self._queue.empty():
            return self._queue.get_nowait()
        try:
            async with asyncio.timeout(max(0.0, closes_at - monotonic())):
                return await self._queue.get()
        except TimeoutError:
            return None

    async def _answer(self, batch: Sequence[_Waiting[Item, Result]]) -> None:
        started = monotonic()
        try:
            results = await self._in_thread([one.item for one in batch])
        except Exception as error:
            await self._answer_failed(batch, error)
            return
        self._observe(
            weights=[one.weight for one in batch],
            waited_s=[started - one.since for one in batch],
            compute_s=monotonic() - started,
        )
        for one, result in zip(batch, results, strict=True):
            if not one.answer.done():
                one.answer.set_result(result)

    async def _answer_failed(self, batch: Sequence[_Waiting[Item, Result]], error: Exception) -> None:
        if len(batch) == 1 or self._is_fatal(error):
            for one in batch:
                if not one.answer.done():
                    one.answer.set_exception(error)
            return
        middle = len(batch) // 2
        await self._answer(batch[:middle])
        await self._answer(batch[middle:])

    async def _in_thread(self, items: Sequence[Item]) -> Sequence[Result]:
        results = await asyncio.get_running_loop().run_in_executor(self._thread, self._call, items)
        if len(results) != len(items):
            raise RuntimeError(f"expected {len(items)} results, got {len(results)}")
        return results

    def _call(self, items: Sequence[Item]) -> Sequence[Result]:
        try:
            return self._compute(items)
        except StopIteration as error:  # which no future can carry
            raise RuntimeError("the function raised StopIteration") from error
