"""One run of `top`: ask every worker, work out the figures, show them, wait, again."""

import sys
from contextlib import ExitStack, aclosing
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from worker.errors import ExitStatus
from worker.watch.foreground import run_in_foreground
from worker.watch.output import print_json
from worker.watch.top.figures import Figures
from worker.watch.top.view import head, table
from worker.watch.top.workers import Workers


@dataclass(frozen=True, slots=True)
class TopOptions:
    """What was asked for on the command line."""

    urls: tuple[str, ...]
    interval_s: float
    once: bool
    """One JSON object, of one interval."""
    is_own: bool
    """Whether nobody named a worker, so that it is the one of these settings on this machine, and no other."""


def run_top(options: TopOptions) -> ExitStatus:
    """Show figures until Ctrl-C; once: FAILED where no worker answered."""
    return run_in_foreground(_top(options), interrupted=ExitStatus.DONE)


async def _top(options: TopOptions) -> ExitStatus:
    shows_table = sys.stdout.isatty() and not options.once
    with ExitStack() as stack:
        screen = stack.enter_context(_Screen(options)) if shows_table else None
        async with Workers(options.urls, options.interval_s) as workers, aclosing(workers.intervals()) as intervals:
            async for current in intervals:
                if screen is not None:
                    screen.show(current)
                elif current.has_rates or not current.answering:
                    print_json(current.as_json())
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
        lines = head(current, self._options.interval_s, is_own=self._options.is_own)
        self._shown = Group(lines, Text(), table(current))
        self._live.update(self._shown, refresh=True)
