"""python deploy/grafana/make_dashboard.py

Writes dashboards/mner.json. Change the dashboard in dashboard_panels.py, run this, commit both; a test tells when they
drift apart.

Made by a script, for thirty panels share one look, one filter and one legend, and a change to these should be one line.
Made of plain dictionaries, for the JSON is the contract with Grafana: its builder libraries are bound to one Grafana
version each, and would put a second vocabulary between a reader and Grafana's documentation.
"""

import json
from itertools import count
from pathlib import Path
from typing import Any

from dashboard_panels import ROWS

TARGET = Path(__file__).resolve().parent / "dashboards" / "mner.json"
SCHEMA_VERSION = 42
"""That of Grafana 12.2 and later; older ones read it too, newer ones migrate it."""
COLUMNS = 24
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def dashboard() -> dict[str, Any]:
    """The whole dashboard, as Grafana stores it."""
    return {
        "uid": "mner",
        "title": "mner worker",
        "description": "Posts in, entities out: how fast, how late, and what became of them.",
        "tags": ["mner"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "timezone": "browser",
        "refresh": "10s",
        "time": {"from": "now-15m", "to": "now"},
        "graphTooltip": 1,
        "templating": {"list": _variables()},
        "annotations": {"list": [_alerts()]},
        "links": [],
        "panels": _laid_out(),
    }


def _variables() -> list[dict[str, Any]]:
    def labels(name: str, label: str, query: str) -> dict[str, Any]:
        return {
            "name": name,
            "label": label,
            "type": "query",
            "datasource": DATASOURCE,
            "query": {"query": query, "refId": f"variable-{name}"},
            "definition": query,
            "refresh": 2,  # whenever the time range changes, as workers come and go
            "sort": 1,
            "includeAll": True,
            "allValue": ".*",
            "multi": True,
            "current": {"text": ["All"], "value": ["$__all"]},
        }

    return [
        {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1},
        labels("job", "Job", "label_values(mner_open_posts, job)"),
        labels("instance", "Worker", 'label_values(mner_open_posts{job=~"$job"}, instance)'),
    ]


def _alerts() -> dict[str, Any]:
    return {
        "name": "Alerts",
        "datasource": DATASOURCE,
        "enable": True,
        "iconColor": "red",
        "target": {"refId": "Anno", "expr": 'ALERTS{alertstate="firing", alertname=~"Mner.+"}', "interval": "10s"},
        "titleFormat": "{{alertname}}",
        "textFormat": "{{severity}} {{instance}}",
        "tagKeys": "severity",
    }


def _laid_out() -> list[dict[str, Any]]:
    """Panels from left to right in lines of 24 columns, rows one below the other, each with an id of its own."""
    numbers, top, panels = count(1), 0, []
    for title, row in ROWS:
        if title:
            at = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
            panels.append(
                {"id": next(numbers), "type": "row", "title": title, "collapsed": False, "gridPos": at, "panels": []}
            )
            top += 1
        left, height = 0, 0
        for panel in row:
            width = panel["gridPos"]["w"]
            if left + width > COLUMNS:
                left, top = 0, top + height
            height = panel["gridPos"]["h"]
            at = {"x": left, "y": top, "w": width, "h": height}
            panels.append({"id": next(numbers), **panel, "datasource": DATASOURCE, "gridPos": at})
            left += width
        top += height
    return panels


def written() -> str:
    """The file's content."""
    return json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    TARGET.write_text(written(), encoding="utf-8")
