"""Image embeddings that were computed before: in this process, and behind it in a Redis that all workers share.

The only home of redis. A Redis that is down, slow or talks nonsense makes misses, never errors and never a stall.
"""

import hashlib
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import InvalidResponse

from worker.images.byte_lru import ByteLru
from worker.images.circuit_breaker import CircuitBreaker
from worker.images.embedding_codec import Embedding, Half, HalfPrecision
from worker.settings import Settings
from worker.telemetry.metrics import CacheTier, Metrics

_DIGEST = re.compile(rb"[0-9a-f]{64}")
_RENEWALS_PER_TTL = 8  # of what this process alone is asked for, and Redis would let go
_URL_SHARE = 1 / 16  # of the process' memory


class _Held(NamedTuple):
    """An embedding in the process' memory, and when to write it to Redis anew (monotonic seconds)."""

    half: Half
    renew_at: float


class _Led(NamedTuple):
    """Where a URL led, in the process' memory, and when to look again (monotonic seconds)."""

    digest: str
    forget_at: float


class EmbeddingCache:
    """Digest of an image's bytes → embedding, and URL → digest, both in two tiers; asked once a window."""

    def __init__(
        self,
        settings: Settings,
        encoder_fingerprint: str,
        dimension: int,
        metrics: Metrics,
        *,
        timeout_s: float = 0.05,
    ) -> None:
        """timeout_s: how long one call may wait for Redis."""
        self._prefix = f"mner:emb:{encoder_fingerprint}:"
        self._codec = HalfPrecision(dimension)
        self._metrics = metrics
        self._ttl_s, self._url_ttl_s = settings.cache_ttl_s, settings.cache_url_ttl_s
        memory_bytes = settings.cache_memory_bytes
        self._embeddings: ByteLru[_Held] = ByteLru(round(memory_bytes * (1 - _URL_SHARE)))
        self._urls: ByteLru[_Led] = ByteLru(round(memory_bytes * _URL_SHARE))
        self._redis: _GuardedRedis | None = None
        if settings.redis_url is not None:
            self._redis = _GuardedRedis(settings.redis_url.get_secret_value(), timeout_s, metrics)

    async def start(self) -> None:
        """Connects ahead of the first window; optional, never raises."""
        if self._redis is not None:
            await self._redis.start()

    async def get_many(self, digests: Iterable[str]) -> dict[str, Embedding]:
        """The embeddings that are known, float32 [dimension] each; at most one round trip to Redis.

        What Redis has in a wrong size, or with numbers that are not finite, counts as unknown.
        """
        asked, now = list(dict.fromkeys(digests)), time.monotonic()
        held = {digest: entry for digest in asked if (entry := self._embeddings.get(digest)) is not None}
        missing = [digest for digest in asked if digest not in held]
        self._count("process", hits=len(held), misses=len(missing))
        worn = {digest: entry.half for digest, entry in held.items() if entry.renew_at <= now}
        fetched = await self._fetch(missing, renew=worn)
        self._hold(worn | fetched)
        known = {digest: entry.half for digest, entry in held.items()} | fetched
        return {digest: half.astype(np.float32) for digest, half in known.items()}

    async def put_many(self, embeddings: Mapping[str, Embedding]) -> None:
        """Keeps embeddings, float32 [dimension] each; one write to Redis. What half precision can't hold is not kept.

        Raises ValueError for a vector of another shape.
        """
        halved = {digest: self._codec.halve(vector) for digest, vector in embeddings.items()}
        kept = {digest: half for digest, half in halved.items() if half is not None}
        self._hold(kept)
        if self._redis is not None and kept:
            await self._redis.pipelined(lambda pipeline: self._set(pipeline, kept))

    async def get_digests(self, urls: Iterable[str]) -> dict[str, str]:
        """The digests of the images that URLs led to not long ago; at most one round trip to Redis."""
        asked, now = list(dict.fromkeys(urls)), time.monotonic()
        held = {url: entry for url in asked if (entry := self._urls.get(url)) is not None}
        digests = {url: entry.digest for url, entry in held.items() if entry.forget_at > now}
        missing = [url for url in asked if url not in digests]
        if self._redis is not None and missing:
            keys = [_url_key(url) for url in missing]
            replies = await self._redis.pipelined(lambda pipeline: pipeline.mget(keys), values=len(keys))
            if replies is None:
                self._count("url", hits=len(digests), errors=len(missing))
                return digests
            found = {url: value for url, value in zip(missing, replies[0], strict=True) if _is_digest(value)}
            digests |= {url: value.decode() for url, value in found.items()}
        self._count("url", hits=len(digests), misses=len(asked) - len(digests))
        return digests

    async def put_digests(self, digests: Mapping[str, str]) -> None:
        """Remembers for a while which image each URL led to; one write to Redis."""
        forget_at = time.monotonic() + self._url_ttl_s
        for url, digest in digests.items():
            self._urls.put(url, _Led(digest, forget_at), len(url) + len(digest))
        if self._redis is not None and digests:
            px = _milliseconds(self._url_ttl_s)
            await self._redis.pipelined(
                lambda pipeline: [pipeline.set(_url_key(url), digest, px=px) for url, digest in digests.items()]
            )

    async def close(self) -> None:
        """Closes the connections."""
        if self._redis is not None:
            await self._redis.close()

    async def _fetch(self, digests: list[str], renew: Mapping[str, Half]) -> dict[str, Half]:
        """One pipeline: an MGET, a new lease for what it finds, and a new write of what only we were asked for."""
        if self._redis is None or not (digests or renew):
            return {}
        keys = [self._prefix + digest for digest in digests]

        def ask(pipeline: Pipeline) -> None:
            if keys:
                pipeline.mget(keys)
            for key in keys:
                pipeline.pexpire(key, _milliseconds(self._ttl_s))  # where there is no such key, it does nothing
            self._set(pipeline, renew)

        replies = await self._redis.pipelined(ask, values=len(keys))
        if replies is None:
            self._count("redis", errors=len(digests))
            return {}
        parsed = {
            digest: self._codec.parse(value) for digest, value in zip(digests, replies[0] if keys else (), strict=True)
        }
        found = {digest: half for digest, half in parsed.items() if half is not None}
        self._count("redis", hits=len(found), misses=len(digests) - len(found))
        return found

    def _set(self, pipeline: Pipeline, embeddings: Mapping[str, Half]) -> None:
        for digest, half in embeddings.items():
            pipeline.set(self._prefix + digest, half.tobytes(), px=_milliseconds(self._ttl_s))

    def _hold(self, embeddings: Mapping[str, Half]) -> None:
        renew_at = time.monotonic() + self._ttl_s / _RENEWALS_PER_TTL
        for digest, half in embeddings.items():
            self._embeddings.put(digest, _Held(half, renew_at), half.nbytes)

    def _count(self, tier: CacheTier, *, hits: int = 0, misses: int = 0, errors: int = 0) -> None:
        self._metrics.cache(tier, "hit", hits)
        self._metrics.cache(tier, "miss", misses)
        self._metrics.cache(tier, "error", errors)


class _GuardedRedis:
    """One pipelined round trip at a time, each behind the deadline and the circuit breaker."""

    def __init__(self, url: str, timeout_s: float, metrics: Metrics) -> None:
        # No second try: it would cost the window as much again as a miss does. RESP2 is what every server speaks.
        self._client = Redis.from_url(url, protocol=2, retry=Retry(NoBackoff(), 0))
        self._metrics, self._is_closed = metrics, False
        parts = urlsplit(url)
        place = f"{parts.hostname}:{parts.port or 6379}" if parts.hostname else parts.path  # no password in the log
        self._breaker = CircuitBreaker(
            f"Redis at {place}",
            self._client.ping,
            timeout_s=timeout_s,
            observe=self._observe,
        )

    async def start(self) -> None:
        await self._breaker.start()

    async def pipelined(self, fill: Callable[[Pipeline], object], *, values: int = 0) -> list[Any] | None:
        """The replies to the commands that fill puts in; None if they are not to be had in time, or make no sense.

        values: how many the first command asks for; 0 where it asks for none
        """

        async def execute() -> list[Any]:
            async with self._client.pipeline(transaction=False) as pipeline:
                fill(pipeline)
                replies = list(await pipeline.execute())
            if values and not (isinstance(replies[0], list) and len(replies[0]) == values):
                raise InvalidResponse(f"expected {values} values, got another kind of reply")
            return replies

        return await self._breaker.call(execute)

    async def close(self) -> None:
        self._is_closed = True
        self._metrics.redis_up(id(self), None)
        await self._breaker.close()
        await self._client.aclose()

    def _observe(self, up: bool) -> None:
        if not self._is_closed:  # an embedding may still be on its way
            self._metrics.redis_up(id(self), up)


def _url_key(url: str) -> str:
    """Hashed: a URL's query may hold what is nobody's business."""
    return f"mner:url:{hashlib.sha256(url.encode(errors='surrogatepass')).hexdigest()}"


def _is_digest(value: object) -> bool:
    return isinstance(value, bytes) and _DIGEST.fullmatch(value) is not None


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
