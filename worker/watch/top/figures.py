"""The dashboard's figures, from what some workers' /metrics pages said at the end of an interval.

Rates and quantiles are of the interval alone: differences between two pages of one worker, added up over the workers.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mner_model.posts.fields import format_timestamp
from worker.watch.scrape import Scrape

QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
STAGE_QUANTILES = {"p50": 0.5, "p95": 0.95}
Quantiles = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Reading:
    """What one worker said."""

    url: str
    page: Scrape | None = None
    """None: it did not answer."""
    change: Scrape | None = None
    """What its counters rose by since its page before; None: there was none."""
    seconds: float = 0.0
    """Between those two pages."""
    problem: str = ""
    """Why there is no page."""
    address: str = ""
    """Which of the addresses that the URL's host name has; empty where the host is no name, or leads nowhere."""
    dialled: str = ""
    """The URL with that address in it."""

    def rates(self, name: str, label: str) -> dict[str, float]:
        """Per second, by the values of a label."""
        if self.change is None or self.seconds <= 0:
            return {}
        return {value: rise / self.seconds for value, rise in self.change.by(name, label).items()}


@dataclass(frozen=True, slots=True)
class Shadow:
    """A second model that tags a share of the posts without publishing, beside the first."""

    models: Sequence[Mapping[str, str]]
    posts_per_s: Mapping[str, float]
    batch_s: Quantiles
    reloads: Mapping[str, float]
    """Since the workers' start, by result."""
    disagreement: Mapping[str, float | None]
    """By type: the share of the mentions that either model found which only one of them did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of all workers together; None where nothing happened to tell it by, or there is no such thing."""

    at: datetime
    workers: Sequence[Mapping[str, Any]]
    has_rates: bool
    """Whether there was an interval to tell by."""
    posts_per_s: Mapping[str, float]
    language_posts_per_s: Mapping[str, float]
    """Of those that got a record."""
    latency_s: Quantiles
    stages_s: Mapping[str, Quantiles]
    batch_posts: float | None
    """Mean."""
    batch_padding_ratio: float | None
    """Mean."""
    lag: Mapping[str, float]
    """By topic and partition."""
    open_posts: float | None
    oldest_open_post_s: float | None
    cache_hit_ratio: Mapping[str, float | None]
    """By tier: hits of all look-ups; errors count as misses."""
    images_per_s: Mapping[str, float]
    dead_letters: Mapping[str, float]
    """Since the workers' start, by reason."""
    dead_letters_per_s: Mapping[str, float]
    mentions_per_s: Mapping[str, float]
    language_mentions_per_s: Mapping[str, float]
    model_reloads: Mapping[str, float]
    """Since the workers' start, by result; of the live model."""
    gpu_memory_bytes: float | None
    shadow: Shadow | None

    @property
    def answering(self) -> int:
        """How many of the workers these figures are of."""
        return sum(worker["answers"] for worker in self.workers)

    @property
    def lag_total(self) -> float | None:
        """None where no worker tells of a partition."""
        return sum(self.lag.values()) if self.lag else None

    def as_json(self) -> dict[str, Any]:
        """One JSON object."""
        fields = {name: getattr(self, name) for name in self.__slots__ if name not in ("at", "has_rates", "shadow")}
        shadow = self.shadow and {name: getattr(self.shadow, name) for name in self.shadow.__slots__}
        totals = {"workers_answering": self.answering, "lag_total": self.lag_total}
        return {"at": format_timestamp(self.at), **fields, **totals, "shadow": shadow}


def figures(readings: Sequence[Reading], at: datetime) -> Figures:
    """Of the workers that answered; the others have neither a page nor a change."""
    pages = [reading.page for reading in readings if reading.page is not None]
    now = Scrape.sum(pages)
    changes = [reading.change for reading in readings if reading.change is not None]
    change = Scrape.sum(changes)

    def rates(name: str, label: str) -> dict[str, float]:
        summed: Counter[str] = Counter()
        for reading in readings:
            summed.update(reading.rates(name, label))
        return dict(summed)

    return Figures(
        at=at,
        workers=[_worker(reading) for reading in readings],
        has_rates=bool(changes),
        posts_per_s=rates("mner_posts_total", "outcome"),
        language_posts_per_s=rates("mner_language_posts_total", "language"),
        latency_s=_quantiles(change, "mner_post_latency_seconds", QUANTILES),
        stages_s={
            stage: _quantiles(change, "mner_stage_seconds", STAGE_QUANTILES, stage=stage)
            for stage in now.by("mner_stage_seconds_count", "stage")
        },
        batch_posts=change.mean("mner_batch_posts"),
        batch_padding_ratio=change.mean("mner_batch_padding_ratio"),
        lag=_lag(pages),
        open_posts=now.total("mner_open_posts") if pages else None,
        oldest_open_post_s=max((page.total("mner_oldest_open_post_age_seconds") for page in pages), default=None),
        cache_hit_ratio={
            tier: _ratio(change.total("mner_cache_requests_total", tier=tier, result="hit"), requests)
            for tier in now.by("mner_cache_requests_total", "tier")
            for requests in [change.total("mner_cache_requests_total", tier=tier)]
        },
        images_per_s=rates("mner_images_total", "status"),
        dead_letters=now.by("mner_dead_letters_total", "reason"),
        dead_letters_per_s=rates("mner_dead_letters_total", "reason"),
        mentions_per_s=rates("mner_mentions_total", "type"),
        language_mentions_per_s=rates("mner_language_mentions_total", "language"),
        model_reloads=now.by("mner_model_reloads_total", "result", model="live"),
        gpu_memory_bytes=now.total("mner_gpu_memory_bytes") if now.has("mner_gpu_memory_bytes") else None,
        shadow=_shadow(now, change, rates("mner_shadow_posts_total", "outcome")),
    )


def _worker(reading: Reading) -> dict[str, Any]:
    place = {"url": reading.url, **({"address": reading.address} if reading.address else {})}
    if (page := reading.page) is None:
        return {**place, "answers": False, "problem": reading.problem}
    about = {"models": page.labels_of("mner_model_info"), "redis": _redis(page)}
    is_ready = bool(page.total("mner_ready")) if page.has("mner_ready") else None
    silence_s = page.total("mner_broker_silence_seconds") if page.has("mner_broker_silence_seconds") else None
    return {**place, "answers": True, "is_ready": is_ready, "broker_silence_s": silence_s, **about}


def _redis(page: Scrape) -> str:
    """Its gauge is there only where there is a Redis in the settings."""
    if not page.has("mner_redis_up"):
        return "unused"
    return "up" if page.total("mner_redis_up") else "down"


def _quantiles(scrape: Scrape, name: str, shares: Mapping[str, float], **labels: str) -> dict[str, float | None]:
    return {label: scrape.quantile(name, share, **labels) for label, share in shares.items()}


def _lag(pages: Sequence[Scrape]) -> dict[str, float]:
    """While a partition changes hands two workers may tell of it: the larger counts."""
    lag: dict[tuple[str, int], float] = {}
    for page in pages:
        for topic in page.by("mner_lag", "topic"):
            for partition, posts in page.by("mner_lag", "partition", topic=topic).items():
                place = (topic, int(partition))
                lag[place] = max(posts, lag.get(place, 0.0))
    return {f"{topic} {partition}": posts for (topic, partition), posts in sorted(lag.items())}


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _shadow(now: Scrape, change: Scrape, posts_per_s: dict[str, float]) -> Shadow | None:
    if not now.has("mner_shadow_model_info"):
        return None
    mentions = "mner_shadow_mentions_total"
    return Shadow(
        models=now.labels_of("mner_shadow_model_info"),
        posts_per_s=posts_per_s,
        batch_s=_quantiles(change, "mner_shadow_batch_seconds", STAGE_QUANTILES),
        reloads=now.by("mner_model_reloads_total", "result", model="shadow"),
        disagreement={
            kind: _ratio(found - change.total(mentions, type=kind, verdict="both"), found)
            for kind in now.by(mentions, "type")
            for found in [change.total(mentions, type=kind)]
        },
    )
