"""Panels as SVG, in the look of Grafana's dark theme: chrome, stat, time series, state timeline, table."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from dashboard_picture.plot import (
    FAINT,
    GRID,
    TEXT,
    Axis,
    Box,
    Line,
    Span,
    alerts,
    grid,
    limit,
    path,
    runs,
    text,
    x_of,
)
from dashboard_picture.values import PALETTE, color_of, formatted, threshold_color, ticks

PANEL, EDGE, HEADING = "#181B1F", "#2A2C31", "#6E9FFF"
_PAD, _HEAD, _CHAR = 10, 32, 6.0
_BESIDE = 232


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
    area = path(line, plot, span, axis, close=True)
    figure = formatted(last, defaults["unit"], defaults.get("decimals"))
    return (
        f'<path d="{area}" fill="{color}" fill-opacity="0.13"/>'
        f'<path d="{path(line, plot, span, axis)}" fill="none" stroke="{color}" stroke-opacity="0.6"/>'
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
    drawn = [grid(plot, axis, dict(zip(marks, names, strict=True)), span), alerts(plot, span)]
    opacity, width = defaults["custom"]["fillOpacity"] / 100, 1.2 if stacked else 1.6
    for line in reversed(lines) if stacked else lines:
        area, over = path(line, plot, span, axis, close=True), path(line, plot, span, axis)
        drawn.append(f'<path d="{area}" fill="{line.color}" fill-opacity="{opacity}"/>')
        drawn.append(f'<path d="{over}" fill="none" stroke="{line.color}" stroke-width="{width}"/>')
    if defaults["custom"]["thresholdsStyle"]["mode"] == "dashed":
        drawn += [limit(plot, step, axis) for step in defaults["thresholds"]["steps"] if step["value"] is not None]
    return "".join([*drawn, *legend])


def timeline(box: Box, lines: list[Line], defaults: dict[str, Any], span: Span) -> str:
    """One bar a series, cut where the state changes."""
    if not lines:
        return _nothing(box, defaults.get("noValue", "No data"))
    states = defaults["mappings"][0]["options"]
    left = 14 + max(len(line.name) for line in lines) * _CHAR
    plot = Box(box.x + left, box.y + _HEAD + 2, box.width - left - _PAD, box.height - _HEAD - 24)
    row = plot.height / len(lines)
    drawn = [grid(plot, Axis(0, 1), {}, span)]
    for number, line in enumerate(lines):
        top, high = plot.y + row * (number + 0.1), row * 0.8
        drawn.append(text(plot.x - 6, top + high / 2 + 4, line.name, color=FAINT, more='text-anchor="end"'))
        for start, end, value in runs(line, span):
            state = states.get(f"{value:g}", {"text": f"{value:g}", "color": "transparent"})
            x0, x1 = x_of(start, plot, span), x_of(end, plot, span)
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
        color, weight = (HEADING, 500) if number == 0 else (TEXT, 400)
        drawn += [
            text(box.x + _PAD + column * width, y, cell, size=12.5, color=color, more=f'font-weight="{weight}"')
            for column, cell in enumerate(cells)
        ]
        drawn.append(f'<path d="M{box.x + 1} {y + 13}h{box.width - 2:.1f}" stroke="{GRID}"/>')
    return "".join(drawn)


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
            text(end - 66, box.y + _HEAD + 6, "Mean", color=HEADING, more='text-anchor="end"'),
            text(end, box.y + _HEAD + 6, "Last *", color=HEADING, more='text-anchor="end"'),
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
    rows: list[list[tuple[float, Line]]] = [[]]
    first = x = box.x + _PAD + 2
    for line in lines:
        width = 19 + len(line.name) * _CHAR
        if rows[-1] and x + width > box.x + box.width - _PAD:
            rows.append([])
            x = first
        rows[-1].append((x, line))
        x += width + 14
    for number, row in enumerate(reversed(rows)):
        y = box.y + box.height - 12 - 16 * number
        for x, line in row:
            drawn += [
                f'<rect x="{x:.1f}" y="{y - 5}" width="14" height="3.5" rx="1.5" fill="{line.color}"/>',
                text(x + 19, y, line.name),
            ]
    return drawn, 0, 2 + 16 * len(rows)


def _marks(lines: Iterable[Line], defaults: dict[str, Any]) -> list[float]:
    """The figures that the axis names, its ends among them."""
    figures = [value + line.base.get(at, 0.0) for line in lines for at, value in line.points if value is not None]
    if defaults["custom"]["scaleDistribution"]["type"] == "log":
        seen = [value for value in figures if value > 0] or [1.0]
        low, high = (round_(math.log10(of(seen))) for round_, of in ((math.floor, min), (math.ceil, max)))
        return [10.0**power for power in range(low, max(high, low + 1) + 1)]
    highest = min(max(figures, default=1.0) * 1.02 or 1.0, defaults.get("max", math.inf))
    return ticks(defaults.get("min", 0.0), highest, defaults["unit"])


def _nothing(box: Box, words: str) -> str:
    return text(
        box.x + box.width / 2,
        box.y + box.height / 2 + 12,
        words,
        size=14,
        color=FAINT,
        more='text-anchor="middle"',
    )
