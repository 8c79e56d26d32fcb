"""What the demo is doing, step by step, on standard error: a spinner on a terminal, plain lines elsewhere."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console

TOLD_EVERY_S = 5.0


class Step:
    """One step under way."""

    def __init__(self, name: str, show: Callable[[str], None]) -> None:
        self._name = name
        self._show = show
        self._started = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Since it began."""
        return time.monotonic() - self._started

    def waiting(self, what_for: str) -> None:
        """It is still under way, and waits for this; may be told as often as one likes."""
        self._show(f"{self._name}: {what_for} ({self.elapsed_s:.0f} s)")


class Progress:
    """Steps as they are done; a terminal sees the one that is under way too."""

    def __init__(self, console: Console) -> None:
        self.console = console

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """One step: shown while it lasts, with its time when it is done."""
        if self.console.is_terminal:
            with self.console.status(name) as status:
                step = Step(name, status.update)
                yield step
        else:
            step = Step(name, self._now_and_then())
            yield step
        self.console.print(f"[green]✓[/green] {name} [dim]{step.elapsed_s:.1f} s[/dim]")

    def say(self, message: str) -> None:
        """One line."""
        self.console.print(message, markup=False, soft_wrap=True)

    def failed(self, message: str) -> None:
        """What went wrong, in its own words."""
        self.console.print(f"✗ {message}", style="red", markup=False, soft_wrap=True)

    def _now_and_then(self) -> Callable[[str], None]:
        told_at = time.monotonic()

        def show(line: str) -> None:
            nonlocal told_at
            if time.monotonic() - told_at >= TOLD_EVERY_S:
                told_at = time.monotonic()
                self.console.print(f"  {line}", markup=False, soft_wrap=True)

        return show
