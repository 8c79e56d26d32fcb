"""The health commands of docker-compose.yml run and mean what they should."""

import asyncio
import re
import sys
from typing import Any

import pytest
from compose_file import ROOT, compose

from worker.demo.embedded import free_port
from worker.demo.posts import PICTURES
from worker.settings import Settings
from worker.telemetry.health import HealthServer, HealthState
from worker.telemetry.metrics import Metrics

SERVICES: dict[str, dict[str, Any]] = compose()["services"]


def seconds(duration: str) -> float:
    return float(re.fullmatch(r"(\d+)s", duration)[1])  # type: ignore[index]


@pytest.mark.parametrize("name", SERVICES)
def test_health_checks_leave_time_for_the_answer(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    if name == "topics":
        assert check == {"disable": True}
        return
    assert check["test"][0] in ("CMD", "CMD-SHELL")
    assert seconds(check["timeout"]) < seconds(check["interval"])


@pytest.fixture
async def worker_port() -> Any:
    server = HealthServer(Settings.load({"MNER_HTTP_PORT": "0"}), Metrics(), HealthState())
    await server.start()
    yield server.port
    await server.stop()


@pytest.mark.parametrize("name", ["worker", "worker-gpu"])
async def test_the_health_command_of_workers_runs_and_is_understood(name: str, worker_port: int) -> None:
    """A worker that is not warm is told from a path or a program that does not exist."""
    _, python, *arguments = SERVICES[name]["healthcheck"]["test"]
    assert python == "python"
    environ = {"MNER_HTTP_PORT": str(worker_port), "PYTHONPATH": str(ROOT)}
    assert "status 503" in await output([sys.executable, *arguments], environ)


async def test_the_health_command_of_the_feeder_asks_for_a_picture_that_it_serves() -> None:
    _, _, *arguments, url = SERVICES["feeder"]["healthcheck"]["test"]
    address, _, picture = url.rpartition("/")
    assert address == "http://127.0.0.1:8000"
    assert (PICTURES / picture).is_file()
    elsewhere = f"http://127.0.0.1:{free_port()}/{picture}"
    assert "refused" in await output([sys.executable, *arguments, elsewhere], {"PYTHONPATH": str(ROOT)})


async def output(command: list[str], environ: dict[str, str]) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, env=environ)
    said, _ = await process.communicate()
    return said.decode()
