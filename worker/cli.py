"""`mner-worker`: run the worker, try it, make its topics, watch what it does, look at settings and schemas.

Data goes to standard output, everything else to standard error. What a command needs is imported inside it, so that
`--help` does not wait for a model library.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from worker.errors import DeadReason, ExitStatus, SettingsRefused
from worker.option_types import PatternType, PlaceType, StartType, UrlType


class _Group(click.Group):
    """Any command may find the settings refused: every problem on a line of its own, and status 78."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SettingsRefused as refused:
            for problem in refused.problems:
                click.echo(problem, err=True)
            ctx.exit(ExitStatus.SETTINGS_REFUSED)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mner-stream", prog_name="mner-worker")
def main() -> None:
    """Read posts from Kafka, find the people, places and organisations in them, publish what was found.

    \b
    Exit status: 0 done, 1 failed, 2 wrong usage, 70 stopped on an error that must not be
    committed past, 71 the drain was overdue, 78 settings refused.
    """


@main.command()
def run() -> None:
    """Run the worker until SIGTERM; its settings are MNER_ environment variables (see `settings`)."""
    from worker.settings import Settings

    settings = Settings.load()

    from worker import app

    sys.exit(app.run(settings))


@main.command()
@click.option(
    "--posts",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="Send these JSON lines instead of the sample; - for standard input (once).",
)
@click.option("--once", is_flag=True, help="End when every post is answered.")
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Posts a second.  [default: 2; with --once 10, of your own as fast as they are answered]",
)
@click.option(
    "--patience",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds without any answer after which to give up.",
)
@click.option(
    "--logs",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the logs of broker, Redis and worker in this folder.",
)
def demo(posts: Path | None, once: bool, rate: float | None, patience: float, logs: Path | None) -> None:
    """Start a broker, a Redis and a worker, feed posts, show what comes out.

    On a terminal for reading, in a pipe one JSON object a line: entity records as they are published, dead letters
    under "dead". Without --once the posts are sent again and again until Ctrl-C. Exit status 0 only if every post was
    answered by an entity record or a dead letter.
    """
    from worker.demo.session import DemoOptions, run_demo

    sys.exit(run_demo(DemoOptions(posts=posts, once=once, posts_per_s=rate, patience_s=patience, logs=logs)))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--markdown", is_flag=True, help="The table of all settings with their defaults, for the README.")
def settings(as_json: bool, markdown: bool) -> None:
    """Print the effective settings, where each came from, secrets masked."""
    from worker.settings import Settings, describe, markdown_table

    if as_json and markdown:
        raise click.UsageError("--json and --markdown: received both, expected at most one")
    if markdown:
        click.echo(markdown_table(), nl=False)
        return
    rows = [row._asdict() for row in describe(Settings.load())]
    if as_json or not sys.stdout.isatty():
        _json_lines(rows)
    else:
        _table(rows)


@main.command()
@click.option("--partitions", type=click.IntRange(1), default=4, show_default=True, help="Of all but dead letters.")
@click.option("--replication", type=click.IntRange(1), default=1, show_default=True, help="Copies of each partition.")
def topics(partitions: int, replication: int) -> None:
    """Make those of the worker's topics that are missing, and print their names; existing ones are left as they are."""
    import asyncio

    from worker.settings import Settings
    from worker.topics import TopicsUnavailable, make_worker_topics

    settings = Settings.load()
    try:
        made = asyncio.run(make_worker_topics(settings, partitions=partitions, replication_factor=replication))
    except TopicsUnavailable as error:
        click.echo(error, err=True)
        sys.exit(ExitStatus.FAILED)
    for name in made:
        click.echo(name)


@main.command()
@click.option("--asyncapi", is_flag=True, help="An AsyncAPI 3.0 document of the topics that the settings name.")
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
def schemas(folder: Path | None, asyncapi: bool) -> None:
    """Print the JSON Schemas of everything on the topics as one object, or write NAME.schema.json files to FOLDER.

    With --asyncapi print that document instead, or write it to FOLDER/asyncapi.yaml and the schemas that it refers to
    to FOLDER/schemas.
    """
    from worker.schemas import json_schemas, schema_files

    if asyncapi:
        from worker.asyncapi import asyncapi_files, asyncapi_yaml
        from worker.settings import Settings

        settings = Settings.load()
        printed, files = asyncapi_yaml(settings), asyncapi_files(settings)
    else:
        printed, files = json.dumps(json_schemas(), indent=2, ensure_ascii=False) + "\n", schema_files()
    if folder is None:
        click.echo(printed, nl=False)
        return
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        click.echo(path, err=True)


# Watching: tail, top, dead


_from = click.option(
    "--from",
    "start",
    type=StartType(),
    metavar="beginning|now|TIME",
    help="Where to start; TIME as in 2026-11-22T01:02:03Z, or a span back as in 90s, 15m, 2h, 1d.",
)
_count = click.option("--count", type=click.IntRange(1), help="End after so many.")
_reasons = click.option(
    "--reason",
    "reasons",
    multiple=True,
    type=click.Choice(list(map(str, DeadReason))),
    help="Only those that died of this; may be given more than once.",
)


@main.command()
@click.option(
    "--type",
    "types",
    multiple=True,
    type=click.Choice(["PER", "LOC", "ORG", "MISC"], case_sensitive=False),
    help="Only records with a mention of this type; may be given more than once.",
)
@click.option(
    "--match",
    type=PatternType(),
    metavar="REGEX",
    help="Only records with a mention (of that type) whose text has a match, as in '(?i)amsterdam'.",
)
@_from
@_count
def tail(types: Sequence[str], match: Any, start: Any, count: int | None) -> None:
    """Show entity records as they are published, until Ctrl-C.

    On a terminal for reading, mentions marked in their text; in a pipe each record as published, one JSON object a
    line, and {"deleted": post id} for a tombstone. Tombstones have no mentions: --type and --match leave them out.
    Without --from, from now on. Takes part in no consumer group, so no worker is disturbed.
    """
    from worker.settings import Settings

    settings = Settings.load()

    from worker.tail import Selection, TailOptions, run_tail

    selection = Selection(types=frozenset(types), pattern=match)  # type: ignore[arg-type]  # the choices above
    sys.exit(run_tail(settings, TailOptions(selection=selection, start=start or "now", count=count)))


@main.command()
@click.option(
    "--url",
    "urls",
    multiple=True,
    type=UrlType(),
    help="A worker's metrics page, or its host:port; given more than once the workers are added up.  "
    "[default: MNER_HTTP_HOST and MNER_HTTP_PORT on this machine]",
)
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=2.0,
    show_default=True,
    help="Seconds from one look to the next; rates and quantiles are of this time.",
)
@click.option("--once", is_flag=True, help="End after one interval, with one JSON object.")
def top(urls: Sequence[str], interval: float, once: bool) -> None:
    """Show what the dashboard shows, live, from the workers' /metrics alone.

    Posts a second, latency, stages, batches, lag, cache, images, mentions and dead letters. In a pipe one JSON object
    an interval. A worker that does not answer is said so; the others are shown.
    """
    from worker.top.addresses import own_metrics_url
    from worker.top.session import TopOptions, run_top

    if not urls:
        from worker.settings import Settings

        urls = (own_metrics_url(Settings.load()),)
    sys.exit(run_top(TopOptions(tuple(dict.fromkeys(urls)), interval, once)))


@main.group()
def dead() -> None:
    """List the posts that could not be answered, show one, send them again."""


@dead.command("list")
@_reasons
@_from
@_count
def dead_list(reasons: Sequence[str], start: Any, count: int | None) -> None:
    """List the dead letters that there are: reason, time, size, where each came from.

    In a pipe one JSON object a line. PARTITION:OFFSET in the first column is what `show` takes.
    """
    from worker.settings import Settings

    settings = Settings.load()

    from worker.dead.listing import LetterSelection, run_list

    sys.exit(run_list(settings, LetterSelection(frozenset(reasons)), start or "beginning", count))


@dead.command("show")
@click.argument("place", type=PlaceType(), metavar="PARTITION:OFFSET")
def dead_show(place: tuple[int, int]) -> None:
    """Show one dead letter wholly: headers, key and value, as text or, where they are none, in base64."""
    from worker.settings import Settings

    settings = Settings.load()

    from worker.dead.listing import run_show

    sys.exit(run_show(settings, *place))


@dead.command("replay")
@_reasons
@_from
@click.option(
    "--match-id", "post_ids", multiple=True, metavar="ID", help="Only the post of this id; may be given more than once."
)
@click.option("--dry-run", is_flag=True, help="Tell what would be sent, and send nothing.")
@click.option("--yes", is_flag=True, help="Do not ask before sending; needed where there is no terminal to ask at.")
def dead_replay(reasons: Sequence[str], start: Any, post_ids: Sequence[str], dry_run: bool, yes: bool) -> None:
    """Send posts that became dead letters to their topic again: key, value and headers as they first came.

    Only the letters that there are when it begins, in their order, each to the partition it came from. They stay on
    the topic of dead letters, so a second replay sends them a second time: --from says since when. In a pipe one
    JSON object a letter. Exit status 1 if any was not sent, such as one whose value was too large for its letter.
    """
    from worker.settings import Settings

    settings = Settings.load()
    if not (yes or dry_run or sys.stdin.isatty()):
        raise click.UsageError("no terminal to ask at before sending: expected --yes, or --dry-run")

    from worker.dead.listing import LetterSelection
    from worker.dead.replay import ReplayOptions, run_replay

    selection = LetterSelection(frozenset(reasons), frozenset(post_ids))
    options = ReplayOptions(selection=selection, start=start or "beginning", dry_run=dry_run)
    sys.exit(run_replay(settings, options, None if yes else partial(click.confirm, err=True)))


# How settings are printed


def _json_lines(rows: Sequence[Mapping[str, Any]]) -> None:
    for row in rows:
        click.echo(json.dumps(row, ensure_ascii=False))


def _table(rows: Sequence[Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("setting", "value", "unit", "from"):
        table.add_column(column, overflow="fold")
    for row in rows:
        style = "" if row["source"] == "default" else "bold"
        table.add_row(row["name"], row["value"], row["unit"], row["source"], style=style)
    Console(highlight=False, markup=False).print(table)
