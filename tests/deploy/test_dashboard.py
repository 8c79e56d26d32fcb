"""The Grafana dashboard and its provisioning: as they are made, well laid out, and about real metrics."""

import itertools
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))  # the tests' own modules: there are no packages here
sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
sys.path.insert(0, str(Path(__file__).parents[2] / "deploy" / "grafana"))

import make_dashboard
from dashboard_picture.queries import expanded, panels
from dashboard_picture.values import formatted, ticks
from exposed_metrics import exposed_labels

ROOT = Path(__file__).resolve().parents[2]
DEPLOYED = ROOT / "deploy"
PICTURE = ROOT / "docs" / "dashboard.svg"
PANELS = list(panels())
EXPOSED = exposed_labels()
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]


def loaded(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_file_is_what_the_script_makes():
    assert make_dashboard.TARGET.read_text(encoding="utf-8") == make_dashboard.written()


def test_every_panel_has_a_number_a_title_and_queries_of_its_own():
    everything = make_dashboard.dashboard()["panels"]
    for field in ("id", "title"):
        values = [panel[field] for panel in everything]
        assert len(set(values)) == len(values)
    for panel in PANELS:
        assert panel["description"].endswith(".")
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        references = [target["refId"] for target in panel["targets"]]
        assert references == sorted(set(references))
        assert references


def test_no_panel_covers_another_or_leaves_the_grid_and_no_line_has_a_hole():
    covered = {}
    for panel in make_dashboard.dashboard()["panels"]:
        at = panel["gridPos"]
        for cell in itertools.product(range(at["x"], at["x"] + at["w"]), range(at["y"], at["y"] + at["h"])):
            assert cell not in covered, (panel["title"], covered[cell])
            covered[cell] = panel["title"]
    assert {x for x, _ in covered} == set(range(24))
    assert len(covered) == 24 * (1 + max(y for _, y in covered))


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_figure_has_a_unit(panel):
    defaults = panel["fieldConfig"]["defaults"]
    if panel["type"] in {"stat", "timeseries"}:
        assert defaults["unit"] in {"s", "bytes", "short", "percentunit"} or defaults["unit"].startswith("suffix:")


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_can_be_narrowed_to_a_worker_and_follows_the_zoom(query):
    names = re.findall(r"\b((?:mner|process)_\w+)\{([^}]*)\}", query)
    if "ALERTS" not in query:
        assert names
        assert set(re.findall(r"\b(?:mner|process)_\w+", query)) == {name for name, _ in names}
    for name, matchers in names:
        assert matchers.startswith('job=~"$job", instance=~"$instance"')
        assert name in EXPOSED
        for label, _, values in re.findall(r'(\w+)(=~|!~|!=|=)"([^"]*)"', matchers):
            if label not in {"job", "instance"}:
                assert set(values.split("|")) <= EXPOSED[name][label]
    assert set(re.findall(r"rate\(.*?\[(.*?)\]", query)) <= {"$__rate_interval"}
    assert "$_" not in expanded(query, rate_interval="20s", time_range="15m")


def test_every_metric_of_the_worker_is_on_a_dashboard_or_in_a_rule():
    rules = "".join(path.read_text(encoding="utf-8") for path in (DEPLOYED / "prometheus" / "rules").glob("*.yml"))
    top = (DEPLOYED.parent / "worker" / "watch" / "top" / "figures.py").read_text(encoding="utf-8")
    shown = set(re.findall(r"\bmner_\w+", rules + top + "".join(QUERIES)))
    family = re.compile(r"_(bucket|sum|count)$")
    of_worker = {family.sub("", name) for name in EXPOSED if name.startswith("mner_")}
    assert of_worker <= {family.sub("", name) for name in shown}


def test_grafana_is_given_the_data_source_at_the_pace_that_prometheus_scrapes():
    (source,) = loaded(DEPLOYED / "grafana" / "provisioning" / "datasources" / "prometheus.yml")["datasources"]
    scrape = loaded(DEPLOYED / "prometheus" / "prometheus.yml")["global"]["scrape_interval"]
    assert source["type"] == "prometheus"
    assert source["jsonData"]["timeInterval"] == scrape


def test_the_picture_shows_every_panel_and_is_light():
    picture = PICTURE.read_text(encoding="utf-8")
    ElementTree.fromstring(picture)
    assert re.findall(r"<g><!-- (.*?) -->", picture) == [panel["title"] for panel in PANELS]
    assert len(picture) < 400_000


@pytest.mark.parametrize(
    ("value", "unit", "written"),
    [
        (0.0254, "s", "25.4 ms"),
        (0.00098, "s", "980 µs"),
        (1.5, "s", "1.5 s"),
        (90, "s", "1.5 mins"),
        (0, "s", "0 s"),
        (0.00838, "percentunit", "0.838%"),
        (1234, "short", "1.23 K"),
        (1.25 * 2**30, "bytes", "1.25 GiB"),
        (23.94, "suffix:posts/s", "23.9 posts/s"),
        (float("nan"), "s", "-"),
    ],
)
def test_figures_in_the_picture_are_written_as_grafana_writes_them(value, unit, written):
    assert formatted(value, unit) == written


@pytest.mark.parametrize(
    ("high", "unit"), [(0.37, "s"), (29.0, "s"), (3.2e9, "bytes"), (0.93, "percentunit"), (1, "short")]
)
def test_an_axis_of_the_picture_covers_its_figures_in_a_few_even_steps(high, unit):
    marks = ticks(0, high, unit)
    assert marks[0] == 0
    assert high <= marks[-1] < 2 * high
    assert 3 <= len(marks) <= 8
    steps = [after - before for before, after in itertools.pairwise(marks)]
    assert steps == pytest.approx([steps[0]] * len(steps))
