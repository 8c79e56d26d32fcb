"""Reads what a worker's /metrics page says, and what changed since an earlier one."""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Self

from prometheus_client.parser import text_string_to_metric_families

_Series = tuple[str, frozenset[tuple[str, str]]]
_STARTED = "process_start_time_seconds"


class Scrape:
    """One page of samples in Prometheus' text format; series that are not there count as 0."""

    def __init__(self, page: str) -> None:
        """Raises ValueError where the page is none of samples."""
        self._samples: dict[_Series, float] = {}
        self._cumulative: set[str] = set()
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                self._samples[sample.name, frozenset(sample.labels.items())] = sample.value
                if family.type in ("counter", "histogram", "summary"):
                    self._cumulative.add(sample.name)

    def has(self, name: str) -> bool:
        """Whether there is any series of this name."""
        return any(series == name for series, _ in self._samples)

    def total(self, name: str, **labels: str) -> float:
        """The sum of all series of this name with (at least) these labels."""
        return sum(value for _, value in self._matching(name, labels))

    def by(self, name: str, label: str, **labels: str) -> dict[str, float]:
        """The same, apart for each value of one more label."""
        totals: dict[str, float] = defaultdict(float)
        for having, value in self._matching(name, labels):
            totals[having.get(label, "")] += value
        return dict(totals)

    def labels_of(self, name: str) -> list[dict[str, str]]:
        """The labels of each series of this name."""
        return [having for having, _ in self._matching(name, {})]

    def quantile(self, name: str, share: float, **labels: str) -> float | None:
        """A histogram's quantile, interpolated within its bucket as PromQL's histogram_quantile does; None if empty."""
        by_bound: dict[float, float] = defaultdict(float)
        for having, count in self._matching(f"{name}_bucket", labels):
            by_bound[float(having["le"])] += count  # 1 and 1.0 are one bound
        buckets = sorted(by_bound.items())
        if not buckets or buckets[-1][1] <= 0:
            return None
        rank = share * buckets[-1][1]
        lower, below = 0.0, 0.0
        for upper, count in buckets:
            if count >= rank and count > below:
                # nothing is known of the last bucket's width
                return lower if math.isinf(upper) else lower + (upper - lower) * (rank - below) / (count - below)
            lower, below = upper, count
        return None

    def mean(self, name: str, **labels: str) -> float | None:
        """A histogram's mean; None if empty."""
        count = self.total(f"{name}_count", **labels)
        return self.total(f"{name}_sum", **labels) / count if count > 0 else None

    def since(self, earlier: "Scrape") -> "Scrape":
        """What counters and histograms rose by since an earlier page of the same worker; gauges as they are now.

        A worker that was restarted meanwhile began at 0 again, so that all it has counted came since.
        """
        if self._is_of_another_process_than(earlier):
            return self
        return self._with(
            (series, value - earlier._samples.get(series, 0.0) if series[0] in self._cumulative else value)
            for series, value in self._samples.items()
        )

    @classmethod
    def sum(cls, scrapes: Iterable["Scrape"]) -> "Scrape":
        """Of several workers: series of the same name and labels added up, gauges too."""
        together = cls("")
        for scrape in scrapes:
            for series, value in scrape._samples.items():
                together._samples[series] = together._samples.get(series, 0.0) + value
            together._cumulative |= scrape._cumulative
        return together

    def _matching(self, name: str, labels: dict[str, str]) -> Iterator[tuple[dict[str, str], float]]:
        wanted = labels.items()
        for (series, having), value in self._samples.items():
            if series == name and wanted <= having:
                yield dict(having), value

    def _is_of_another_process_than(self, earlier: "Scrape") -> bool:
        if self.total(_STARTED) != earlier.total(_STARTED):
            return True
        return any(
            value < earlier._samples.get(series, 0.0)
            for series, value in self._samples.items()
            if series[0] in self._cumulative
        )

    def _with(self, samples: Iterable[tuple[_Series, float]]) -> Self:
        other = type(self)("")
        other._samples, other._cumulative = dict(samples), self._cumulative
        return other
