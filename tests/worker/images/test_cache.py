"""The cache on a real Redis: found, shared, expired, poisoned, paused, killed, started again."""

import asyncio
import hashlib
import logging
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis

from worker.demo.embedded import EmbeddedRedis
from worker.images import circuit_breaker
from worker.images.cache import EmbeddingCache
from worker.settings import Settings
from worker.telemetry.metrics import Metrics

DIMENSION = 64
URL = "http://example.com/a.jpg?token=secret"


def digest(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def embedding(number: int) -> np.ndarray:
    """One that half precision holds exactly, so that equal means equal."""
    return np.random.default_rng(number).normal(size=DIMENSION).astype(np.float16).astype(np.float32)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
async def redis(server: EmbeddedRedis) -> AsyncIterator[Redis]:
    """A client beside the cache's, on an empty server."""
    server.start()
    client = Redis.from_url(server.url, protocol=2)
    await client.flushall()
    yield client
    await client.aclose()


Make = Callable[..., EmbeddingCache]


@pytest.fixture
async def make(server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Make]:
    """Makes caches like the workers', which share a Redis; those that no deadline concerns have a generous one."""
    monkeypatch.setattr(circuit_breaker, "_FIRST_PROBE_S", 0.02)
    made: list[EmbeddingCache] = []

    def make(
        fingerprint: str = "f", metrics: Metrics | None = None, timeout_s: float = 5.0, **settings: Any
    ) -> EmbeddingCache:
        configured = Settings(**{"redis_url": server.url, **settings})
        cache = EmbeddingCache(configured, fingerprint, DIMENSION, metrics or Metrics(), timeout_s=timeout_s)
        made.append(cache)
        return cache

    yield make
    for cache in made:
        await cache.close()


def count(metrics: Metrics, tier: str, result: str) -> float | None:
    return metrics.registry.get_sample_value("mner_cache_requests_total", {"tier": tier, "result": result})


def up(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("mner_redis_up")


async def commands(redis: Redis) -> dict[str, int]:
    stats = await redis.info("commandstats")
    return {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in stats.items()}


# Found


async def test_what_one_worker_puts_another_gets(make: Make, redis: Redis) -> None:
    await make().put_many({digest(n): embedding(n) for n in range(3)})
    found = await make().get_many([digest(2), digest(0), digest(9)])
    assert set(found) == {digest(0), digest(2)}
    assert all(vector.dtype == np.float32 and vector.shape == (DIMENSION,) for vector in found.values())
    np.testing.assert_array_equal(found[digest(2)], embedding(2))


async def test_key_and_value_are_as_agreed(make: Make, redis: Redis) -> None:
    await make("abc", cache_ttl_s=100.0).put_many({digest(1): embedding(1)})
    key = f"mner:emb:abc:{digest(1)}"
    assert await redis.keys("*") == [key.encode()]
    assert await redis.get(key) == embedding(1).astype("<f2").tobytes()
    assert 99_000 < await redis.pttl(key) <= 100_000


async def test_another_encoder_sees_nothing_of_it(make: Make, redis: Redis) -> None:
    await make("old").put_many({digest(1): embedding(1)})
    assert await make("new").get_many([digest(1)]) == {}


async def test_the_process_own_memory_answers_first(make: Make, redis: Redis) -> None:
    metrics = Metrics()
    cache = make(metrics=metrics)
    await cache.put_many({digest(1): embedding(1)})
    await redis.flushall()
    found = await cache.get_many([digest(1), digest(1)])
    np.testing.assert_array_equal(found[digest(1)], embedding(1))
    assert (count(metrics, "process", "hit"), count(metrics, "redis", "hit"), count(metrics, "redis", "miss")) == (
        1,
        0,
        0,
    )


async def test_hits_and_misses_are_counted_by_tier(make: Make, redis: Redis) -> None:
    await make().put_many({digest(1): embedding(1)})
    metrics = Metrics()
    cache = make(metrics=metrics)
    await cache.get_many([digest(1), digest(2)])
    await cache.get_many([digest(1)])
    assert (count(metrics, "process", "hit"), count(metrics, "process", "miss")) == (1, 2)
    assert (count(metrics, "redis", "hit"), count(metrics, "redis", "miss"), count(metrics, "redis", "error")) == (
        1,
        1,
        0,
    )


async def test_a_window_is_one_mget_and_one_write(make: Make, redis: Redis) -> None:
    cache = make()
    await cache.start()
    await redis.config_resetstat()
    await cache.get_many([digest(n) for n in range(50)])
    assert (await commands(redis))["mget"] == 1
    before = (await redis.info("stats"))["total_net_input_bytes"]
    await cache.put_many({digest(n): embedding(n) for n in range(50)})
    assert (await commands(redis))["set"] == 50
    assert (await redis.info("stats"))["total_net_input_bytes"] - before < 50 * 2 * (DIMENSION * 2 + 200)


async def test_memory_is_bounded(make: Make, redis: Redis) -> None:
    cache = make(redis_url=None, cache_memory_bytes=100_000)
    await cache.put_many({digest(n): embedding(n) for n in range(1000)})
    held = await cache.get_many([digest(n) for n in range(1000)])
    assert 100 < len(held) < 100_000 / (DIMENSION * 2)
    assert digest(999) in held


async def test_what_is_given_out_is_the_callers_own(make: Make) -> None:
    cache = make(redis_url=None)
    await cache.put_many({digest(1): embedding(1)})
    (await cache.get_many([digest(1)]))[digest(1)][:] = 0
    np.testing.assert_array_equal((await cache.get_many([digest(1)]))[digest(1)], embedding(1))


# How long


async def test_use_renews_the_lease_in_redis(make: Make, redis: Redis) -> None:
    await make(cache_ttl_s=100.0).put_many({digest(1): embedding(1)})
    await redis.pexpire(f"mner:emb:f:{digest(1)}", 5_000)
    await make(cache_ttl_s=100.0).get_many([digest(1), digest(2)])
    assert await redis.pttl(f"mner:emb:f:{digest(1)}") > 90_000
    assert await redis.keys("*") == [f"mner:emb:f:{digest(1)}".encode()]


async def test_use_in_one_process_alone_keeps_it_in_redis(
    make: Make, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = make(cache_ttl_s=100.0)
    await cache.put_many({digest(1): embedding(1)})
    await redis.flushall()
    await cache.get_many([digest(1)])
    assert await redis.keys("*") == []
    now = time.monotonic()
    monkeypatch.setattr("worker.images.cache.time.monotonic", lambda: now + 13.0)
    await cache.get_many([digest(1)])
    assert await redis.get(f"mner:emb:f:{digest(1)}") == embedding(1).astype("<f2").tobytes()


# What must not be believed


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"x",
        bytes(DIMENSION * 2 - 1),
        bytes(DIMENSION * 2 + 2),
        bytes(DIMENSION * 4),
        np.full(DIMENSION, np.nan, "<f2").tobytes(),
        np.full(DIMENSION, np.inf, "<f2").tobytes(),
    ],
)
async def test_a_value_that_is_no_embedding_is_a_miss(value: bytes, make: Make, redis: Redis) -> None:
    metrics = Metrics()
    await redis.set(f"mner:emb:f:{digest(1)}", value)
    assert await make(metrics=metrics).get_many([digest(1)]) == {}
    assert count(metrics, "redis", "miss") == 1


async def test_a_key_of_another_kind_is_a_miss(make: Make, redis: Redis) -> None:
    await redis.rpush(f"mner:emb:f:{digest(1)}", "x")
    assert await make().get_many([digest(1)]) == {}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e6])
async def test_a_vector_that_is_not_finite_in_half_precision_is_never_kept(
    bad: float, make: Make, redis: Redis
) -> None:
    cache = make()
    vector = embedding(1)
    vector[3] = bad
    await cache.put_many({digest(1): vector, digest(2): embedding(2)})
    assert set(await cache.get_many([digest(1), digest(2)])) == {digest(2)}
    assert await redis.keys("*") == [f"mner:emb:f:{digest(2)}".encode()]


# URLs


async def test_a_url_leads_to_its_digest_for_a_while(make: Make, redis: Redis) -> None:
    await make(cache_url_ttl_s=50.0).put_digests({URL: digest(1)})
    assert await make().get_digests([URL, "http://example.com/other", "http://x/\ud800"]) == {URL: digest(1)}
    (key,) = await redis.keys("*")
    assert b"secret" not in key
    assert 49_000 < await redis.pttl(key) <= 50_000


async def test_a_url_is_forgotten_in_time_by_the_process_too(
    make: Make, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = make(redis_url=None, cache_url_ttl_s=50.0)
    await cache.put_digests({URL: digest(1)})
    assert await cache.get_digests([URL]) == {URL: digest(1)}
    now = time.monotonic()
    monkeypatch.setattr("worker.images.cache.time.monotonic", lambda: now + 51.0)
    assert await cache.get_digests([URL]) == {}


async def test_a_url_that_leads_to_no_digest_is_a_miss(make: Make, redis: Redis) -> None:
    cache = make()
    await cache.put_digests({URL: digest(1)})
    (key,) = await redis.keys("*")
    await redis.set(key, "../../etc/passwd")
    metrics = Metrics()
    assert await make(metrics=metrics).get_digests([URL]) == {}
    assert count(metrics, "url", "miss") == 1


# Redis away


async def test_without_redis_the_process_remembers_alone(make: Make) -> None:
    metrics = Metrics()
    cache = make(redis_url=None, metrics=metrics)
    await cache.start()
    await cache.put_many({digest(1): embedding(1)})
    await cache.put_digests({URL: digest(1)})
    assert set(await cache.get_many([digest(1), digest(2)])) == {digest(1)}
    assert await cache.get_digests([URL]) == {URL: digest(1)}
    assert count(metrics, "redis", "error") == 0


async def test_a_redis_that_is_not_there_is_named_without_its_password(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    cache = make(redis_url="redis://me:hush@127.0.0.1:1/0", metrics=metrics)
    await cache.start()
    assert await cache.get_many([digest(1)]) == {}
    assert (count(metrics, "redis", "error"), up(metrics)) == (1, 0)
    assert len(caplog.messages) == 1
    assert "Redis at 127.0.0.1:1 is away" in caplog.messages[0]
    assert "hush" not in caplog.text


async def until_shared(cache: EmbeddingCache, other: Make, number: int) -> None:
    """Waits until what one cache puts is seen through Redis."""
    async with asyncio.timeout(10):
        while True:
            await cache.put_many({digest(number): embedding(number)})
            if await other().get_many([digest(number)]):
                return
            await asyncio.sleep(0.01)


async def test_a_redis_that_dies_and_comes_back_costs_misses_and_two_lines_of_log(
    make: Make, redis: Redis, server: EmbeddedRedis, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "worker")
    metrics = Metrics()
    cache = make(metrics=metrics, timeout_s=1.0)
    await cache.put_many({digest(1): embedding(1)})
    assert up(metrics) == 1
    server.kill()
    for number in range(10):
        assert set(await cache.get_many([digest(1), digest(100 + number)])) == {digest(1)}
        await cache.put_many({digest(200 + number): embedding(number)})
    assert (count(metrics, "redis", "error"), up(metrics)) == (10, 0)
    server.start()
    await until_shared(cache, make, 3)
    assert up(metrics) == 1
    assert [message.split(" (")[0].split(" is ")[1] for message in caplog.messages] == ["away", "back"]


async def test_a_redis_that_hangs_never_stalls_a_window(make: Make, redis: Redis, server: EmbeddedRedis) -> None:
    metrics = Metrics()
    cache = make(metrics=metrics, timeout_s=0.05)
    await cache.start()
    assert server.pid is not None
    os.kill(server.pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        for number in range(100):
            assert await cache.get_many([digest(number)]) == {}
        took_s = time.monotonic() - started
    finally:
        os.kill(server.pid, signal.SIGCONT)
    assert took_s < 1.0  # three deadlines of 50 ms, and not a hundred
    assert count(metrics, "redis", "error") == 100
    await until_shared(cache, make, 1)


async def test_an_answer_that_comes_too_late_is_never_taken_for_another(
    make: Make, redis: Redis, server: EmbeddedRedis
) -> None:
    await make().put_many({digest(n): embedding(n) for n in range(40)})
    cache = make(timeout_s=0.003, cache_memory_bytes=0)
    for number in range(40):
        assert server.pid is not None
        os.kill(server.pid, signal.SIGSTOP)
        asked = asyncio.create_task(cache.get_many([digest(number)]))
        await asyncio.sleep(0.001 * (number % 6))
        os.kill(server.pid, signal.SIGCONT)
        for wanted, vector in (await asked | await cache.get_many([digest(39 - number)])).items():
            expected = next(n for n in range(40) if digest(n) == wanted)
            np.testing.assert_array_equal(vector, embedding(expected))


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(b":abc\r\n", id="a number that is none"),
        pytest.param(b"$x\r\n", id="a length that is none"),
        pytest.param(b"\r\n", id="an empty line"),
        pytest.param(b"*999999999\r\n" + b"*1\r\n" * 100_000, id="too deep"),
        pytest.param(b"?\r\n", id="no type at all"),
        pytest.param(b"+OK\r\n", id="a word"),
        pytest.param(b":1\r\n", id="a number"),
        pytest.param(b"$-1\r\n", id="nothing"),
        pytest.param(b"*0\r\n", id="too few values"),
        pytest.param(b"*2\r\n$-1\r\n$-1\r\n", id="too many values"),
        pytest.param(b"*1\r\n:abc\r\n", id="a value that does not parse"),
    ],
)
async def test_a_reply_that_makes_no_sense_is_a_miss(reply: bytes, make: Make) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while sent := await reader.read(65536):
                for command in re.findall(rb"\*\d+\r\n\$\d+\r\n(\w+)\r\n", sent):
                    writer.write(reply if command in (b"MGET", b"PING") else b"+OK\r\n")
                await writer.drain()
        writer.close()

    async with await asyncio.start_server(talk, "127.0.0.1", 0) as nonsense:
        metrics = Metrics()
        url = f"redis://127.0.0.1:{nonsense.sockets[0].getsockname()[1]}/0"
        cache = make(redis_url=url, metrics=metrics)
        assert await cache.get_many([digest(1)]) == {}
        assert (count(metrics, "redis", "error"), up(metrics)) == (1, None)
        assert await cache.get_digests([URL]) == {}
        assert (count(metrics, "url", "error"), up(metrics)) == (1, None)
        assert await cache.get_many([digest(2)]) == {}
        assert (count(metrics, "redis", "error"), up(metrics)) == (2, 0)
        await cache.start()
        await cache.put_many({digest(1): embedding(1)})
        await cache.close()
        assert up(metrics) is None
        await cache.put_many({digest(2): embedding(2)})  # was on its way
        assert up(metrics) is None


async def test_settings_make_the_cache_that_they_say(server: EmbeddedRedis, redis: Redis) -> None:
    settings = Settings(redis_url=server.url, cache_ttl_s=77.0)
    cache = EmbeddingCache(settings, "f", DIMENSION, Metrics())
    await cache.start()
    await cache.put_many({digest(1): embedding(1)})
    await cache.close()
    assert await redis.pttl(f"mner:emb:f:{digest(1)}") <= 77_000
