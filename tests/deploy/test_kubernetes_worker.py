"""A real worker, with the shipped model, started as the manifests start one: its settings, commands, probes, grace."""

import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the tests' own modules: there are no packages here

from kubernetes_objects import MANIFESTS, Objects, build, container, pod_spec

from worker.demo.embedded import EmbeddedBroker, EmbeddedServerFailed, free_port, log_tail
from worker.messages.topics import worker_topics

POLL_S = 0.2
READY_TIMEOUT_S = 120.0


@pytest.mark.integration
def test_the_base_starts_a_worker_that_gets_ready_and_leaves_within_its_grace(tmp_path: Path) -> None:
    objects = build(MANIFESTS / "base")
    try:
        broker = EmbeddedBroker(tmp_path / "broker").start()
    except EmbeddedServerFailed as missing:
        pytest.skip(str(missing))
    with broker:
        environ = _environ(objects, broker)
        topics = [option for option in container(objects.job)["args"] if not option.startswith("--replication=")]
        made = _run(topics, environ, tmp_path)
        wanted = {topic.name for topic in worker_topics(objects.settings(objects.deployment))}
        assert set(made.stdout.split()) == wanted
        assert _run(topics, environ, tmp_path).stdout == ""  # a Job that comes again leaves them as they are

        log_path = tmp_path / "worker.log"
        with log_path.open("wb") as log:
            worker = subprocess.Popen(
                _command(objects.worker["args"]), env=environ, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT
            )
        try:
            startup, readiness = objects.worker["startupProbe"], objects.worker["readinessProbe"]
            _wait_for(startup, worker, environ, startup["periodSeconds"] * startup["failureThreshold"])
            _wait_for(readiness, worker, environ, READY_TIMEOUT_S)
            worker.terminate()
            assert worker.wait(pod_spec(objects.deployment)["terminationGracePeriodSeconds"]) == 0
        finally:
            worker.kill()
            worker.wait()
            print(log_tail(log_path))  # shown when the test fails


def _environ(objects: Objects, broker: EmbeddedBroker) -> dict[str, str]:
    """The container's, but for where its servers and its own port are on this machine."""
    [settings] = [source["configMapRef"]["name"] for source in objects.worker["envFrom"] if "configMapRef" in source]
    others = {name: value for name, value in os.environ.items() if not name.startswith("MNER_")}
    return {
        **others,
        **objects.named("ConfigMap", settings)["data"],
        "MNER_BROKERS": broker.bootstrap,
        "MNER_REDIS_URL": "",
        "MNER_HTTP_HOST": "127.0.0.1",
        "MNER_HTTP_PORT": str(free_port()),
        # the embedded broker lets a group form only after half of this
        "MNER_SESSION_TIMEOUT_S": "10",
        "MNER_HEARTBEAT_S": "1",
    }


def _command(arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", "worker", *arguments]


def _run(arguments: list[str], environ: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        _command(arguments), env=environ, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def _wait_for(
    probe: dict[str, dict[str, str]], worker: subprocess.Popen[bytes], environ: dict[str, str], timeout_s: float
) -> None:
    """Ask as the kubelet does, until the answer is 200."""
    url = f"http://127.0.0.1:{environ['MNER_HTTP_PORT']}{probe['httpGet']['path']}"
    deadline = time.monotonic() + timeout_s
    while worker.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(url, timeout=float(probe["timeoutSeconds"])):
                return
        except (URLError, TimeoutError):
            time.sleep(POLL_S)
    pytest.fail(f"no 200 of {url} within {timeout_s:g} s; exit status so far: {worker.poll()}")
