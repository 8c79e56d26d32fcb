"""One run of `top`: ask every worker, work out the figures, show them, wait, again."""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from worker.errors import ExitStatus
from worker.foreground import run_in_foreground
from worker.scrape import Scrape
from worker.top.figures import Figures, Reading, figures
from worker.top.view import table

PAGE_TIMEOUT_S = 5.0
PAGE_MAX_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class TopOptions:
    """What was asked for on the command line."""

    urls: tuple[str, ...]
    interval_s: float = 2.0
    once: bool = False
    """One JSON object, of one interval."""


def run_top(options: TopOptions) -> ExitStatus:
    """Show figures until Ctrl-C; once: FAILED where no worker answered."""
    return run_in_foreground(_top(options), interrupted=ExitStatus.DONE)


async def _top(options: TopOptions) -> ExitStatus:
    shows_table = sys.stdout.isatty() and not options.once
    with ExitStack() as stack:
        screen = stack.enter_context(_Screen(options)) if shows_table else None
        async with _Workers(options) as workers, aclosing(workers.intervals()) as intervals:
            async for current in intervals:
                if screen is not None:
                    screen.show(current)
                elif current.has_rates or not any(worker["answers"] for worker in current.workers):
                    print(json.dumps(current.as_json(), ensure_ascii=False), flush=True)
                    if options.once:
                        return ExitStatus.DONE if current.has_rates else ExitStatus.FAILED
    return ExitStatus.DONE


class _Screen:
    """The whole terminal for as long as it runs; what it showed last stays when it ends."""

    def __init__(self, options: TopOptions) -> None:
        self._options = options
        self._console = Console(highlight=False)
        self._live = Live(console=self._console, screen=True, auto_refresh=False)
        self._shown: Group | None = None

    def __enter__(self) -> "_Screen":
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()
        if self._shown is not None:
            self._console.print(self._shown)

    def show(self, current: Figures) -> None:
        """In place of what was shown before."""
        answering = sum(worker["answers"] for worker in current.workers)
        interval = f", over {self._options.interval_s:g} s" if current.has_rates else ", rates come next"
        head = Text.assemble(
            ("mner-worker top", "bold reverse"),
            f"  {answering} of {len(current.workers)} workers answer",
            (interval if answering else "", "dim"),
            (f"  {current.at.astimezone():%H:%M:%S}  Ctrl-C ends", "dim"),
        )
        self._shown = Group(head, Text(), table(current))
        self._live.update(self._shown, refresh=True)


def _reason(error: OSError) -> str:
    """In the system's words; asyncio's tell the address once more. Look-ups of names have numbers of their own."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)


class _Workers:
    """Their pages, and what each said last time."""

    def __init__(self, options: TopOptions) -> None:
        self._options = options
        self._before: dict[str, tuple[Scrape, float]] = {}

    async def __aenter__(self) -> "_Workers":
        timeout = aiohttp.ClientTimeout(total=max(1.0, min(self._options.interval_s, PAGE_TIMEOUT_S)))
        self._http = aiohttp.ClientSession(timeout=timeout, trust_env=False, headers={"Accept": "text/plain"})
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.close()

    async def intervals(self) -> AsyncGenerator[Figures, None]:
        """Figures at the end of each interval, and at once those that need none."""
        due = time.monotonic()
        while True:
            readings = await asyncio.gather(*(self._read(url) for url in self._options.urls))
            yield figures(readings, datetime.now(UTC))
            due = max(due + self._options.interval_s, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def _read(self, url: str) -> Reading:
        try:
            page = await self._page(url)
        except TimeoutError:
            return Reading(url, problem="no answer in time")
        except aiohttp.ClientConnectorError as error:
            return Reading(url, problem=f"no connection: {_reason(error.os_error)}")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Reading(url, problem=str(error) or repr(error))
        read_at = time.monotonic()
        before, before_at = self._before.get(url, (None, read_at))
        self._before[url] = (page, read_at)
        if before is None:
            return Reading(url, page)
        return Reading(url, page, page.since(before), read_at - before_at)

    async def _page(self, url: str) -> Scrape:
        async with self._http.get(url) as response:
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
