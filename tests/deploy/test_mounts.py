"""What docker-compose.yml mounts into Prometheus and Grafana is there, and speaks of services that the file has."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_file import bind_mounts, compose, container_environ

SERVICES: dict[str, dict[str, Any]] = compose()["services"]
MOUNTS = [
    pytest.param(name, source, target, id=target)
    for name, service in SERVICES.items()
    for source, target in bind_mounts(service)
]


def mounted(service: str, path: str) -> Path:
    """The file or folder of the checkout that a service finds at a path."""
    for source, target in bind_mounts(SERVICES[service]):
        if Path(path).is_relative_to(target):
            return source / Path(path).relative_to(target)
    raise AssertionError(f"nothing of the checkout is mounted at {path} in {service}")


@pytest.mark.parametrize(("name", "source", "target"), MOUNTS)
def test_what_is_mounted_is_there_and_cannot_be_written_to(name: str, source: Path, target: str) -> None:
    assert any(source.rglob("*.*")), f"{source} has no files"
    assert any(volume.endswith(f":{target}:ro") for volume in SERVICES[name]["volumes"])


def test_prometheus_finds_its_file_its_rules_and_every_worker() -> None:
    options = dict(option.removeprefix("--").split("=", 1) for option in SERVICES["prometheus"]["command"])
    path = mounted("prometheus", options["config.file"])
    config = yaml.safe_load(path.read_text("utf-8"))
    assert all(list(path.parent.glob(pattern)) for pattern in config["rule_files"])
    looked_up = [found for job in config["scrape_configs"] for found in job.get("dns_sd_configs", [])]
    names = {name for found in looked_up for name in found["names"]}
    assert names == {"worker", "worker-gpu"} <= SERVICES.keys()
    ports = {container_environ(SERVICES[name])["MNER_HTTP_PORT"] for name in names}
    assert {str(found["port"]) for found in looked_up} == ports


def test_grafana_is_given_dashboards_and_asks_the_prometheus_of_this_file() -> None:
    provisioning = mounted("grafana", "/etc/grafana/provisioning")
    (providers,) = [yaml.safe_load(path.read_text("utf-8")) for path in (provisioning / "dashboards").glob("*.yml")]
    for provider in providers["providers"]:
        assert list(mounted("grafana", provider["options"]["path"]).glob("*.json"))
    home = container_environ(SERVICES["grafana"])["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert mounted("grafana", home).is_file()
    (sources,) = [yaml.safe_load(path.read_text("utf-8")) for path in (provisioning / "datasources").glob("*.yml")]
    assert [source["url"] for source in sources["datasources"]] == ["http://prometheus:9090"]
