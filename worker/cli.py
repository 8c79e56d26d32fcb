"""The command `mner-worker`: run the worker, try it, make its topics, feed it, watch it, see its settings and schemas.

Data goes to standard output, everything else to standard error. What a command needs is imported inside it, so that
`--help` does not wait for a model library.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from mner_model.commands.output import Commands
from worker.errors import ExitStatus, SettingsRefused
from worker.watch.commands import dead, tail, top

_ABOVE_ZERO = click.FloatRange(min=0, min_open=True)
_POSTS_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


class _Group(Commands):
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
    type=_POSTS_FILE,
    help="Send these JSON lines instead of the sample; - for standard input (once).",
)
@click.option("--once", is_flag=True, help="End when every post is answered.")
@click.option(
    "--rate",
    type=_ABOVE_ZERO,
    help="Posts a second.  [default: 2; with --once 10, of your own as fast as they are answered]",
)
@click.option(
    "--patience",
    type=_ABOVE_ZERO,
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
@click.option("--markdown", is_flag=True, help="The table of all settings with their defaults, for docs/settings.md.")
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
@click.option(
    "--min-insync",
    type=click.IntRange(1),
    help="Copies that must have a record before it is confirmed.  [default: one less than --replication]",
)
@click.option(
    "--retention-days",
    type=_ABOVE_ZERO,
    default=7.0,
    show_default=True,
    help="How long posts and mentions are kept, and tombstones of entity records.",
)
@click.option(
    "--dead-retention-days", type=_ABOVE_ZERO, default=30.0, show_default=True, help="The same for dead letters."
)
def topics(
    partitions: int, replication: int, min_insync: int | None, retention_days: float, dead_retention_days: float
) -> None:
    """Make the topics of the worker that are missing, and print their names; existing ones are left as they are.

    Records are compacted, the last one of each post stays; everything else goes when it is older than its retention.
    Standard error tells of each topic that exists how it differs from what was asked: in partitions, replicas,
    retention, clean-up, message size or in-sync copies. That is no failure, for a command that is run at every
    deployment: exit status 0, and 1 only where a topic could not be made.
    """
    import asyncio

    from worker.delivery.topics import TopicsUnavailable, make_worker_topics
    from worker.messages.topics import DAY_S
    from worker.settings import Settings

    if min_insync is not None and min_insync > replication:
        raise click.UsageError(f"--min-insync: received {min_insync}, expected at most --replication, {replication}")
    making = make_worker_topics(
        Settings.load(),
        partitions=partitions,
        replication_factor=replication,
        min_insync=min_insync,
        retention_s=retention_days * DAY_S,
        dead_retention_s=dead_retention_days * DAY_S,
    )
    try:
        there_are = asyncio.run(making)
    except TopicsUnavailable as error:
        click.echo(error, err=True)
        sys.exit(ExitStatus.FAILED)
    for name in there_are.made:
        click.echo(name)
    for name, differences in there_are.existing.items():
        told = f"but left as it is: {', '.join(differences)}" if differences else "as asked"
        click.echo(f"{name} exists, {told}", err=True)


@main.command()
@click.option("--rate", type=_ABOVE_ZERO, default=2.0, show_default=True, help="Posts a second.")
@click.option(
    "--count", type=click.IntRange(1), help="End after so many posts.  [default: never; with --posts its lines]"
)
@click.option(
    "--posts",
    type=_POSTS_FILE,
    help="Send these JSON lines instead of the sample; - for standard input.",
)
@click.option(
    "--pictures-host",
    default="127.0.0.1",
    show_default=True,
    help="Name by which workers reach this machine for the sample's pictures; any but loopback listens to all.",
)
@click.option(
    "--pictures-port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="Port of the same."
)
def feed(rate: float, count: int | None, posts: Path | None, pictures_host: str, pictures_port: int) -> None:
    """Send posts to the topic of posts at a steady pace, each confirmed by the broker, and say how many there were.

    The sample comes again and again, every time under new ids, and so do your own posts where --count asks for more
    than there are. Workers fetch the sample's pictures from here: name this host and port in their
    MNER_IMAGE_ALLOW_HOSTS. Ends with status 0 on Ctrl-C or SIGTERM, 1 when a post could not be sent.
    """
    from worker.demo.feed import FeedOptions, run_feed
    from worker.settings import Settings

    options = FeedOptions(rate, count, posts, pictures_host, pictures_port)
    sys.exit(run_feed(Settings.load(), options))


@main.command()
@click.option("--asyncapi", is_flag=True, help="An AsyncAPI 3.0 document of the topics that the settings name.")
@click.argument("folder", required=False, type=click.Path(file_okay=False, path_type=Path))
def schemas(folder: Path | None, asyncapi: bool) -> None:
    """Print the JSON Schemas of everything on the topics as one object, or write NAME.schema.json files to FOLDER.

    With --asyncapi print that document instead, or write it to FOLDER/asyncapi.yaml and the schemas that it refers to
    to FOLDER/schemas.
    """
    from worker.messages.schemas import json_schemas, schema_files

    if asyncapi:
        from worker.messages.asyncapi import asyncapi_files, asyncapi_yaml
        from worker.settings import Settings

        settings = Settings.load()
        printed, files = asyncapi_yaml(settings), asyncapi_files(settings)
    else:
        printed, files = json.dumps(json_schemas(), indent=2, ensure_ascii=False) + "\n", schema_files()
    if folder is None:
        click.echo(printed, nl=False)
        return
    try:
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
            click.echo(path, err=True)
    except OSError as error:
        click.echo(f"not written: {error}", err=True)
        sys.exit(ExitStatus.FAILED)


for command in (tail, top, dead):
    main.add_command(command)


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
