"""A command that people start and end by hand: Ctrl-C and SIGTERM end it well, and so does a reader that leaves."""

import asyncio
import logging
import os
import signal
import stat
import sys
from collections.abc import Coroutine
from typing import Any

from mner_model.commands.output import write_into_the_void
from worker.errors import ExitStatus
from worker.settings import Settings
from worker.telemetry import logs


def run_in_foreground(command: Coroutine[Any, Any, ExitStatus], interrupted: ExitStatus) -> ExitStatus:
    """Run a command to its own end, to Ctrl-C or SIGTERM, or until nobody reads its output, as after `| head`.

    interrupted  the status after any of these but the first
    """
    before = signal.getsignal(signal.SIGTERM)
    try:
        return asyncio.run(_until_nobody_reads(command))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return interrupted
    except BrokenPipeError:
        write_into_the_void()
        return interrupted
    finally:
        signal.signal(signal.SIGTERM, before)


def quiet_clients(settings: Settings) -> None:
    """Leave it to the command to say what is wrong with a broker; all is logged where MNER_LOG_LEVEL is DEBUG."""
    if settings.log_level == "DEBUG":
        logs.configure("DEBUG", settings.log_format)
    else:
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)


async def _until_nobody_reads(command: Coroutine[Any, Any, ExitStatus]) -> ExitStatus:
    _heed_sigterm()
    running = asyncio.ensure_future(command)
    reader_left = asyncio.Event()
    watching = _watch_reader(reader_left)
    leaving = asyncio.ensure_future(reader_left.wait())
    try:
        await asyncio.wait({running, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            raise BrokenPipeError
        return running.result()
    finally:
        if watching is not None:
            asyncio.get_running_loop().remove_reader(watching)
        for task in (running, leaving):
            task.cancel()
        await asyncio.gather(running, leaving, return_exceptions=True)


def _heed_sigterm() -> None:
    """As asyncio.run does Ctrl-C: the first cancels this task, the second ends even a write that waits for its reader.

    Not by the handler that Ctrl-C has: a shell that starts a command in the background has it ignore that.
    """
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None

    def terminate(*_: object) -> None:
        if task.cancelling():
            raise KeyboardInterrupt
        task.cancel()
        loop.call_soon_threadsafe(lambda: None)  # a loop that sleeps would notice later

    signal.signal(signal.SIGTERM, terminate)


def _watch_reader(left: asyncio.Event) -> int | None:
    """Sets the event when the other end of standard output is closed; without it an idle command would outlive `head`.

    returns  what is watched, None where standard output is no pipe
    """
    try:
        descriptor = sys.stdout.fileno()
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return None
    except (OSError, ValueError):  # closed, or no file at all
        return None
    # Nothing ever comes back through a pipe: what makes its writing end readable is the error that nobody reads.
    asyncio.get_running_loop().add_reader(descriptor, left.set)
    return descriptor
