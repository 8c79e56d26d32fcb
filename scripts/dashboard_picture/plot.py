"""Where things are in a plot: time from left to right, figures from bottom to top, and the grid behind them."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import Any

from dashboard_picture.values import color_of

TEXT, FAINT, GRID, ALERT = "#CCCCDC", "#9A9AA8", "#2B2D33", "#F2495C"
SMALL = 11.5


@dataclass(frozen=True)
class Box:
    """A place on the page, in pixels."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Span:
    """The time that is shown, Unix seconds, and when alerts fired in it."""

    start_s: float
    end_s: float
    alerts: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True)
class Axis:
    """The figures from the bottom to the top of a plot, even or by powers of ten."""

    low: float
    high: float
    logarithmic: bool = False

    def share(self, value: float) -> float:
        """Where a figure is, from 0 at the bottom to 1 at the top."""
        low, high, value = self.low, self.high, min(value, self.high)
        if self.logarithmic:
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, low))
        return (value - low) / ((high - low) or 1.0)


@dataclass
class Line:
    """One series: its name in the legend, its colour, and its points; None where there is no figure."""

    name: str
    points: Sequence[tuple[float, float | None]]
    color: str = ""
    base: dict[float, float] = field(default_factory=dict)
    """Of stacked areas: what lies below."""

    @property
    def values(self) -> list[float]:
        """The figures that there are."""
        return [value for _, value in self.points if value is not None]


def text(x: float, y: float, words: str, *, size: float = SMALL, color: str = TEXT, more: str = "") -> str:
    """One line of text, from its left end unless `more` says otherwise."""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{color}" {more}>{escape(words)}</text>'


def grid(plot: Box, axis: Axis, names: Mapping[float, str], span: Span) -> str:
    """Lines at these figures and at round times, with their names."""
    drawn = []
    for mark, name in names.items():
        y = y_of(mark, plot, axis)
        drawn.append(f'<path d="M{plot.x:.1f} {y:.1f}h{plot.width:.1f}" stroke="{GRID}"/>')
        drawn.append(text(plot.x - 6, y + 4, name, color=FAINT, more='text-anchor="end"'))
    fitting = plot.width / 48
    step = next((step for step in (60, 120, 300, 600) if (span.end_s - span.start_s) / step < fitting), 1800)
    at = math.ceil(span.start_s / step) * step
    while at < span.end_s:
        x = x_of(at, plot, span)
        drawn.append(f'<path d="M{x:.1f} {plot.y:.1f}v{plot.height:.1f}" stroke="{GRID}"/>')
        clock = datetime.fromtimestamp(at, UTC).strftime("%H:%M")
        drawn.append(text(x, plot.y + plot.height + 15, clock, color=FAINT, more='text-anchor="middle"'))
        at += step
    return "".join(drawn)


def alerts(plot: Box, span: Span) -> str:
    """When alerts fired: Grafana's annotations, a shade between dashed lines with a foot."""
    drawn = []
    for start, end in span.alerts:
        x, width = x_of(start, plot, span), x_of(end, plot, span) - x_of(start, plot, span)
        bottom = plot.y + plot.height
        place = f'x="{x:.1f}" width="{width:.1f}" fill="{ALERT}"'
        edges = f"M{x:.1f} {plot.y:.1f}V{bottom:.1f}M{x + width:.1f} {plot.y:.1f}V{bottom:.1f}"
        drawn += [
            f'<rect {place} y="{plot.y:.1f}" height="{plot.height:.1f}" fill-opacity="0.06"/>',
            f'<path d="{edges}" stroke="{ALERT}" stroke-opacity="0.6" stroke-dasharray="4 3"/>',
            f'<rect {place} y="{bottom:.1f}" height="2.5"/>',
        ]
    return "".join(drawn)


def limit(plot: Box, step: dict[str, Any], axis: Axis) -> str:
    """A dashed line at a threshold, where the axis reaches it."""
    if not axis.low <= step["value"] <= axis.high:
        return ""
    way = f"M{plot.x:.1f} {y_of(step['value'], plot, axis):.1f}h{plot.width:.1f}"
    return f'<path d="{way}" stroke="{color_of(step["color"])}" stroke-dasharray="8 5"/>'


def path(line: Line, plot: Box, span: Span, axis: Axis, *, close: bool = False) -> str:
    """The line, broken where there are no figures; closed, each piece down to what lies below it."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for at, value in line.points:
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append((at, value))
    drawn = []
    for piece in filter(None, pieces):
        over = [(at, value + line.base.get(at, 0.0)) for at, value in piece]
        under = [(at, line.base.get(at, axis.low)) for at, _ in reversed(piece)] if close else []
        points = [(x_of(at, plot, span), y_of(value, plot, axis)) for at, value in [*over, *under]]
        drawn.append(_way(points) + ("z" if close else ""))
    return "".join(drawn)


def _way(points: Sequence[tuple[float, float]]) -> str:
    """Steps of tenths of a pixel from point to point, level stretches in one: a third of the size."""
    tenths = [(round(10 * x), round(10 * y)) for x, y in points]
    kept = [tenths[0]]
    for point, following in itertools.pairwise([*tenths[1:], (-1, -1)]):
        if not kept[-1][1] == point[1] == following[1]:
            kept.append(point)
    steps = [(x1 - x0, y1 - y0) for (x0, y0), (x1, y1) in itertools.pairwise(kept)]
    start = f"M{kept[0][0] / 10:g} {kept[0][1] / 10:g}"
    return start + ("l" + " ".join(f"{x / 10:g} {y / 10:g}" for x, y in steps) if steps else "h0")


def runs(line: Line, span: Span) -> list[tuple[float, float, float]]:
    """Where each state begins and ends."""
    runs: list[tuple[float, float, float]] = []
    points = [*line.points, (span.end_s, None)]
    for (at, value), (following, _) in itertools.pairwise(points):
        if value is None:
            continue
        if runs and runs[-1][1] == at and runs[-1][2] == value:
            runs[-1] = (runs[-1][0], following, value)
        else:
            runs.append((at, following, value))
    return runs


def x_of(at: float, plot: Box, span: Span) -> float:
    """Where a time is, in pixels from the left of the page."""
    return plot.x + (at - span.start_s) / (span.end_s - span.start_s) * plot.width


def y_of(value: float, plot: Box, axis: Axis) -> float:
    """Where a figure is, in pixels from the top of the page."""
    return plot.y + plot.height * (1 - axis.share(value))
