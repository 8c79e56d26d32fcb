"""What the demo says when it ends: counts, caches, latencies, and what is still owed."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from rich.console import Console
from rich.text import Text

from worker.demo.ledger import Ledger, percentile
from worker.messages.wire import EntityRecord
from worker.watch.dead.letter import DeadLetter
from worker.watch.output import by_kind
from worker.watch.record_view import printable
from worker.watch.scrape import Scrape

NAME_WIDTH, VALUE_WIDTH = 15, 9
NAMES_SHOWN = 100


@dataclass(slots=True)
class Tally:
    """What came out, counted by kind."""

    mentions: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    images: Counter[str] = field(default_factory=Counter)

    def record(self, record: EntityRecord) -> None:
        """One more entity record."""
        self.mentions.update(entity.type for entity in record.entities)
        self.images[record.image.status.value] += 1

    def dead_letter(self, letter: DeadLetter) -> None:
        """One more dead letter."""
        self.reasons[letter.reason] += 1


def print_summary(console: Console, ledger: Ledger, tally: Tally, metrics: Scrape) -> None:
    """The closing table, and the names of the posts that nobody answered."""
    console.print()
    for name, value, detail in _rows(ledger, tally, metrics):
        console.print(
            Text.assemble((f"{name:<{NAME_WIDTH}}", "bold"), f"{value:>{VALUE_WIDTH}}", f"  {detail}".rstrip())
        )
    if missing := ledger.unanswered():
        more = f" and {len(missing) - NAMES_SHOWN:,} more" if len(missing) > NAMES_SHOWN else ""
        listed = ", ".join(map(printable, missing[:NAMES_SHOWN])) + more
        console.print(Text(f"\nnot answered: {listed}", "bold red"), soft_wrap=True)


def _rows(ledger: Ledger, tally: Tally, metrics: Scrape) -> Iterator[tuple[str, str, str]]:
    yield "posts in", f"{ledger.sent:,}", ""
    yield "records out", f"{ledger.records:,}", ""
    yield "mentions", f"{tally.mentions.total():,}", by_kind(tally.mentions)
    yield "dead letters", f"{ledger.dead:,}", by_kind(tally.reasons)
    images = Counter({status: count for status, count in tally.images.items() if status != "absent"})
    yield "images", f"{images.total():,}", by_kind(images)
    yield (
        "images encoded",
        f"{metrics.total('mner_images_encoded_total'):,.0f}",
        _encoded_for(tally.images["used"]),
    )
    yield "cache hits", f"{metrics.total('mner_cache_requests_total', result='hit'):,.0f}", _cache(metrics)
    yield (
        "latency p50",
        _milliseconds(percentile(ledger.latencies_s, 0.5)),
        "post to record, by the broker's timestamps",
    )
    yield "latency p95", _milliseconds(percentile(ledger.latencies_s, 0.95)), _own_latency(metrics)


def _encoded_for(posts: int) -> str:
    return f"for {posts:,} posts: a repeated picture only once" if posts else ""


def _cache(metrics: Scrape) -> str:
    tiers = {"process": "in memory", "redis": "in Redis", "url": "address known"}
    hits = {tier: metrics.total("mner_cache_requests_total", tier=tier, result="hit") for tier in tiers}
    misses = metrics.total("mner_cache_requests_total", result="miss")
    return ", ".join(f"{hits[tier]:,.0f} {where}" for tier, where in tiers.items()) + f"; {misses:,.0f} misses"


def _own_latency(metrics: Scrape) -> str:
    own = [metrics.quantile("mner_post_latency_seconds", share) for share in (0.5, 0.95)]
    return f"the worker's own histogram: {_milliseconds(own[0])} and {_milliseconds(own[1])}"


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1_000:,.0f} ms"
