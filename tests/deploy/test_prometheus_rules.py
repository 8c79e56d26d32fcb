"""The rules that Prometheus records and alerts by: well formed, tested by Debian's promtool, and about real metrics."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parent))  # the tests' own modules: there are no packages here

from exposed_metrics import exposed_labels

from worker.telemetry.metrics import Metrics

ROOT = Path(__file__).resolve().parents[2]
DEPLOYED = ROOT / "deploy" / "prometheus"
RULES = sorted((DEPLOYED / "rules").glob("*.yml"))
UNIT_TESTS = sorted((Path(__file__).parent / "prometheus").glob("*.test.yml"))
HANDBOOK = ROOT / "docs" / "operations.md"
# What Prometheus 3 asks for (its documentation, "Content negotiation"), and 2.42.
ACCEPT = {
    "3.x": (
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
        "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
        "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
    ),
    "2.42": (
        "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
        "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    ),
}


def rules():
    return [
        rule
        for path in RULES
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    ]


ALERTS = [rule for rule in rules() if "alert" in rule]


@pytest.fixture(scope="module")
def promtool():
    program = shutil.which("promtool")
    if program is None:
        reason = "no promtool here (Debian: apt-get install prometheus)"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)

    def run(*arguments: str | Path) -> str:
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def test_promtool_accepts_the_configuration_and_finds_its_rules(promtool):
    assert f"{len(RULES)} rule files found" in promtool("check", "config", DEPLOYED / "prometheus.yml")


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_promtool_finds_nothing_to_complain_of_in_the_rules(promtool, path):
    promtool("check", "rules", "--lint=all", "--lint-fatal", path)


@pytest.mark.parametrize("path", UNIT_TESTS, ids=lambda path: path.name.removesuffix(".test.yml"))
def test_rules_do_what_their_unit_tests_say(promtool, path):
    promtool("test", "rules", path)


@pytest.mark.parametrize("name", sorted({rule["alert"] for rule in ALERTS}))
def test_each_alert_is_seen_firing_and_seen_silent_at_every_severity(name):
    checks = [
        check
        for path in UNIT_TESTS
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]
        for check in group.get("promql_expr_test", [])
        if f'alertname="{name}"' in check["expr"]
    ]
    fired = {sample["labels"] for check in checks for sample in check["exp_samples"]}
    severities = {severity for labels in fired for severity in re.findall(r'severity="(\w+)"', labels)}
    assert severities == {rule["labels"]["severity"] for rule in ALERTS if rule["alert"] == name}
    assert any(not check["exp_samples"] for check in checks)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: f"{rule['alert']}-{rule['labels']['severity']}")
def test_each_alert_says_how_bad_it_is_what_it_means_and_where_to_read_on(rule):
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"].keys() == {"summary", "description", "runbook"}
    assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"


@pytest.mark.skipif(not HANDBOOK.exists(), reason="there is no docs/operations.md yet")
@pytest.mark.parametrize("name", sorted({rule["alert"] for rule in ALERTS}))
def test_the_handbook_has_a_heading_for_each_alert(name):
    assert re.search(rf"^#+ `?{name}`?$", HANDBOOK.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_ask_only_for_metrics_and_label_values_that_workers_expose(rule):
    exposed = exposed_labels()
    asked = re.findall(r"(?<![\w:])((?:mner|process)_\w+)(?![\w:])(?:\{([^}]*)\})?", rule["expr"])
    recorded = {each["record"] for each in rules() if "record" in each}
    assert set(re.findall(r"[a-z_]+:\w+:\w+", rule["expr"])) <= recorded
    for name, matchers in asked:
        assert name in exposed
        for label, _, values in re.findall(r'(\w+)(=~|!=|=)"([^"]*)"', matchers):
            if label not in {"job", "instance"}:
                assert set(values.split("|")) <= exposed[name][label]


@pytest.mark.parametrize("version", ACCEPT)
def test_every_prometheus_gets_a_page_that_it_reads_and_whole_seconds_spelt_alike(version):
    page, content_type = Metrics().render(ACCEPT[version])
    assert re.match(r"application/openmetrics-text; ?version=(1\.0\.0|0\.0\.1)\b", content_type)
    assert b'mner_post_latency_seconds_bucket{le="1.0"} 0' in page
