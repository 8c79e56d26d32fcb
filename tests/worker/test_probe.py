import subprocess
import sys
from pathlib import Path

import pytest

from worker.demo.embedded import free_port
from worker.probe import why_not_well
from worker.settings import Settings
from worker.telemetry.health import HealthServer, HealthState
from worker.telemetry.metrics import Metrics

PROBE = Path(__file__).parents[2] / "worker" / "probe.py"


@pytest.fixture
async def state(monkeypatch: pytest.MonkeyPatch):
    """The state behind a server at MNER_HTTP_PORT."""
    state = HealthState()
    server = HealthServer(Settings.load({"MNER_HTTP_PORT": "0"}), Metrics(), state)
    await server.start()
    monkeypatch.setenv("MNER_HTTP_PORT", str(server.port))
    yield state
    await server.stop()


async def ask(target: str) -> str:
    import asyncio

    return await asyncio.to_thread(why_not_well, target)


async def test_a_worker_that_is_live_and_not_ready_is_told_apart_with_the_reason(state: HealthState) -> None:
    assert await ask("/live") == ""
    complaint = await ask("/ready")
    assert "status 503" in complaint
    assert "the model is not warm" in complaint
    assert "\n" not in complaint


async def test_a_path_that_nobody_knows_is_not_well(state: HealthState) -> None:
    assert "status 404" in await ask("/alive")


def test_nobody_there_is_status_1_and_one_line() -> None:
    url = f"http://127.0.0.1:{free_port()}/live"
    ended = subprocess.run([sys.executable, PROBE, url], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert ended.stdout.startswith(f"{url}: ConnectionRefusedError")
    assert ended.stdout.count("\n") == 1


def test_it_needs_to_be_told_what_to_ask_for() -> None:
    ended = subprocess.run([sys.executable, PROBE], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")


def test_it_starts_without_any_library() -> None:
    program = (
        "import sys, worker.probe; print([n for n in ('aiohttp', 'click', 'pydantic', 'torch') if n in sys.modules])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout == "[]\n"
