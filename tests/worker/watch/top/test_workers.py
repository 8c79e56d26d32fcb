"""A host name stands for the workers at all of its addresses, as they come and go."""

import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from worker.telemetry.metrics import Metrics
from worker.watch.top.figures import Figures
from worker.watch.top.workers import Workers

HOST = "worker.test"


class Names(AbstractResolver):
    """Stands for the name server: `addresses` are those of the one name there is."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        if host != HOST or not self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in self.addresses
        ]

    async def close(self) -> None: ...


class Replica:
    """A worker's metrics page, served on one address; remembers by which host it was asked."""

    def __init__(self, open_posts: int) -> None:
        self.metrics = Metrics()
        self.metrics.open_posts(open_posts, float(open_posts))
        self.metrics.lag("posts", open_posts, open_posts)
        self.asked_as: set[str] = set()

    async def page(self, request: web.Request) -> web.Response:
        self.asked_as.add(request.headers["Host"])
        return web.Response(body=self.metrics.render()[0])

    async def listen(self, address: str, port: int, stack: AsyncExitStack) -> int:
        app = web.Application()
        app.router.add_get("/metrics", self.page)
        runner = web.AppRunner(app)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, address, port)
        await site.start()
        return runner.addresses[0][1]


@asynccontextmanager
async def replicas(*addresses: str) -> AsyncIterator[tuple[dict[str, Replica], int]]:
    """One on each address, all on one port, with 1, 2, 3 … open posts."""
    async with AsyncExitStack() as stack:
        port, workers = 0, {}
        for number, address in enumerate(addresses, start=1):
            workers[address] = Replica(number)
            port = await workers[address].listen(address, port, stack)
        yield workers, port


async def one_interval(urls: list[str], names: Names) -> Figures:
    async with Workers(urls, 0.1, names) as workers, aclosing(workers.intervals()) as intervals:
        return await anext(intervals)


def answering(current: Figures) -> list[str]:
    return [worker["address"] for worker in current.workers if worker["answers"]]


async def test_a_name_of_several_addresses_is_all_of_their_workers_added_up() -> None:
    names = Names("127.0.0.1", "127.0.0.2", "127.0.0.3")
    async with replicas(*names.addresses) as (running, port):
        told = await one_interval([f"http://{HOST}:{port}/metrics"], names)
    assert answering(told) == names.addresses
    assert (told.open_posts, told.oldest_open_post_s, told.lag_total, told.answering) == (6, 3, 6, 3)
    assert {host for replica in running.values() for host in replica.asked_as} == {f"{HOST}:{port}"}


async def test_workers_that_are_scaled_come_and_go_at_the_next_interval() -> None:
    names = Names("127.0.0.1")
    async with replicas("127.0.0.1", "127.0.0.2") as (_, port):
        workers, seen = Workers([f"http://{HOST}:{port}/metrics"], 0.1, names), []
        async with workers, aclosing(workers.intervals()) as intervals:
            for addresses in (["127.0.0.1"], ["127.0.0.1", "127.0.0.2"], ["127.0.0.2"], []):
                names.addresses = addresses
                seen.append(await anext(intervals))
    assert [answering(told) for told in seen] == [["127.0.0.1"], ["127.0.0.1", "127.0.0.2"], ["127.0.0.2"], []]
    assert seen[-1].workers[0]["problem"] == "no connection: Name or service not known"
    assert [told.open_posts for told in seen] == [1, 3, 2, None]


async def test_rates_are_those_of_each_worker_behind_the_name() -> None:
    names = Names("127.0.0.1", "127.0.0.2")
    async with replicas(*names.addresses) as (running, port):
        workers = Workers([f"http://{HOST}:{port}/metrics"], 0.1, names)
        async with workers, aclosing(workers.intervals()) as intervals:
            assert not (await anext(intervals)).has_rates
            for replica in running.values():
                replica.metrics.post_answered("tagged", 0.1)
            told = await anext(intervals)
    assert told.has_rates
    assert told.posts_per_s["tagged"] > 0


async def test_one_of_them_that_does_not_answer_is_said_so_with_its_address() -> None:
    names = Names("127.0.0.1", "127.0.0.9")
    async with replicas("127.0.0.1") as (_, port):
        told = await one_interval([f"http://{HOST}:{port}/metrics"], names)
    assert [(worker["address"], worker["answers"]) for worker in told.workers] == [
        ("127.0.0.1", True),
        ("127.0.0.9", False),
    ]


async def test_a_worker_that_two_urls_lead_to_counts_once() -> None:
    names = Names("127.0.0.1", "127.0.0.2")
    async with replicas(*names.addresses) as (running, port):
        urls = [f"http://{HOST}:{port}/metrics", f"http://127.0.0.2:{port}/metrics"]
        async with Workers(urls, 0.1, names) as workers, aclosing(workers.intervals()) as intervals:
            await anext(intervals)
            running["127.0.0.2"].metrics.post_answered("tagged", 0.1)
            told = await anext(intervals)
    assert (told.answering, told.open_posts) == (2, 3)
    assert 0 < told.posts_per_s["tagged"] < 50, "of the whole interval, not of the time between the two answers"


@pytest.mark.parametrize("order", [("::1", "127.0.0.1"), ("127.0.0.1", "::1")])
async def test_addresses_of_another_kind_are_the_same_workers_over_again(order: tuple[str, str]) -> None:
    async with replicas("127.0.0.1") as (_, port):
        told = await one_interval([f"http://{HOST}:{port}/metrics"], Names(*order))
    assert answering(told) == ["127.0.0.1"]
    assert len(told.workers) == 1
