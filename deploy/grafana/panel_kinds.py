"""The kinds of panels that the dashboard is made of, with one look for all: each is a dictionary as Grafana has it."""

from collections.abc import Mapping, Sequence
from typing import Any

Panel = dict[str, Any]
Query = tuple[str, str]
"""PromQL and the legend of its series."""

GREEN, YELLOW, ORANGE, RED = "green", "#F2CC0C", "orange", "red"
BLUE, PURPLE, CYAN, GREY = "blue", "purple", "#5AC8C8", "#8E8E8E"

Size = tuple[int, int]
"""Width, of 24 columns, and height."""

BESIDE_FROM = 12
_LEGEND_BESIDE = {"displayMode": "table", "placement": "right", "showLegend": True, "calcs": ["mean", "lastNotNull"]}
_LEGEND_BELOW: dict[str, Any] = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}

Steps = Sequence[tuple[float | None, str]]
"""From which value on which colour; the first from None, for all below."""


def targets(queries: Sequence[Query], **more: Any) -> list[dict[str, Any]]:
    """Grafana's form of queries, numbered A, B, …"""
    return [
        {"refId": chr(ord("A") + number), "expr": expression, "legendFormat": legend or "__auto", **more}
        for number, (expression, legend) in enumerate(queries)
    ]


def timeseries(
    title: str,
    size: Size,
    description: str,
    unit: str,
    *queries: Query,
    stacked: bool = False,
    colors: Mapping[str, str] | None = None,
    limits: Steps = (),
    highest: float | None = None,
    decimals: int | None = None,
    logarithmic: bool = False,
) -> Panel:
    """Lines over time, or areas that add up; where there is room, the legend tells the mean and the last value.

    limits: dashed lines at these values, in their colours
    logarithmic: for times, of which a good and a bad one differ a hundredfold
    """
    custom: dict[str, Any] = {
        "drawStyle": "line",
        "lineInterpolation": "linear",
        "lineWidth": 1 if stacked else 2,
        "fillOpacity": 45 if stacked else 0 if logarithmic else 8,
        "gradientMode": "none",
        "showPoints": "never",
        "spanNulls": False,
        "axisPlacement": "auto",
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if limits else "off"},
        "scaleDistribution": {"type": "log", "log": 10} if logarithmic else {"type": "linear"},
    }
    defaults: dict[str, Any] = {
        "unit": unit,
        "color": {"mode": "palette-classic"},
        "custom": custom,
        "thresholds": _thresholds([(None, "transparent"), *limits]),
    }
    bounds = {"min": None if logarithmic else 0, "max": highest, "decimals": decimals}
    defaults |= {name: value for name, value in bounds.items() if value is not None}
    return {
        "type": "timeseries",
        "title": title,
        "gridPos": {"w": size[0], "h": size[1]},
        "description": description,
        "targets": targets(queries),
        "fieldConfig": {"defaults": defaults, "overrides": [_colored(*pair) for pair in (colors or {}).items()]},
        "options": {
            "legend": _LEGEND_BESIDE if size[0] >= BESIDE_FROM else _LEGEND_BELOW,
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def stat(
    title: str, size: Size, description: str, unit: str, query: str, steps: Steps, *, decimals: int | None = None
) -> Panel:
    """One large figure, the last one, coloured by what it means, above its course."""
    defaults: dict[str, Any] = {
        "unit": unit,
        "color": {"mode": "thresholds"},
        "thresholds": _thresholds(steps),
        "min": 0,
    }
    if decimals is not None:
        defaults["decimals"] = decimals
    return {
        "type": "stat",
        "title": title,
        "gridPos": {"w": size[0], "h": size[1]},
        "description": description,
        "targets": targets([(query, title)]),
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "value",
            "graphMode": "area",
            "justifyMode": "auto",
            "orientation": "auto",
            "textMode": "value",
            "showPercentChange": False,
            "percentChangeColorMode": "standard",
            "wideLayout": True,
        },
    }


def timeline(
    title: str,
    size: Size,
    description: str,
    query: Query,
    states: Mapping[str, tuple[str, str]],
    *,
    nothing: str | None = None,
) -> Panel:
    """One bar a series, whose colour and word tell the state over time.

    states: by value, the word and the colour; nothing: said where no series is
    """
    mapping = {
        value: {"text": word, "color": color, "index": at} for at, (value, (word, color)) in enumerate(states.items())
    }
    defaults: dict[str, Any] = {
        "color": {"mode": "thresholds"},
        "thresholds": _thresholds([(None, "transparent")]),
        "mappings": [{"type": "value", "options": mapping}],
        "custom": {"lineWidth": 0, "fillOpacity": 80},
    }
    if nothing is not None:
        defaults["noValue"] = nothing
    return {
        "type": "state-timeline",
        "title": title,
        "gridPos": {"w": size[0], "h": size[1]},
        "description": description,
        "targets": targets([query]),
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {
            "mergeValues": True,
            "showValue": "auto",
            "alignValue": "left",
            "rowHeight": 0.8,
            "legend": {"showLegend": False, "displayMode": "list", "placement": "bottom", "calcs": []},
            "tooltip": {"mode": "single", "sort": "none"},
        },
    }


def table(
    title: str, size: Size, description: str, query: str, columns: Mapping[str, str], units: Mapping[str, str]
) -> Panel:
    """The series of now as lines.

    columns: the labels shown, Value among them, and their headings, from left to right
    units: of columns, by heading
    """
    return {
        "type": "table",
        "title": title,
        "gridPos": {"w": size[0], "h": size[1]},
        "description": description,
        "targets": targets([(query, "")], format="table", instant=True, range=False),
        "transformations": [
            {
                "id": "organize",
                "options": {
                    "includeByName": dict.fromkeys(columns, True),
                    "indexByName": {name: at for at, name in enumerate(columns)},
                    "renameByName": dict(columns),
                },
            }
        ],
        "fieldConfig": {
            "defaults": {"custom": {"align": "left", "cellOptions": {"type": "auto"}}},
            "overrides": [
                {"matcher": {"id": "byName", "options": name}, "properties": [{"id": "unit", "value": unit}]}
                for name, unit in units.items()
            ],
        },
        "options": {"showHeader": True, "cellHeight": "sm", "frameIndex": 0},
    }


def _thresholds(steps: Steps) -> dict[str, Any]:
    return {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in steps]}


def _colored(series: str, color: str) -> dict[str, Any]:
    fixed = {"id": "color", "value": {"mode": "fixed", "fixedColor": color}}
    return {"matcher": {"id": "byName", "options": series}, "properties": [fixed]}
