"""The panels of the Grafana dashboard and their queries, with Grafana's variables put in as Grafana does."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DASHBOARD = Path(__file__).resolve().parents[2] / "deploy" / "grafana" / "dashboards" / "mner.json"


def panels() -> Iterator[dict[str, Any]]:
    """Every panel that shows something, rows' headings left out."""
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return (panel for panel in dashboard["panels"] if panel["type"] != "row")


def expanded(query: str, *, rate_interval: str, time_range: str) -> str:
    """A query as Grafana sends it, with `All` for each variable. Raises KeyError for an unknown one.

    rate_interval, time_range: of the built-in variables of these names, as `20s`
    """
    known = {"job": ".*", "instance": ".*", "__rate_interval": rate_interval, "__range": time_range}
    return re.sub(r"\$([a-z_]\w*)", lambda variable: known[variable[1]], query)
