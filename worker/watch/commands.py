"""The commands that look on, and send dead letters again: `tail`, `top`, `dead`."""

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

import click

from worker.errors import DeadReason
from worker.watch.option_types import METRICS_URL, PATTERN, PLACE, START

_from = click.option(
    "--from",
    "start",
    type=START,
    metavar="beginning|now|TIME",
    help="Where to start; TIME as in 2026-11-22T01:02:03Z, 2026-11-22T01:02 or 2026-11-22 (UTC where it has no zone), "
    "or a span back as in 90s, 15m, 2h, 1d.",
)
_count = click.option("--count", type=click.IntRange(1), help="End after so many.")
_reasons = click.option(
    "--reason",
    "reasons",
    multiple=True,
    type=click.Choice(list(map(str, DeadReason))),
    help="Only those that died of this; may be given more than once.",
)


@click.command()
@click.option(
    "--type",
    "types",
    multiple=True,
    type=click.Choice(["PER", "LOC", "ORG", "MISC"], case_sensitive=False),
    help="Only records with a mention of this type; may be given more than once.",
)
@click.option(
    "--match",
    type=PATTERN,
    metavar="REGEX",
    help="Only records with a mention (of that type) whose text has a match, as in '(?i)amsterdam'.",
)
@_from
@_count
@click.option("--no-follow", is_flag=True, help="End when all that there is has been shown.")
def tail(types: Sequence[str], match: Any, start: Any, count: int | None, no_follow: bool) -> None:
    """Show entity records as they are published, until Ctrl-C.

    On a terminal for reading, mentions marked in their text and times in UTC; in a pipe each record as published, one
    JSON object a line, and {"deleted": post id} for a tombstone. Tombstones have no mentions: --type and --match leave
    them out.
    Without --from, from now on; with --no-follow, from the beginning. Takes part in no consumer group, so no worker is
    disturbed.
    """
    from worker.settings import Settings

    settings = Settings.load()

    from worker.watch.tail import Selection, TailOptions, run_tail

    if no_follow and start == "now":
        raise click.UsageError("--no-follow, --from now: nothing would be shown; expected another start")
    selection = Selection(types=frozenset(types), pattern=match)  # type: ignore[arg-type]  # the choices above
    start = start or ("beginning" if no_follow else "now")
    sys.exit(run_tail(settings, TailOptions(selection, start, count, follow=not no_follow)))


@click.command()
@click.option(
    "--url",
    "urls",
    multiple=True,
    type=METRICS_URL,
    help="A worker's metrics page, or its host:port; a host name stands for the workers at all of its addresses. Given "
    "more than once the workers are added up.  [default: MNER_HTTP_HOST and MNER_HTTP_PORT on this machine]",
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

    Posts a second, latency, stages, batches, lag, cache, images, mentions and dead letters; the time is in UTC. In a
    pipe one JSON object an interval. A worker that does not answer is said so; the others are shown, and of how many
    the figures are. Host names are looked up again every interval, so that workers come and go.
    """
    from worker.watch.top.addresses import own_metrics_url
    from worker.watch.top.session import TopOptions, run_top

    is_own = not urls
    if is_own:
        from worker.settings import Settings

        urls = (own_metrics_url(Settings.load()),)
    sys.exit(run_top(TopOptions(tuple(dict.fromkeys(urls)), interval, once, is_own)))


@click.group()
def dead() -> None:
    """List the posts that could not be answered, show one, send them again."""


@dead.command("list")
@_reasons
@_from
@_count
def dead_list(reasons: Sequence[str], start: Any, count: int | None) -> None:
    """List the dead letters that there are: reason, time, size, where each came from.

    In a pipe one JSON object a line. Times are in UTC. PARTITION:OFFSET in the first column is what `show` takes.
    """
    from worker.settings import Settings

    settings = Settings.load()

    from worker.watch.dead.listing import LetterSelection, run_list

    sys.exit(run_list(settings, LetterSelection(frozenset(reasons)), start or "beginning", count))


@dead.command("show")
@click.argument("place", type=PLACE, metavar="PARTITION:OFFSET")
def dead_show(place: tuple[int, int]) -> None:
    """Show one dead letter wholly: headers, key and value, as text or, where they are none, in base64."""
    from worker.settings import Settings

    settings = Settings.load()

    from worker.watch.dead.listing import run_show

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

    from worker.watch.dead.listing import LetterSelection
    from worker.watch.dead.replay import ReplayOptions, run_replay

    selection = LetterSelection(frozenset(reasons), frozenset(post_ids))
    options = ReplayOptions(selection=selection, start=start or "beginning", dry_run=dry_run)
    sys.exit(run_replay(settings, options, None if yes else partial(click.confirm, err=True)))
