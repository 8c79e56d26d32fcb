"""Panels as SVG, in the look of Grafana's dark theme: chrome, stat, time series, state timeline, table."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import Any

from dashboard_values import PALETTE, color_of, formatted, threshold_color, ticks

TEXT, FAINT, GRID, PANEL, EDGE = "#CCCCDC", "#9A9AA8", "#2B2D33", "#181B1F", "#2A2C31"
ALERT = "#F2495C"
_PAD, _HEAD, _SMALL, _CHAR = 10, 32, 11.5, 6.0
_BESIDE = 232


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


def text(x: float, y: float, words: str, *, size: float = _SMALL, color: str = TEXT, more: str = "") -> str:
    """One line of text, from its left end unless `more` says otherwise."""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" fill="{color}" {more}>{escape(words)}</text>'


def chrome(box: Box, title: str) -> str:
    """A panel's ground and heading."""
    ground = f'<rect x="{box.x}" y="{box.y}" width="{box.width:.1f}" height="{box.height}" rx="3" fill="{PANEL}" '
    return f'{ground}stroke="{EDGE}"/>' + text(box.x + _PAD, box.y + 21, title, size=13.5, more='font-weight="500"')


def stat(box: Box, line: Line | None, defaults: dict[str, Any], span: Span) -> str:
    """A large figure above its course."""
    if line is None or not line.values:
        return _nothing(box, "No data")
    last = line.values[-1]
    color = threshold_color(last, defaults["thresholds"]["steps"])
    plot = Box(box.x + 1, box.y + box.height - 56, box.width - 2, 55)
    top = max(line.values) or 1.0
    line.color = color
    axis = Axis(0.0, top * 1.1)
    area = _path(line, plot, span, axis, close=True)
    figure = formatted(last, defaults["unit"], defaults.get("decimals"))
    return (
        f'<path d="{area}" fill="{color}" fill-opacity="0.13"/>'
        f'<path d="{_path(line, plot, span, axis)}" fill="none" stroke="{color}" stroke-opacity="0.6"/>'
        + text(
            box.x + box.width / 2,
            box.y + box.height / 2 + 22,
            figure,
            size=40,
            color=color,
            more='text-anchor="middle" font-weight="500"',
        )
    )


def timeseries(box: Box, lines: list[Line], panel: dict[str, Any], span: Span) -> str:
    """Lines, or areas that add up, over a grid with axes and a legend."""
    defaults, options = panel["fieldConfig"]["defaults"], panel["options"]
    if not lines:
        return _nothing(box, "No data")
    _paint(lines, panel)
    unit, decimals = defaults["unit"], defaults.get("decimals")
    legend, beside, below = _legend(box, lines, options["legend"], unit, decimals)
    stacked = defaults["custom"]["stacking"]["mode"] == "normal"
    if stacked:
        _stack(lines)
    marks = _marks(lines, defaults)
    axis = Axis(marks[0], marks[-1], defaults["custom"]["scaleDistribution"]["type"] == "log")
    names = [formatted(mark, unit) for mark in marks]
    left = 14 + max(map(len, names)) * _CHAR
    plot = Box(box.x + left, box.y + _HEAD + 4, box.width - left - _PAD - beside, box.height - _HEAD - 4 - 20 - below)
    drawn = [_grid(plot, axis, dict(zip(marks, names, strict=True)), span), _alerts(plot, span)]
    opacity, width = defaults["custom"]["fillOpacity"] / 100, 1.2 if stacked else 1.6
    for line in reversed(lines) if stacked else lines:
        area, over = _path(line, plot, span, axis, close=True), _path(line, plot, span, axis)
        drawn.append(f'<path d="{area}" fill="{line.color}" fill-opacity="{opacity}"/>')
        drawn.append(f'<path d="{over}" fill="none" stroke="{line.color}" stroke-width="{width}"/>')
    if defaults["custom"]["thresholdsStyle"]["mode"] == "dashed":
        drawn += [_limit(plot, step, axis) for step in defaults["thresholds"]["steps"] if step["value"] is not None]
    return "".join([*drawn, *legend])


def timeline(box: Box, lines: list[Line], defaults: dict[str, Any], span: Span) -> str:
    """One bar a series, cut where the state changes."""
    if not lines:
        return _nothing(box, defaults.get("noValue", "No data"))
    states = defaults["mappings"][0]["options"]
    left = 14 + max(len(line.name) for line in lines) * _CHAR
    plot = Box(box.x + left, box.y + _HEAD + 2, box.width - left - _PAD, box.height - _HEAD - 24)
    row = plot.height / len(lines)
    drawn = [_grid(plot, Axis(0, 1), {}, span)]
    for number, line in enumerate(lines):
        top, high = plot.y + row * (number + 0.1), row * 0.8
        drawn.append(text(plot.x - 6, top + high / 2 + 4, line.name, color=FAINT, more='text-anchor="end"'))
        for start, end, value in _runs(line, span):
            state = states.get(f"{value:g}", {"text": f"{value:g}", "color": "transparent"})
            x0, x1 = _x(start, plot, span), _x(end, plot, span)
            drawn.append(
                f'<rect x="{x0:.1f}" y="{top:.1f}" width="{x1 - x0:.1f}" height="{high:.1f}" '
                f'fill="{color_of(state["color"])}" fill-opacity="0.8"/>'
            )
            if x1 - x0 > len(state["text"]) * _CHAR + 8:
                drawn.append(text(x0 + 5, top + high / 2 + 4, state["text"], color="#111217"))
    return "".join(drawn)


def table(box: Box, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lines of words below their headings, in columns of one width."""
    width = (box.width - 2 * _PAD) / len(headings)
    drawn = []
    for number, cells in enumerate([headings, *rows]):
        y = box.y + _HEAD + 22 + number * 36
        color, weight = (NAVY, 500) if number == 0 else (TEXT, 400)
        drawn += [
            text(box.x + _PAD + column * width, y, cell, size=12.5, color=color, more=f'font-weight="{weight}"')
            for column, cell in enumerate(cells)
        ]
        drawn.append(f'<path d="M{box.x + 1} {y + 13}h{box.width - 2:.1f}" stroke="{GRID}"/>')
    return "".join(drawn)


NAVY = "#6E9FFF"


def _paint(lines: Iterable[Line], panel: dict[str, Any]) -> None:
    fixed = {
        override["matcher"]["options"]: each["value"]["fixedColor"]
        for override in panel["fieldConfig"]["overrides"]
        for each in override["properties"]
        if each["id"] == "color"
    }
    for number, line in enumerate(lines):
        line.color = color_of(fixed[line.name]) if line.name in fixed else PALETTE[number % len(PALETTE)]


def _stack(lines: Iterable[Line]) -> None:
    below: dict[float, float] = {}
    for line in lines:
        line.base = dict(below)
        for at, value in line.points:
            below[at] = below.get(at, 0.0) + (value or 0.0)


def _legend(
    box: Box, lines: Sequence[Line], options: dict[str, Any], unit: str, decimals: int | None
) -> tuple[list[str], float, float]:
    """What to draw, and the room it takes at the right and at the bottom."""
    drawn = []
    if options["placement"] == "right":
        x, end = box.x + box.width - _BESIDE + 6, box.x + box.width - _PAD
        drawn += [
            text(end - 66, box.y + _HEAD + 6, "Mean", color=NAVY, more='text-anchor="end"'),
            text(end, box.y + _HEAD + 6, "Last *", color=NAVY, more='text-anchor="end"'),
        ]
        for number, line in enumerate(lines):
            y = box.y + _HEAD + 26 + number * 20
            mean = sum(line.values) / len(line.values) if line.values else None
            last = line.values[-1] if line.values else None
            short = unit if not unit.startswith("suffix:") else "short"
            drawn += [
                f'<rect x="{x}" y="{y - 5}" width="14" height="3.5" rx="1.5" fill="{line.color}"/>',
                text(x + 20, y, line.name),
                text(end - 66, y, formatted(mean, short, decimals), more='text-anchor="end"'),
                text(end, y, formatted(last, short, decimals), more='text-anchor="end"'),
            ]
        return drawn, _BESIDE - 8, 0
    x, y = box.x + _PAD + 2, box.y + box.height - 12
    for line in lines:
        drawn += [
            f'<rect x="{x:.1f}" y="{y - 5}" width="14" height="3.5" rx="1.5" fill="{line.color}"/>',
            text(x + 19, y, line.name),
        ]
        x += 19 + len(line.name) * _CHAR + 14
    return drawn, 0, 18


def _marks(lines: Iterable[Line], defaults: dict[str, Any]) -> list[float]:
    """The figures that the axis names, its ends among them."""
    figures = [value + line.base.get(at, 0.0) for line in lines for at, value in line.points if value is not None]
    if defaults["custom"]["scaleDistribution"]["type"] == "log":
        seen = [value for value in figures if value > 0] or [1.0]
        low, high = (round_(math.log10(of(seen))) for round_, of in ((math.floor, min), (math.ceil, max)))
        return [10.0**power for power in range(low, max(high, low + 1) + 1)]
    highest = min(max(figures, default=1.0) * 1.02 or 1.0, defaults.get("max", math.inf))
    return ticks(defaults.get("min", 0.0), highest, defaults["unit"])


def _grid(plot: Box, axis: Axis, names: Mapping[float, str], span: Span) -> str:
    drawn = []
    for mark, name in names.items():
        y = _y(mark, plot, axis)
        drawn.append(f'<path d="M{plot.x:.1f} {y:.1f}h{plot.width:.1f}" stroke="{GRID}"/>')
        drawn.append(text(plot.x - 6, y + 4, name, color=FAINT, more='text-anchor="end"'))
    fitting = plot.width / 48
    step = next((step for step in (60, 120, 300, 600) if (span.end_s - span.start_s) / step < fitting), 1800)
    at = math.ceil(span.start_s / step) * step
    while at < span.end_s:
        x = _x(at, plot, span)
        drawn.append(f'<path d="M{x:.1f} {plot.y:.1f}v{plot.height:.1f}" stroke="{GRID}"/>')
        clock = datetime.fromtimestamp(at, UTC).strftime("%H:%M")
        drawn.append(text(x, plot.y + plot.height + 15, clock, color=FAINT, more='text-anchor="middle"'))
        at += step
    return "".join(drawn)


def _alerts(plot: Box, span: Span) -> str:
    """When alerts fired: Grafana's annotations, a shade between dashed lines with a foot."""
    drawn = []
    for start, end in span.alerts:
        x, width = _x(start, plot, span), _x(end, plot, span) - _x(start, plot, span)
        bottom = plot.y + plot.height
        place = f'x="{x:.1f}" width="{width:.1f}" fill="{ALERT}"'
        edges = f"M{x:.1f} {plot.y:.1f}V{bottom:.1f}M{x + width:.1f} {plot.y:.1f}V{bottom:.1f}"
        drawn += [
            f'<rect {place} y="{plot.y:.1f}" height="{plot.height:.1f}" fill-opacity="0.06"/>',
            f'<path d="{edges}" stroke="{ALERT}" stroke-opacity="0.6" stroke-dasharray="4 3"/>',
            f'<rect {place} y="{bottom:.1f}" height="2.5"/>',
        ]
    return "".join(drawn)


def _limit(plot: Box, step: dict[str, Any], axis: Axis) -> str:
    if not axis.low <= step["value"] <= axis.high:
        return ""
    way = f"M{plot.x:.1f} {_y(step['value'], plot, axis):.1f}h{plot.width:.1f}"
    return f'<path d="{way}" stroke="{color_of(step["color"])}" stroke-dasharray="8 5"/>'


def _path(line: Line, plot: Box, span: Span, axis: Axis, *, close: bool = False) -> str:
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
        points = [(_x(at, plot, span), _y(value, plot, axis)) for at, value in [*over, *under]]
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


def _runs(line: Line, span: Span) -> list[tuple[float, float, float]]:
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


def _nothing(box: Box, words: str) -> str:
    return text(
        box.x + box.width / 2,
        box.y + box.height / 2 + 12,
        words,
        size=14,
        color=FAINT,
        more='text-anchor="middle"',
    )


def _x(at: float, plot: Box, span: Span) -> float:
    return plot.x + (at - span.start_s) / (span.end_s - span.start_s) * plot.width


def _y(value: float, plot: Box, axis: Axis) -> float:
    return plot.y + plot.height * (1 - axis.share(value))
