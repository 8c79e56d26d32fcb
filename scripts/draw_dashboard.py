"""python scripts/draw_dashboard.py FOLDER

Draws docs/dashboard.svg, docs/running.md's picture of the Grafana dashboard, from what Prometheus kept in FOLDER of a
run of `scripts/load_for_dashboard.py`.

Not a photograph of Grafana: every panel of deploy/grafana/dashboards/mner.json is drawn here at its place, from the
answers to its own queries, in the look that the file asks for.
"""

import json
import math
import sys
from pathlib import Path
from typing import Any

from dashboard_picture.panels import EDGE, PANEL, chrome, stat, table, timeline, timeseries
from dashboard_picture.plot import FAINT, TEXT, Box, Line, Span, text
from dashboard_picture.queries import DASHBOARD, expanded
from dashboard_picture.values import formatted, legend_of
from prometheus_server import PrometheusServer

TARGET = Path(__file__).resolve().parents[1] / "docs" / "dashboard.svg"
WIDTH, MARGIN, HEADER = 1240, 12, 52
CELL, GAP, COLUMNS = 30, 8, 24  # Grafana's grid
SCRAPE_S = 5


def main() -> None:
    """Ask a Prometheus on the folder's data, and draw."""
    folder = Path(sys.argv[1]).resolve()
    times = json.loads((folder / "span.json").read_text(encoding="utf-8"))
    with PrometheusServer(folder, {"scrape_configs": []}) as prometheus:
        picture = Picture(prometheus, times["start"], times["end"]).svg()
    TARGET.write_text(picture, encoding="utf-8")


class Picture:
    """One drawing of the whole dashboard, for one stretch of time."""

    def __init__(self, prometheus: PrometheusServer, start_s: float, end_s: float) -> None:
        self._prometheus = prometheus
        # on whole steps, as Grafana asks
        self._start_s = math.ceil(start_s / SCRAPE_S) * SCRAPE_S
        self._end_s = math.floor(end_s / SCRAPE_S) * SCRAPE_S
        self._dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
        self._span = Span(self._start_s, self._end_s, self._alerts())

    def svg(self) -> str:
        """The file's content."""
        panels = self._dashboard["panels"]
        height = max(_box(panel).y + _box(panel).height for panel in panels) + MARGIN
        words = "The Grafana dashboard of the worker under load: " + ", ".join(panel["title"] for panel in panels)
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img" '
            f"font-family=\"Inter, 'Helvetica Neue', Arial, sans-serif\"><title>{words}</title>"
            f'<rect width="{WIDTH}" height="{height:.0f}" fill="#111217"/>'
        )
        return "\n".join([head, self._header(), *map(self._panel, panels), "</svg>"]) + "\n"

    def _header(self) -> str:
        drawn = [text(MARGIN + 4, 32, self._dashboard["title"], size=17, more='font-weight="500"')]
        x = 230.0
        for variable in self._dashboard["templating"]["list"]:
            chosen = "Prometheus" if variable["type"] == "datasource" else "All"
            label, width = variable["label"], len(variable["label"]) * 6.6 + 14
            drawn.append(_pill(x, width, label, FAINT))
            drawn.append(_pill(x + width, len(chosen) * 6.6 + 18, chosen, TEXT))
            x += width + len(chosen) * 6.6 + 18 + 12
        minutes = round((self._end_s - self._start_s) / 60)
        drawn.append(_pill(WIDTH - MARGIN - 128, 128, f"Last {minutes} minutes", TEXT))
        return "".join(drawn)

    def _panel(self, panel: dict[str, Any]) -> str:
        box = _box(panel)
        if panel["type"] == "row":
            mark = f'<path d="M{box.x + 4} {box.y + 12}l4 5 4-5" fill="none" stroke="{TEXT}" stroke-width="1.5"/>'
            return mark + text(box.x + 20, box.y + 20, panel["title"], size=15, more='font-weight="500"')
        return f"<g><!-- {panel['title']} -->{chrome(box, panel['title'])}{self._content(panel, box)}</g>"

    def _content(self, panel: dict[str, Any], box: Box) -> str:
        defaults = panel["fieldConfig"]["defaults"]
        if panel["type"] == "table":
            return self._table(panel, box)
        lines = self._lines(panel)
        if panel["type"] == "stat":
            return stat(box, lines[0] if lines else None, defaults, self._span)
        if panel["type"] == "state-timeline":
            return timeline(box, lines, defaults, self._span)
        return timeseries(box, lines, panel, self._span)

    def _lines(self, panel: dict[str, Any]) -> list[Line]:
        return [
            Line(legend_of(series, target["legendFormat"]), self._points(series))
            for target in panel["targets"]
            for series in self._asked(target["expr"])
        ]

    def _points(self, series: dict[str, Any]) -> list[tuple[float, float | None]]:
        known = {round(at): float(value) for at, value in series["values"]}
        steps = range(int(self._start_s), int(self._end_s) + 1, SCRAPE_S)
        return [(at, value if math.isfinite(value := known.get(at, math.nan)) else None) for at in steps]

    def _table(self, panel: dict[str, Any], box: Box) -> str:
        names = panel["transformations"][0]["options"]["renameByName"]
        units = {
            override["matcher"]["options"]: override["properties"][0]["value"]
            for override in panel["fieldConfig"]["overrides"]
        }
        rows = []
        for series in self._asked(panel["targets"][0]["expr"]):
            age_ms = self._end_s * 1000 - float(series["values"][-1][1])
            value = formatted(age_ms, units[names["Value"]])
            rows.append([value if label == "Value" else series["metric"].get(label, "") for label in names])
        return table(box, list(names.values()), rows)

    def _asked(self, query: str) -> list[dict[str, Any]]:
        query = expanded(query, rate_interval=f"{4 * SCRAPE_S}s", time_range=f"{self._end_s - self._start_s:.0f}s")
        found = self._prometheus.over(query, self._start_s, self._end_s, SCRAPE_S)
        return sorted(found, key=lambda series: sorted(series["metric"].items()))

    def _alerts(self) -> list[tuple[float, float]]:
        """From when to when at least one alert fired."""
        query = f"count({self._dashboard['annotations']['list'][0]['target']['expr']})"
        firing = [at for series in self._asked(query) for at, _ in series["values"]]
        spans: list[tuple[float, float]] = []
        for at in firing:
            if spans and at - spans[-1][1] <= 2 * SCRAPE_S:
                spans[-1] = (spans[-1][0], at)
            else:
                spans.append((at, at))
        return spans


def _box(panel: dict[str, Any]) -> Box:
    at = panel["gridPos"]
    column = (WIDTH - 2 * MARGIN + GAP) / COLUMNS
    return Box(
        round(MARGIN + at["x"] * column, 1),
        HEADER + at["y"] * (CELL + GAP),
        round(at["w"] * column - GAP, 1),
        at["h"] * (CELL + GAP) - GAP,
    )


def _pill(x: float, width: float, words: str, color: str) -> str:
    return f'<rect x="{x:.1f}" y="14" width="{width:.1f}" height="28" rx="2" fill="{PANEL}" stroke="{EDGE}"/>' + text(
        x + 8, 32, words, size=12, color=color
    )


if __name__ == "__main__":
    main()
