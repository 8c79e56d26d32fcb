import json
import os
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

sys.path.insert(0, str(Path(__file__).parent))  # the tests' own modules: there are no packages here

from lab import KAFKA_SCRIPT, ApacheKafka, Lab, apache_kafka_is_here

from worker.demo.embedded import EmbeddedBroker, EmbeddedServerFailed

IN_CI = os.environ.get("CI") == "true"


@pytest.fixture(scope="session")
def embedded_bootstrap(tmp_path_factory):
    """The embedded broker's address."""
    try:
        broker = EmbeddedBroker(tmp_path_factory.mktemp("embedded")).start()
    except EmbeddedServerFailed as missing:
        pytest.skip(str(missing))
    yield broker.bootstrap
    broker.stop()


@pytest.fixture(scope="session")
def needs_kafka():
    """Apache Kafka is to be had; a machine without it skips, CI without a Java for it fails."""
    if apache_kafka_is_here():
        return
    if IN_CI and KAFKA_SCRIPT.exists():
        pytest.fail("Apache Kafka is beside the checkout, but there is no Java to run it")
    pytest.skip(f"no Apache Kafka: there is no {KAFKA_SCRIPT}, or no Java to run it")


@pytest.fixture(scope="session")
def kafka_bootstrap(request, tmp_path_factory):
    """Apache Kafka's address: KAFKA_BOOTSTRAP where that is set, else one started for the session."""
    if "KAFKA_BOOTSTRAP" in os.environ:
        yield os.environ["KAFKA_BOOTSTRAP"]
        return
    request.getfixturevalue("needs_kafka")
    with shared(tmp_path_factory, lambda: ApacheKafka(tmp_path_factory.mktemp("kafka"))) as bootstrap:
        yield bootstrap


@contextmanager
def shared(tmp_path_factory: pytest.TempPathFactory, make: Callable[[], ApacheKafka]) -> Iterator[str]:
    """The address of one broker for all processes of a test run: the first to need it starts it, and leaves last."""
    place = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent  # what the processes have in common
    state_file, lock = place / "kafka.json", FileLock(place / "kafka.lock")
    started = None
    with lock:
        if not state_file.exists():
            started = make().start()
            state_file.write_text(json.dumps({"bootstrap": started.bootstrap, "users": []}))
        bootstrap = _change_users(state_file, lambda users: [*users, os.getpid()])["bootstrap"]
    try:
        yield bootstrap
    finally:
        with lock:
            left = _change_users(state_file, lambda users: [pid for pid in users if pid != os.getpid()])["users"]
        if started is not None:
            while left:
                time.sleep(0.2)
                with lock:
                    left = _change_users(state_file, lambda users: [pid for pid in users if _lives(pid)])["users"]
            state_file.unlink()
            started.stop()


def _change_users(state_file: Path, change: Callable[[list[int]], list[int]]) -> dict:
    state = json.loads(state_file.read_text())
    state["users"] = change(state["users"])
    state_file.write_text(json.dumps(state))
    return state


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture(params=["embedded", "kafka"])
def bootstrap(request):
    """Each broker found, one after the other."""
    return request.getfixturevalue(f"{request.param}_bootstrap")


@pytest.fixture
async def make_lab(request, tmp_path):
    """Makes labs, whose topics are made by opening them, and closes them after the test."""
    labs = []

    def make(bootstrap: str) -> Lab:
        test = re.sub(r"\W+", "-", request.node.originalname)[:40]
        labs.append(Lab(bootstrap, f"{test}-{uuid.uuid4().hex[:8]}", tmp_path))
        return labs[-1]

    yield make
    for lab in labs:
        await lab.close()


@pytest.fixture
async def lab(make_lab, bootstrap):
    """A lab on each broker, its topics made."""
    return await make_lab(bootstrap).open()


@pytest.fixture
async def embedded_lab(make_lab, embedded_bootstrap):
    """A lab on the embedded broker, for what no broker has a say in."""
    return await make_lab(embedded_bootstrap).open()


@pytest.fixture
async def kafka_lab(make_lab, kafka_bootstrap):
    """A lab on Apache Kafka, for what the embedded broker has not."""
    return await make_lab(kafka_bootstrap).open()
