"""What options of `mner-worker` take beyond click's own types: checked, and refused with what was expected."""

from typing import Any

import click


class StartType(click.ParamType):
    """Where to start reading: `worker.watch.reading_start`."""

    name = "start"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: D102
        from datetime import UTC, datetime

        from worker.watch.reading_start import parse_start

        try:
            return parse_start(value, datetime.now(UTC))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class PatternType(click.ParamType):
    """A regular expression, compiled."""

    name = "regex"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: D102
        import regex

        try:
            return regex.compile(value)
        except regex.error as error:
            self.fail(f"received {value!r}, expected a regular expression: {error}", param, ctx)


class PlaceType(click.ParamType):
    """PARTITION:OFFSET, as two numbers."""

    name = "place"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: D102
        partition, _, offset = value.partition(":")
        if not (value.isascii() and partition.isdigit() and offset.isdigit()):
            self.fail(f"received {value!r}, expected PARTITION:OFFSET, such as 0:17", param, ctx)
        return int(partition), int(offset)


class UrlType(click.ParamType):
    """A worker's metrics page: `worker.watch.top.addresses`."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:  # noqa: D102
        from worker.watch.top.addresses import metrics_url

        try:
            return metrics_url(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
