"""When batches close, that everyone gets an answer of their own, and that one bad item costs only itself."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.tagging.microbatcher import MicroBatcher


class Calls:
    """Doubles numbers, and remembers what it was called with; odd ones out are poison."""

    def __init__(self, poison: Callable[[int], bool] = lambda item: False) -> None:
        self.batches: list[list[int]] = []
        self.observed: list[tuple[Sequence[int], Sequence[float], float]] = []
        self._poison = poison

    def compute(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        if any(map(self._poison, items)):
            raise ValueError(f"poison in {list(items)}")
        return [2 * item for item in items]

    def observe(self, *, weights: Sequence[int], waited_s: Sequence[float], compute_s: float) -> None:
        self.observed.append((weights, waited_s, compute_s))


@asynccontextmanager
async def batching(
    calls: Calls, *, max_items: int = 4, max_weight: int = 1000, max_wait_s: float = 0.0, **more: object
) -> AsyncIterator[MicroBatcher[int, int]]:
    batcher = MicroBatcher[int, int](
        calls.compute,
        weight=lambda item: item,
        max_items=max_items,
        max_weight=max_weight,
        max_wait_s=max_wait_s,
        observe=calls.observe,
        **more,  # type: ignore[arg-type]
    )
    batcher.start()
    try:
        yield batcher
    finally:
        await batcher.close()


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(st.integers(0, 30), max_size=9), max_size=5),
    st.integers(1, 5),
    st.integers(1, 60),
    st.sets(st.integers(0, 30), max_size=3),
)
def test_everyone_gets_their_own_answer_and_no_batch_breaks_its_bounds(
    submissions: list[list[int]], max_items: int, max_weight: int, poison: set[int]
) -> None:
    calls = Calls(poison.__contains__)

    async def run() -> list[list[int | Exception]]:
        async with batching(calls, max_items=max_items, max_weight=max_weight) as batcher:
            return await asyncio.gather(*(batcher.submit(items) for items in submissions))

    for items, answers in zip(submissions, asyncio.run(run()), strict=True):
        for item, answer in zip(items, answers, strict=True):
            assert isinstance(answer, ValueError) if item in poison else answer == 2 * item
    for batch in calls.batches:
        assert len(batch) <= max_items
        assert len(batch) == 1 or max(batch) * len(batch) <= max_weight


async def test_a_full_batch_does_not_wait_for_its_time() -> None:
    calls = Calls()
    async with batching(calls, max_items=2, max_wait_s=3600) as batcher:
        assert await asyncio.wait_for(batcher.submit([1, 2]), timeout=5) == [2, 4]


async def test_a_lone_item_waits_no_longer_than_its_time() -> None:
    async with batching(Calls(), max_items=100, max_wait_s=0.01) as batcher:
        assert await asyncio.wait_for(batcher.submit([1]), timeout=5) == [2]


async def test_submissions_share_a_batch() -> None:
    calls = Calls()
    async with batching(calls, max_items=3, max_wait_s=3600) as batcher:
        await asyncio.wait_for(asyncio.gather(*(batcher.submit([item]) for item in (1, 2, 3))), timeout=5)
    assert calls.batches == [[1, 2, 3]]


async def test_what_is_submitted_while_a_batch_computes_is_gathered_meanwhile() -> None:
    calls, computing, go_on = Calls(), threading.Event(), threading.Event()
    plain = calls.compute

    def slow(items: Sequence[int]) -> list[int]:
        computing.set()
        assert go_on.wait(5)
        return plain(items)

    calls.compute = slow  # type: ignore[method-assign]
    async with batching(calls) as batcher:
        first = asyncio.create_task(batcher.submit([1]))
        await asyncio.to_thread(computing.wait, 5)
        later = [asyncio.create_task(batcher.submit([item])) for item in (2, 3)]
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(first, *later)
    assert calls.batches == [[1], [2, 3]]


async def test_queueing_and_computing_are_told_apart() -> None:
    calls = Calls()
    async with batching(calls, max_items=2, max_wait_s=3600) as batcher:
        await batcher.submit([5, 3])
    [(weights, waited_s, compute_s)] = calls.observed
    assert sorted(weights) == [3, 5]
    assert len(waited_s) == 2
    assert min(*waited_s, compute_s) >= 0


async def test_a_fatal_error_reaches_the_caller_unsplit() -> None:
    calls = Calls(lambda item: item == 2)
    async with batching(calls, max_items=3, max_wait_s=3600, is_fatal=lambda error: True) as batcher:
        with pytest.raises(ValueError, match=r"poison in \[1, 2, 3\]"):
            await batcher.submit([1, 2, 3])
    assert len(calls.batches) == 1


async def test_the_loop_lives_on_after_a_failure() -> None:
    async with batching(Calls(lambda item: item == 1), max_items=1) as batcher:
        assert isinstance((await batcher.submit([1]))[0], ValueError)
        assert await batcher.submit([2]) == [4]


async def test_a_wrong_number_of_results_is_an_error_of_everyone_in_the_batch() -> None:
    calls = Calls()
    calls.compute = lambda items: []  # type: ignore[method-assign]
    async with batching(calls) as batcher:
        [answer] = await batcher.submit([1])
    assert isinstance(answer, RuntimeError)


async def test_an_observer_that_fails_leaves_nobody_waiting() -> None:
    calls = Calls()

    def observe(**_: object) -> None:
        raise RuntimeError("observer")

    calls.observe = observe  # type: ignore[method-assign]
    async with batching(calls) as batcher:
        [answer] = await asyncio.wait_for(batcher.submit([1]), timeout=5)
        assert isinstance(answer, RuntimeError)
        with pytest.raises(RuntimeError, match="not running"):
            await batcher.submit([1])


async def test_an_error_that_no_future_can_carry_is_an_answer_too() -> None:
    calls = Calls()

    def compute(items: Sequence[int]) -> list[int]:
        raise StopIteration

    calls.compute = compute  # type: ignore[method-assign]
    async with batching(calls) as batcher:
        [answer] = await asyncio.wait_for(batcher.submit([1]), timeout=5)
    assert isinstance(answer, RuntimeError)


async def test_closing_lets_nobody_wait_for_ever() -> None:
    async with batching(Calls(), max_items=10, max_wait_s=3600) as batcher:
        waiting = asyncio.create_task(batcher.submit([1]))
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    with pytest.raises(RuntimeError, match="not running"):
        await batcher.submit([1])
