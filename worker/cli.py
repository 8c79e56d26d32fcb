"""`mner-worker`: run the worker, try it, make its topics, look at its settings and its messages' schemas.

Data goes to standard output, everything else to standard error. What a command needs is imported inside it, so that
`--help` does not wait for a model library.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from worker.errors import ExitStatus, SettingsRefused


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
