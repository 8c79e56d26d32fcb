"""Calls to something that may be down or slow: a deadline each, and after some failures none until it is back."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

logger = logging.getLogger(__name__)

Reply = TypeVar("Reply")

_FAILURES_UNTIL_AWAY = 3
_FIRST_PROBE_S, _LAST_PROBE_S = 0.25, 15.0
_PROBE_TIMEOUT_S = 2.0  # connecting may take longer than a caller may wait


class CircuitBreaker:
    """Away after three failures in a row, until a probe is answered.

    While it is away nobody waits for it: one task in the background asks now and then, less and less often.
    Whatever a call or ping raises is a failure: a client may raise anything over a reply that makes no sense.
    Says once in the log that it went and once that it came back.
    """

    def __init__(
        self,
        name: str,
        ping: Callable[[], Awaitable[object]],
        *,
        timeout_s: float,
        observe: Callable[[bool], None],
    ) -> None:
        """Made from these:

        name       for the log, without secrets
        ping       the cheapest question that shows that it answers
        timeout_s  deadline of a call
        observe    told of each call and probe that is answered, and of each that makes or finds it away
        """
        self._name = name
        self._ping = ping
        self._timeout_s = timeout_s
        self._observe = observe
        self._in_a_row = 0
        self._probe: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Ask once, with the longer deadline of a probe, and say in the log what came of it."""
        error = await self._failure_of_ping()
        if error is None:
            logger.info("%s answers", self._name)
        else:
            self._go_away(error)

    async def call(self, request: Callable[[], Awaitable[Reply]]) -> Reply | None:
        """The reply; None while it is away, when the request fails, and when the deadline passes."""
        if self._probe is not None:
            return None
        try:
            async with asyncio.timeout(self._timeout_s):
                reply = await request()
        except Exception as error:
            # of one failure nobody is told: nothing might ask again for hours, and it would pass for an outage
            self._in_a_row += 1
            if self._in_a_row >= _FAILURES_UNTIL_AWAY:
                self._observe(False)
                self._go_away(error)
            return None
        self._in_a_row = 0
        self._observe(True)
        return reply

    async def close(self) -> None:
        """Ends the probes."""
        if self._probe is not None:
            self._probe.cancel()
            with suppress(asyncio.CancelledError):
                await self._probe

    def _go_away(self, error: Exception) -> None:
        if self._probe is None:  # several calls may fail at once
            why = "no answer in time" if isinstance(error, TimeoutError) else str(error) or type(error).__name__
            logger.warning("%s is away (%s): going on without it", self._name, why)
            self._probe = asyncio.create_task(self._probe_until_back())

    async def _probe_until_back(self) -> None:
        wait_s = _FIRST_PROBE_S
        await asyncio.sleep(wait_s)
        while await self._failure_of_ping() is not None:
            wait_s = min(2 * wait_s, _LAST_PROBE_S)
            await asyncio.sleep(wait_s)
        self._in_a_row = 0
        self._probe = None
        logger.info("%s is back", self._name)

    async def _failure_of_ping(self) -> Exception | None:
        try:
            async with asyncio.timeout(_PROBE_TIMEOUT_S):
                await self._ping()
        except Exception as error:
            self._observe(False)
            return error
        self._observe(True)
        return None
