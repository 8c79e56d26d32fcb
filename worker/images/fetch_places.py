"""Who may fetch: so many images at a time, of one host no more than a part of them, and each address once.

A host that hangs costs its own images only; when many do, the rest wait in line, and `is_crowded` says that it is
time to take no further posts in.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mner_model.posts.image_status import ImageStatus
from worker.errors import ImageRefused

PLACES = 64
PLACES_PER_HOST = 16


class FetchPlaces:
    """Places to fetch at, given out in the order asked for."""

    def __init__(self, timeout_s: float, *, places: int = PLACES, per_host: int = PLACES_PER_HOST) -> None:
        """timeout_s: how long to stand in line, for the host's place and then for one of all."""
        self._timeout_s = timeout_s
        self._places = asyncio.Semaphore(places)
        self._crowd = places
        self._per_host = per_host
        self._hosts: dict[str, asyncio.Semaphore] = {}
        self._asking: dict[str, int] = {}
        self._in_line = 0

    @property
    def is_crowded(self) -> bool:
        """Whether as many stand in line for a place as there are places."""
        return self._in_line >= self._crowd

    @asynccontextmanager
    async def at(self, host: str) -> AsyncIterator[None]:
        """Holds a place to fetch from this host. Raises ImageRefused when none was free in time."""
        async with self._at_host(host):
            self._in_line += 1
            try:
                await self._acquire(self._places, "too many other images were being fetched")
            finally:
                self._in_line -= 1
            try:
                yield
            finally:
                self._places.release()

    @asynccontextmanager
    async def _at_host(self, host: str) -> AsyncIterator[None]:
        places = self._hosts.setdefault(host, asyncio.Semaphore(self._per_host))
        self._asking[host] = self._asking.get(host, 0) + 1
        try:
            await self._acquire(places, "too many other images were being fetched from its host")
            try:
                yield
            finally:
                places.release()
        finally:
            self._asking[host] -= 1
            if not self._asking[host]:
                del self._asking[host], self._hosts[host]

    async def _acquire(self, places: asyncio.Semaphore, refusal: str) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await places.acquire()
        except TimeoutError:
            raise ImageRefused(ImageStatus.TIMED_OUT, refusal) from None
