"""A broker that takes connections and answers nothing, which is what a hung or cut-off one looks like from here."""

import asyncio
import os
import signal
from contextlib import contextmanager

import pytest
from lab import ApacheKafka, until

from worker.demo.embedded import EmbeddedBroker

pytestmark = pytest.mark.integration


@pytest.fixture(params=["embedded", "kafka"])
def broker(request, tmp_path):
    """One of the test's own, for nobody else could use it meanwhile."""
    if request.param == "kafka":
        request.getfixturevalue("needs_kafka")
    with (ApacheKafka if request.param == "kafka" else EmbeddedBroker)(tmp_path / request.param) as broker:
        yield broker


@contextmanager
def silenced(broker):
    os.kill(broker.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(broker.pid, signal.SIGCONT)


async def test_an_idle_worker_tells_of_a_silent_broker_and_goes_on_when_it_answers(broker, make_lab):
    lab = await make_lab(broker.bootstrap).open()
    clocks = "worker.app.ENDS_INTERVAL_S=1 worker.delivery.transport.client.END_KNOWN_FOR_S=5"
    worker = lab.start_worker(STUB_CLOCKS=clocks)
    await lab.send(20)
    await lab.until_all_answered()
    await until(lambda: has_lag(worker), "the lag to be told", explain=lab.logs)
    assert await worker.metric("mner_broker_silence_seconds") < 3
    assert await worker.why_not_ready() == []

    with silenced(broker):
        await until(lambda: is_said_by(worker), "the worker to be unready for it", explain=lab.logs)
        assert await worker.metric("mner_ready") == 0
        assert await worker.metric("mner_broker_silence_seconds") > 3
        await until(lambda: has_no_lag(worker), "the lag to be unknown", explain=lab.logs)
        assert await worker.metric("mner_open_posts") == 0

    await until(worker.is_ready, "the worker to be ready again", explain=lab.logs)
    await lab.send(20)
    await lab.until_all_answered()
    await until(lambda: has_lag(worker), "the lag to be told again", explain=lab.logs)
    assert worker.log.count("no broker has answered anything for") == 1
    assert worker.log.count("a broker answers again, after") == 1
    worker.terminate()
    assert await worker.exit_status() == 0
    assert "never retrieved" not in worker.log
    await lab.close_clients()


async def test_commits_that_no_broker_answers_are_told_of_now_and_then_and_without_tracebacks(broker, make_lab):
    lab = await make_lab(broker.bootstrap).open()
    clocks = "worker.delivery.delivery.COMMIT_INTERVAL_S=2 worker.delivery.transport.client.COMMIT_TIMEOUT_S=1.5"
    worker = lab.start_worker(STUB_CLOCKS=clocks)
    enough = asyncio.Event()
    load = asyncio.create_task(sent_until(enough, lab))
    await lab.until_answered(100)
    await until(lambda: has_uncommitted(lab), "answers that are not committed", explain=lab.logs)
    with silenced(broker):
        await until(lambda: "not committed, the offsets are kept" in worker.log, "that to be said", explain=lab.logs)
        enough.set()
    await load
    await lab.until_all_answered()
    worker.terminate()
    assert await worker.exit_status() == 0
    assert worker.log.count("not committed, the offsets are kept") == 1
    assert "never retrieved" not in worker.log
    assert await lab.committed() == lab.ends
    await lab.close_clients()


async def sent_until(enough, lab):
    while not enough.is_set():
        await lab.send(1)


async def has_uncommitted(lab):
    await lab.read_answers()
    return len(lab.answers) > sum(offset or 0 for offset in (await lab.committed()).values())


async def is_said_by(worker):
    return any(reason.startswith("no broker has answered for") for reason in await worker.why_not_ready())


async def has_lag(worker):
    return "mner_lag{" in await worker.metrics_page()


async def has_no_lag(worker):
    return not await has_lag(worker)
