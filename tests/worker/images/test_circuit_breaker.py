import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from worker.images import circuit_breaker
from worker.images.circuit_breaker import CircuitBreaker


class Server:
    """Something that is up, down, or does not answer."""

    def __init__(self) -> None:
        self.state = "up"
        self.asked = 0
        self.pinged = asyncio.Event()
        self.seen: list[bool] = []

    async def request(self) -> str:
        self.asked += 1
        if self.state == "down":
            raise ConnectionError("refused")
        if self.state == "silent":
            await asyncio.Event().wait()
        return "reply"

    async def ping(self) -> None:
        self.pinged.set()
        await self.request()


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def breaker(server: Server, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[CircuitBreaker]:
    monkeypatch.setattr(circuit_breaker, "_FIRST_PROBE_S", 0.01)
    breaker = CircuitBreaker("the server", server.ping, timeout_s=0.02, observe=server.seen.append)
    yield breaker
    await breaker.close()


async def back(breaker: CircuitBreaker, server: Server) -> None:
    async with asyncio.timeout(5):
        while await breaker.call(server.request) is None:
            server.pinged.clear()
            await server.pinged.wait()


@pytest.mark.parametrize("state", ["down", "silent"])
async def test_after_three_failures_nobody_asks_until_it_is_back(
    state: str, breaker: CircuitBreaker, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server.state = state
    assert [await breaker.call(server.request) for _ in range(3)] == [None] * 3
    asked = server.asked
    assert [await breaker.call(server.request) for _ in range(50)] == [None] * 50
    assert server.asked == asked
    server.state = "up"
    await back(breaker, server)
    assert await breaker.call(server.request) == "reply"
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert "the server is away" in caplog.messages[0]
    assert caplog.messages[1] == "the server is back"


async def test_a_failure_now_and_then_is_no_outage(
    breaker: CircuitBreaker, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(5):
        server.state = "down"
        assert [await breaker.call(server.request) for _ in range(2)] == [None, None]
        server.state = "up"
        assert await breaker.call(server.request) == "reply"
    assert caplog.messages == []
    assert server.seen == [True] * 5


async def test_many_failures_at_once_are_one_outage(
    breaker: CircuitBreaker, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.state = "silent"
    assert await asyncio.gather(*(breaker.call(server.request) for _ in range(20))) == [None] * 20
    assert len(caplog.messages) == 1


async def test_down_at_start_is_said_and_found_back_without_any_call(
    breaker: CircuitBreaker, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    server.state = "down"
    await breaker.start()
    assert caplog.messages == ["the server is away (refused): going on without it"]
    server.pinged.clear()
    await asyncio.wait_for(server.pinged.wait(), 5)
    server.state = "up"
    await back(breaker, server)


async def test_up_at_start_is_said(breaker: CircuitBreaker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await breaker.start()
    assert caplog.messages == ["the server answers"]


@pytest.mark.parametrize("error", [ValueError("no number"), IndexError(), KeyError("x"), RecursionError(), OSError()])
async def test_whatever_a_client_raises_is_a_failure(
    error: Exception, breaker: CircuitBreaker, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    async def trip() -> str:
        raise error

    assert [await breaker.call(trip) for _ in range(3)] == [None] * 3
    assert server.seen == [False]
    assert caplog.messages == [f"the server is away ({str(error) or type(error).__name__}): going on without it"]


async def test_a_ping_that_raises_anything_is_a_failure_too(
    breaker: CircuitBreaker, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def trip() -> str:
        raise ValueError("no number")

    with monkeypatch.context() as patch:
        patch.setattr(server, "request", trip)
        await breaker.start()
        server.pinged.clear()
        await asyncio.wait_for(server.pinged.wait(), 5)  # a probe
    await back(breaker, server)


async def test_a_call_that_is_cancelled_is_no_failure(breaker: CircuitBreaker, server: Server) -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await breaker.call(cancelled)
    assert server.seen == []
