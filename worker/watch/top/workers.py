"""The workers that are asked: what their host names stand for just now, their pages, what each said last time."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

import aiohttp
from aiohttp.abc import AbstractResolver

from worker.allowed_hosts import parse_address
from worker.images.name_resolution import ThreadedResolver
from worker.watch.scrape import Scrape
from worker.watch.top.figures import Figures, Reading, figures

PAGE_TIMEOUT_S = 5.0
PAGE_MAX_BYTES = 16 * 2**20


class _Place(NamedTuple):
    """One worker: the page that was asked for, at one of the addresses that its host name has."""

    url: str
    address: str = ""
    """Empty where the page's host is an address itself."""

    @property
    def dialled(self) -> str:
        """The page's URL with the address in it."""
        if not self.address:
            return self.url
        url = urlsplit(self.url)
        login, at, _ = url.netloc.rpartition("@")
        host = f"[{self.address}]" if ":" in self.address else self.address
        port = "" if url.port is None else f":{url.port}"
        return urlunsplit((url.scheme, login + at + host + port, url.path, url.query, ""))


class Workers:
    """Asked every interval, each by itself; a host name stands for the workers at all of its addresses."""

    def __init__(self, urls: Sequence[str], interval_s: float, resolver: AbstractResolver | None = None) -> None:
        """resolver: of host names, None for the system's; names are looked up again every interval."""
        self._urls = urls
        self._interval_s = interval_s
        self._resolver = resolver or ThreadedResolver()
        self._timeout_s = max(1.0, min(interval_s, PAGE_TIMEOUT_S))
        self._before: dict[str, tuple[Scrape, float]] = {}
        self._now: dict[str, tuple[Scrape, float]] = {}

    async def __aenter__(self) -> "Workers":
        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        self._http = aiohttp.ClientSession(timeout=timeout, trust_env=False, headers={"Accept": "text/plain"})
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()
        await self._resolver.close()

    async def intervals(self) -> AsyncGenerator[Figures, None]:
        """Figures at the end of each interval, and at once those that need none."""
        due = time.monotonic()
        while True:
            yield figures(await self._readings(), datetime.now(UTC))
            due = max(due + self._interval_s, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def _readings(self) -> list[Reading]:
        """Of each worker one, whichever of the URLs lead to it."""
        found = await asyncio.gather(*(self._behind(url) for url in self._urls))
        readings = {reading.dialled: reading for of_url in found for reading in of_url}
        known = {place: before for place, before in self._before.items() if place in readings}
        self._before, self._now = known | self._now, {}
        return list(readings.values())

    async def _behind(self, url: str) -> list[Reading]:
        """What all workers behind one URL say.

        Of a name with addresses of IPv4 and of IPv6 those of one kind count, for they lead to the same workers: the
        first kind that anybody answers at.
        """
        if parse_address(urlsplit(url).hostname or "") is not None:
            return [await self._read(_Place(url))]
        try:
            kinds = await self._look_up(url)
        except TimeoutError:
            return [Reading(url, problem="no connection: its name was not resolved in time", dialled=url)]
        except (OSError, UnicodeError) as error:
            reason = _reason(error) if isinstance(error, OSError) else str(error)
            return [Reading(url, problem=f"no connection: {reason}", dialled=url)]
        readings: list[Reading] = []
        for places in kinds:
            of_kind = await asyncio.gather(*map(self._read, places))
            if any(reading.page is not None for reading in of_kind):
                return of_kind
            readings = readings or of_kind
        return readings

    async def _look_up(self, url: str) -> list[list[_Place]]:
        """The places behind a name, those of IPv4 and of IPv6 apart."""
        async with asyncio.timeout(self._timeout_s):
            answers = await self._resolver.resolve(urlsplit(url).hostname or "", 0, socket.AF_UNSPEC)
        kinds: dict[int, dict[str, _Place]] = {}
        for answer in answers:
            kinds.setdefault(answer["family"], {})[answer["host"]] = _Place(url, answer["host"])
        return [sorted(places.values()) for places in kinds.values()]

    async def _read(self, place: _Place) -> Reading:
        url, address, dialled = place.url, place.address, place.dialled
        try:
            page = await self._page(place)
        except TimeoutError:
            return Reading(url, address=address, dialled=dialled, problem="no answer in time")
        except aiohttp.ClientConnectorError as error:
            problem = f"no connection: {_reason(error.os_error)}"
            return Reading(url, address=address, dialled=dialled, problem=problem)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Reading(url, address=address, dialled=dialled, problem=str(error) or repr(error))
        read_at = time.monotonic()
        before, before_at = self._before.get(dialled, (None, read_at))
        self._now[dialled] = (page, read_at)  # not the page before yet: another URL may lead here too
        change = None if before is None else page.since(before)
        return Reading(url, page, change, read_at - before_at, address=address, dialled=dialled)

    async def _page(self, place: _Place) -> Scrape:
        # as if the name had been dialled: what stands before a worker may go by it, and a certificate is for it
        asked = urlsplit(place.url)
        headers, name = ({"Host": asked.netloc.rpartition("@")[2]}, asked.hostname) if place.address else ({}, None)
        async with self._http.get(place.dialled, headers=headers, server_hostname=name) as response:
            if response.status != 200:
                raise ValueError(f"it answers with status {response.status}")
            body = bytearray()
            async for chunk in response.content.iter_chunked(2**16):
                body += chunk
                if len(body) > PAGE_MAX_BYTES:
                    raise ValueError(f"its page is larger than {PAGE_MAX_BYTES:,} bytes")
        page = Scrape(body.decode("utf-8", "replace"))
        if not page.has("mner_posts_total"):
            raise ValueError("what answers there is not a worker's metrics page")
        return page


def _reason(error: OSError) -> str:
    """In the system's words; asyncio's tell the address once more. Look-ups of names have numbers of their own."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)
