"""What options of `mner-worker` take beyond click's own types: checked, and refused with what was expected."""

from collections.abc import Callable
from typing import Any

import click


class Parsed(click.ParamType):
    """What a function makes of the text; the ValueError that it raises is what the user is told."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: D102
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _start(text: str) -> Any:
    """Where to start reading."""
    from datetime import UTC, datetime

    from worker.watch.reading_start import parse_start

    return parse_start(text, datetime.now(UTC))


def _pattern(text: str) -> Any:
    """A regular expression, compiled."""
    import regex

    try:
        return regex.compile(text)
    except regex.error as error:
        raise ValueError(f"received {text!r}, expected a regular expression: {error}") from None


def _place(text: str) -> tuple[int, int]:
    """PARTITION:OFFSET, as two numbers."""
    partition, _, offset = text.partition(":")
    if not (text.isascii() and partition.isdigit() and offset.isdigit()):
        raise ValueError(f"received {text!r}, expected PARTITION:OFFSET, such as 0:17")
    return int(partition), int(offset)


def _url(text: str) -> str:
    """A worker's metrics page."""
    from worker.watch.top.addresses import metrics_url

    return metrics_url(text)


START = Parsed("start", _start)
PATTERN = Parsed("regex", _pattern)
PLACE = Parsed("place", _place)
METRICS_URL = Parsed("url", _url)
