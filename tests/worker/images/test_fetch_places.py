"""Places to fetch at: bounded in all and by host, given out in order, and told when there is a crowd."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from worker.errors import ImageRefused
from worker.images.fetch_places import FetchPlaces


def places(**more: float) -> FetchPlaces:
    return FetchPlaces(**{"timeout_s": 0.05, "places": 4, "per_host": 2, **more})  # type: ignore[arg-type]


async def test_a_host_that_has_its_places_taken_costs_no_other_host_a_place() -> None:
    some = places()
    async with AsyncExitStack() as held:
        for _ in range(2):
            await held.enter_async_context(some.at("slow.org"))
        with pytest.raises(ImageRefused, match=r"timed_out: .* from its host"):
            async with some.at("slow.org"):
                raise AssertionError
        async with some.at("a.org"), some.at("b.org"):
            pass


async def test_when_all_places_are_taken_others_stand_in_line_and_are_told_after_a_while() -> None:
    some = places()
    async with AsyncExitStack() as held:
        for host in "abcd":
            await held.enter_async_context(some.at(host))
        with pytest.raises(ImageRefused, match=r"timed_out: too many other images were being fetched$"):
            async with some.at("e"):
                raise AssertionError


async def test_a_place_that_is_left_goes_to_whoever_came_first() -> None:
    some = places(places=1, timeout_s=5)
    order: list[str] = []

    async def stand_in_line(host: str) -> None:
        async with some.at(host):
            order.append(host)

    async with some.at("first"):
        line = [asyncio.create_task(stand_in_line(host)) for host in "abc"]
        await asyncio.sleep(0)
    await asyncio.gather(*line)
    assert order == ["a", "b", "c"]


async def test_it_is_crowded_when_as_many_stand_in_line_as_there_are_places() -> None:
    some = places(timeout_s=5)
    release = asyncio.Event()

    async def hold(host: str) -> None:
        async with some.at(host):
            await release.wait()

    tasks = [asyncio.create_task(hold(str(number))) for number in range(7)]
    await asyncio.sleep(0)
    assert not some.is_crowded
    tasks.append(asyncio.create_task(hold("one more")))
    await asyncio.sleep(0)
    assert some.is_crowded
    release.set()
    await asyncio.gather(*tasks)
    assert not some.is_crowded


async def test_one_host_alone_makes_no_crowd() -> None:
    some = places(timeout_s=0.02)

    async def hold() -> None:
        async with some.at("slow.org"):
            await asyncio.sleep(0.05)

    tasks = [asyncio.create_task(hold()) for _ in range(50)]
    await asyncio.sleep(0)
    assert not some.is_crowded
    refused = await asyncio.gather(*tasks, return_exceptions=True)
    assert sum(isinstance(one, ImageRefused) for one in refused) == 48


async def test_nothing_is_remembered_of_hosts_that_nobody_fetches_from() -> None:
    some = places()
    async with some.at("a.org"):
        pass
    assert not some._hosts
    assert not some._asking
