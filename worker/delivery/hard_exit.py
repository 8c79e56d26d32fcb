"""The end that always comes: for when the orderly way out hangs, as a lost broker or a stuck thread can make it."""

import asyncio
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from worker.errors import ExitStatus

logger = logging.getLogger(__name__)


class HardExit:
    """Armed when the worker begins to leave, disarmed when everything ended; else it exits with status 71."""

    def __init__(self) -> None:
        self._timer: threading.Timer | None = None
        self._something_hangs = False

    def arm(self, after_s: float) -> None:
        """From here on the process has this long; the first time counts."""
        if self._timer is None:
            self._timer = threading.Timer(after_s, _overdue)
            self._timer.daemon = True
            self._timer.start()

    async def in_time(self, end: Callable[[], Coroutine[Any, Any, Any]], timeout_s: float) -> None:
        """End something, waiting no longer than this."""
        try:
            async with asyncio.timeout(timeout_s):
                await end()
        except TimeoutError:
            self._something_hangs = True
            logger.warning("%s took more than %.0f s", getattr(end, "__qualname__", end), timeout_s)

    def disarm(self, status: int) -> None:
        """Everything ended. Where something did not, the interpreter would wait for its threads, so this ends it."""
        if self._something_hangs:
            _exit(status or ExitStatus.DRAIN_OVERDUE)
        if self._timer is not None:
            self._timer.cancel()


def _overdue() -> None:
    logger.error("the worker did not end in time and leaves hard; posts that were open come again")
    _exit(ExitStatus.DRAIN_OVERDUE)


def _exit(status: int) -> None:
    logging.shutdown()
    os._exit(status)
