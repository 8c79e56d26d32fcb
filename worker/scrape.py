"""Reads what the worker's /metrics page says, as far as a summary needs it."""

import math
import re
from collections.abc import Iterator

_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})? (?P<value>\S+)(?: .*)?")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Scrape:
    """One page of samples in Prometheus' text format; series that are not there count as 0."""

    def __init__(self, page: str) -> None:
        self._samples = list(_samples(page))

    def total(self, name: str, **labels: str) -> float:
        """The sum of all series of this name with (at least) these labels."""
        wanted = labels.items()
        return sum(value for series, having, value in self._samples if series == name and wanted <= having.items())

    def quantile(self, name: str, share: float) -> float | None:
        """A histogram's quantile, interpolated within its bucket as PromQL's histogram_quantile does; None if empty."""
        buckets = sorted(
            (float(having["le"]), count) for series, having, count in self._samples if series == f"{name}_bucket"
        )
        if not buckets or buckets[-1][1] == 0:
            return None
        rank = share * buckets[-1][1]
        lower, below = 0.0, 0.0
        for upper, count in buckets:
            if count >= rank and count > below:
                # nothing is known of the last bucket's width
                return lower if math.isinf(upper) else lower + (upper - lower) * (rank - below) / (count - below)
            lower, below = upper, count
        return None


def _samples(page: str) -> Iterator[tuple[str, dict[str, str], float]]:
    for line in page.splitlines():
        if not line.startswith("#") and (match := _SAMPLE.fullmatch(line)):
            yield match["name"], dict(_LABEL.findall(match["labels"] or "")), float(match["value"])
