"""A Prometheus of one's own on loopback, set up from deploy/prometheus, and what its HTTP API answers.

For the tests and for the picture of the dashboard. The only difference to a real one is where it finds its targets:
there is no DNS that knows them here.
"""

import json
import shutil
import socket
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from worker.demo.embedded import EmbeddedServer, EmbeddedServerFailed

DEPLOYED = Path(__file__).resolve().parents[1] / "deploy" / "prometheus"


class QueryRefused(RuntimeError):
    """Prometheus did not take a query; the message is its own."""


class PrometheusServer(EmbeddedServer):
    """Debian's `prometheus`, or any other on the path."""

    name = "prometheus"

    def __init__(self, directory: Path, config: Mapping[str, Any]) -> None:
        """config: as prometheus.yml, its rule files named absolutely; see `local_config`."""
        super().__init__(directory)
        self._config = config

    @property
    def url(self) -> str:
        """Where its HTTP API is."""
        return f"http://127.0.0.1:{self.port}"

    def instant(self, query: str) -> list[dict[str, Any]]:
        """The series that a query has now, each with `metric` and `value`. Raises QueryRefused."""
        found: list[dict[str, Any]] = self._data("query", query=query)["result"]
        return found

    def over(self, query: str, start_s: float, end_s: float, step_s: float) -> list[dict[str, Any]]:
        """The series of a query between two times (Unix seconds), each with `metric` and `values`."""
        times = {"start": f"{start_s}", "end": f"{end_s}", "step": f"{step_s}"}
        found: list[dict[str, Any]] = self._data("query_range", query=query, **times)["result"]
        return found

    def firing(self) -> list[dict[str, Any]]:
        """The alerts that are firing now, each with `labels` and `annotations`."""
        return [alert for alert in self._data("alerts")["alerts"] if alert["state"] == "firing"]

    def rules(self) -> list[dict[str, Any]]:
        """Every rule that was loaded, with `name`, `health` and, where it failed, `lastError`."""
        return [rule for group in self._data("rules")["groups"] for rule in group["rules"]]

    def targets(self) -> list[dict[str, Any]]:
        """Every target, with `labels`, `health` and, where a scrape failed, `lastError`."""
        return list(self._data("targets")["activeTargets"])

    def _data(self, what: str, **parameters: str) -> Any:
        url = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 - http, as written above
                return json.load(response)["data"]
        except urllib.error.HTTPError as refused:
            raise QueryRefused(f"{parameters or what}: {refused.read().decode(errors='replace')}") from None

    def _command(self) -> Sequence[str]:
        program = shutil.which("prometheus")
        if program is None:
            raise EmbeddedServerFailed("no Prometheus here (Debian: apt-get install prometheus)")
        config = self.directory / "prometheus.yml"
        config.write_text(yaml.safe_dump(dict(self._config)), encoding="utf-8")
        data = ("--storage.tsdb.path", str(self.directory / "data"))
        return (program, "--config.file", str(config), *data, "--web.listen-address", f"127.0.0.1:{self.port}")

    def _answers(self, connection: socket.socket) -> bool:
        connection.sendall(b"GET /-/ready HTTP/1.0\r\n\r\n")
        return connection.recv(12).endswith(b"200")


def local_config(
    targets: Mapping[str, Sequence[str]], rules: Path = DEPLOYED / "rules", scrape_interval: str = "5s"
) -> dict[str, Any]:
    """deploy/prometheus/prometheus.yml with the job of the workers pointed at these targets, host:port by job name.

    Prometheus' job for itself is left out, for its port is another one.
    """
    config: dict[str, Any] = yaml.safe_load((DEPLOYED / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"] |= {"scrape_interval": scrape_interval, "scrape_timeout": scrape_interval}
    config["rule_files"] = [str(rules / "*.yml")]
    (job,) = (job for job in config["scrape_configs"] if job["job_name"] == "mner-worker")
    del job["dns_sd_configs"]
    config["scrape_configs"] = [
        {**job, "job_name": name, "static_configs": [{"targets": list(addresses)}]}
        for name, addresses in targets.items()
    ]
    return config
