"""Grafana's way with figures: units, colours, legends and axes, as far as our dashboard uses them."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

PALETTE = ("#73BF69", "#F2CC0C", "#8AB8FF", "#FF780A", "#F2495C", "#5794F2", "#B877D9", "#705DA0", "#37872D", "#FADE2A")
NAMED = {"green": "#73BF69", "orange": "#FF9830", "red": "#F2495C", "blue": "#5794F2", "purple": "#B877D9"}
_SCALES: dict[str, tuple[tuple[float, str], ...]] = {
    "s": ((3600, " hours"), (60, " mins"), (1, " s"), (1e-3, " ms"), (1e-6, " µs")),
    "bytes": ((2**30, " GiB"), (2**20, " MiB"), (2**10, " KiB"), (1, " B")),
    "short": ((1e6, " Mil"), (1e3, " K"), (1, "")),
}
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600)


def formatted(value: float | None, unit: str, decimals: int | None = None) -> str:
    """A figure with its unit, three digits of it unless told otherwise."""
    if value is None or not math.isfinite(value):
        return "-"
    if unit == "dateTimeFromNow":
        return f"{round(value / 60_000)} minutes ago"  # of an age, for a picture has no now
    if unit == "percentunit":
        return f"{_digits(value * 100, decimals)}%"
    if unit.startswith("suffix:"):
        return f"{_digits(value, decimals)} {unit.removeprefix('suffix:').strip()}"
    scales = _SCALES[unit]
    if value == 0:
        return {"s": "0 s", "bytes": "0 B"}.get(unit, "0")
    size, name = next((scale for scale in scales if abs(value) >= scale[0]), scales[-1])
    return f"{_digits(value / size, decimals)}{name}"


def _digits(value: float, decimals: int | None) -> str:
    if decimals is None:
        decimals = 0 if value == 0 else max(0, 2 - math.floor(math.log10(abs(value))))
        text = f"{value:.{min(decimals, 4)}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.{decimals}f}"


def color_of(name: str) -> str:
    """Grafana's named colours on its dark theme; anything else is a colour already."""
    return NAMED.get(name, name)


def threshold_color(value: float, steps: Sequence[Mapping[str, Any]]) -> str:
    """The colour of the last step that the value reaches."""
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    return color_of(reached[-1])


def legend_of(series: Mapping[str, Any], pattern: str) -> str:
    """A series' name: its labels put into the pattern."""
    return re.sub(r"\{\{(\w+)\}\}", lambda label: series["metric"].get(label[1], ""), pattern)


def ticks(low: float, high: float, unit: str) -> list[float]:
    """Round values from low to at least high, about five; bytes in powers of two, minutes and hours of time."""
    span = max(high - low, 1e-9) / 5
    if unit == "s" and span > 1:
        step = float(next((each for each in _STEPS_S if each >= span), 3600 * math.ceil(span / 3600)))
    elif unit == "bytes":
        step = float(2 ** math.ceil(math.log2(span)))
    else:
        power = 10 ** math.floor(math.log10(span))
        step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= span * 0.999)
    first = math.floor(low / step)
    values = [first * step]
    while values[-1] < high - step * 1e-6:
        values.append(values[-1] + step)
    return values
