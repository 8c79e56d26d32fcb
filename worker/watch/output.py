"""Where a command's lines go: data, for people or for programs, to standard output; all else to standard error."""

import json
import sys
from collections import Counter
from typing import Any

from rich.console import Console

from worker.watch.record_view import printable


def terminal() -> Console | None:
    """Standard output for people; None where it is no terminal, and programs get JSON lines."""
    return Console(highlight=False) if sys.stdout.isatty() else None


def print_json(row: dict[str, Any]) -> None:
    """One line of JSON, for programs."""
    print(json.dumps(row, ensure_ascii=False), flush=True)


def say(message: str) -> None:
    """A line beside the data, on standard error."""
    print(printable(message), file=sys.stderr, flush=True)


def by_kind(counts: Counter[str]) -> str:
    """Most frequent first, as in `too large 3, no such topic 1`."""
    return ", ".join(f"{kind} {count:,}" for kind, count in counts.most_common())
