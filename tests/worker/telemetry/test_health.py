"""The health port says live, ready and metrics, why not, and nothing else."""

import asyncio
import socket
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest

from worker.errors import AddressUnavailable
from worker.settings import Settings
from worker.telemetry.health import (
    BATCH_STALLED_AFTER_S,
    LOOP_STALLED_AFTER_S,
    PUBLISHING_STALLED_AFTER_S,
    HealthServer,
    HealthState,
)
from worker.telemetry.metrics import Metrics

SETTINGS = Settings.load({"MNER_HTTP_PORT": "0"})


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def state(clock: Clock) -> HealthState:
    return HealthState(clock)


# The state


def test_a_worker_that_just_started_is_live_and_not_ready(state: HealthState) -> None:
    assert state.why_not_live() == []
    assert state.why_not_ready() == ["the model is not warm", "no partitions are assigned"]


def test_a_loop_that_stopped_turning_is_not_live_until_it_turns(state: HealthState, clock: Clock) -> None:
    clock.now_s += LOOP_STALLED_AFTER_S + 1
    assert state.why_not_live() == ["the event loop has not turned for 16 s"]
    state.beat()
    assert state.why_not_live() == []


def test_posts_in_the_pipeline_without_a_batch_are_not_live_until_one_is_made(state: HealthState, clock: Clock) -> None:
    with state.tagging.on(3):
        with state.tagging.on(2):
            clock.now_s += BATCH_STALLED_AFTER_S + 1
            state.beat()
            assert state.why_not_live() == ["5 posts are in the pipeline and no batch was made for 61 s"]
        assert state.why_not_live() == []


def test_a_broker_that_is_away_is_no_reason_to_restart_until_nobody_can_be_trying_any_more(
    state: HealthState, clock: Clock
) -> None:
    with state.publishing.on(3):
        clock.now_s += 10 * BATCH_STALLED_AFTER_S
        state.beat()
        assert state.why_not_live() == []
        clock.now_s += PUBLISHING_STALLED_AFTER_S
        state.beat()
        assert state.why_not_live() == ["3 answers are on their way and none arrived for 2400 s"]


def test_a_worker_with_nothing_to_do_is_live(state: HealthState, clock: Clock) -> None:
    clock.now_s += 10 * BATCH_STALLED_AFTER_S
    state.beat()
    assert state.why_not_live() == []


def test_a_post_after_a_long_silence_has_its_full_time(state: HealthState, clock: Clock) -> None:
    with state.tagging.on(1):
        pass
    clock.now_s += 10 * BATCH_STALLED_AFTER_S
    state.beat()
    with state.tagging.on(1):
        assert state.why_not_live() == []


def test_more_posts_do_not_excuse_a_batch_that_is_not_made(state: HealthState, clock: Clock) -> None:
    with state.tagging.on(1):
        clock.now_s += BATCH_STALLED_AFTER_S + 1
        state.beat()
        with state.tagging.on(1):
            assert state.why_not_live() == ["2 posts are in the pipeline and no batch was made for 61 s"]


def test_a_worker_that_waits_says_for_what_rather_than_what_that_leads_to(state: HealthState) -> None:
    state.model_warm = True
    state.waiting_for = "topic posts"
    assert state.why_not_ready() == ["waiting for topic posts"]
    state.waiting_for = ""
    assert state.why_not_ready() == ["no partitions are assigned"]


def test_a_worker_that_no_broker_answers_is_live_and_not_ready_until_one_does(clock: Clock) -> None:
    state = HealthState(clock, broker_silent_after_s=45)
    state.model_warm = state.assigned = True
    answered_at = clock.now_s
    state.broker.hear(lambda: answered_at)
    state.broker.begin()
    clock.now_s += 45
    state.beat()
    assert state.why_not_ready() == []
    clock.now_s += 2
    assert state.why_not_ready() == ["no broker has answered for 47 s"]
    assert state.why_not_live() == []
    answered_at = clock.now_s
    assert state.why_not_ready() == []


def test_a_warm_worker_with_partitions_is_ready_until_it_drains(state: HealthState) -> None:
    state.model_warm = state.assigned = True
    assert state.why_not_ready() == []
    state.draining = True
    assert state.why_not_ready() == ["the worker is draining"]


# The server


@pytest.fixture
async def server(state: HealthState) -> AsyncIterator[HealthServer]:
    server = HealthServer(SETTINGS, Metrics(), state)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def client(server: HealthServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as session:
        yield session


async def answer(client: aiohttp.ClientSession, path: str, method: str = "GET") -> tuple[int, Any]:
    async with client.request(method, path) as response:
        return response.status, await response.json()


async def test_live_answers_with_its_reasons(client: aiohttp.ClientSession, state: HealthState, clock: Clock) -> None:
    assert await answer(client, "/live") == (200, {"live": True, "why_not": []})
    with state.tagging.on(1):
        clock.now_s += LOOP_STALLED_AFTER_S
        clock.now_s += BATCH_STALLED_AFTER_S
        status, body = await answer(client, "/live")
    assert status == 503
    assert body["live"] is False
    assert "1 posts are in the pipeline and no batch was made for 75 s" in body["why_not"]


async def test_ready_answers_with_its_reasons(client: aiohttp.ClientSession, state: HealthState) -> None:
    status, body = await answer(client, "/ready")
    assert (status, body) == (503, {"ready": False, "why_not": state.why_not_ready()})
    state.model_warm = state.assigned = True
    assert await answer(client, "/ready") == (200, {"ready": True, "why_not": []})


async def test_the_server_beats_the_state_while_the_loop_turns(clock: Clock) -> None:
    beats: asyncio.Queue[float] = asyncio.Queue()
    state: Any = SimpleNamespace(beat=lambda: beats.put_nowait(clock()))
    server = HealthServer(SETTINGS, Metrics(), state)
    await server.start()
    await asyncio.wait_for(beats.get(), 5)
    await server.stop()


async def test_metrics_are_served_as_prometheus_reads_them(client: aiohttp.ClientSession) -> None:
    async with client.get("/metrics") as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/plain; version=")
        assert b"mner_posts_total" in await response.read()


@pytest.mark.parametrize("path", ["/live", "/metrics"])
async def test_head_is_answered_without_a_body(client: aiohttp.ClientSession, path: str) -> None:
    async with client.head(path) as response:
        assert response.status == 200
        assert await response.read() == b""


@pytest.mark.parametrize("path", ["/", "/live/", "/metrics/../etc/passwd", "/favicon.ico"])
async def test_other_paths_are_not_found(client: aiohttp.ClientSession, path: str) -> None:
    status, body = await answer(client, path)
    assert (status, body["error"]) == (404, "not found")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_nothing_can_be_changed_from_outside(client: aiohttp.ClientSession, method: str) -> None:
    async with client.request(method, "/live") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET,HEAD"
        assert await response.json() == {"error": "only GET and HEAD are answered here"}


async def test_an_address_in_use_is_one_clear_sentence() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = HealthServer(Settings.load({"MNER_HTTP_PORT": str(port)}), Metrics(), HealthState())
        with pytest.raises(
            AddressUnavailable, match=rf"^cannot listen on 127.0.0.1:{port} .*: another process listens there$"
        ):
            await server.start()


async def test_a_host_that_is_not_ours_is_one_clear_sentence() -> None:
    settings = Settings.load({"MNER_HTTP_HOST": "192.0.2.1"})
    with pytest.raises(AddressUnavailable, match=r"^cannot listen on 192.0.2.1:8080 \(.*\): .*address"):
        await HealthServer(settings, Metrics(), HealthState()).start()


async def test_stopping_is_possible_at_any_time_and_again(server: HealthServer) -> None:
    await HealthServer(SETTINGS, Metrics(), HealthState()).stop()
    await server.stop()
    await server.stop()
    with pytest.raises(RuntimeError, match="between start and stop"):
        _ = server.port
