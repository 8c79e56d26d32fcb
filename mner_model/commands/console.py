"""What the commands say to people, on stderr: progress, and failures in one line. Data alone goes to stdout."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from mner_model.errors import Failure

if TYPE_CHECKING:
    from mner_model.training.story import EpochReport

ProgressCallback = Callable[[int, int | None], None]


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[ProgressCallback]:
    """Gives a callback (done, of how many) that draws a bar on a terminal, unless records go to one as well."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal or sys.stdout.isatty()
    ) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done, of: progress.update(task, completed=done, total=of)


@contextmanager
def failures() -> Iterator[None]:
    """Turns a Failure into one line on stderr and exit status 1."""
    try:
        yield
    except Failure as error:
        say(f"mner-model: {error}")
        sys.exit(1)


def say(line: str) -> None:
    """One line on stderr."""
    click.echo(line, err=True)


def say_epoch(report: "EpochReport") -> None:
    """How a pass of a tagger's training went, in one line."""
    scores = ", ".join(f"{name} {scores.lenient.f1:.2%}" for name, scores in report.validation.items())
    best = "  best so far" if report.best else ""
    say(f"pass {report.epoch:3}  loss {report.loss:7.3f}  lenient F1: {scores}{best}")
