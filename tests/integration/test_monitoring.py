"""Prometheus as it is deployed, on live workers: rules load, alerts fire on real trouble, panels have data.

Rules are the deployed ones with their times divided by 30 (`hastened_rules`). All troubles go on side by side, each in
a job of its own, and each test waits for its own alert.
"""

import asyncio
import math
import os
import shutil
import time

import pytest
import pytest_asyncio
from lab import until
from monitored import Monitored, expanded, panels

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

GOOD = (
    b'{"id": "KEY", "text": "Ada Lovelace met Charles Babbage of the Royal Society at the Great Exhibition in London"}'
)
WITH_PICTURE = GOOD[:-1] + b', "image_data": "PICTURE"}'
WITHOUT_ITS_PICTURE = GOOD[:-1] + b', "image_url": "http://127.0.0.1:9/none"}'
NOT_JSON = b'{"id": '
WITHOUT_DATA_HERE = {"GPU memory, A"}
"""No GPU here, so that their queries are only seen to be taken."""
QUERIES = {f"{panel['title']}, {target['refId']}": target["expr"] for panel in panels() for target in panel["targets"]}


@pytest.fixture(scope="module")
def needs_prometheus():
    if shutil.which("prometheus") is None:
        reason = "no Prometheus here (Debian: apt-get install prometheus)"
        pytest.fail(reason) if os.environ.get("CI") == "true" else pytest.skip(reason)


@pytest.fixture(scope="module")
def gate(tmp_path_factory):
    """A file that holds the stalled worker's batches while it is there."""
    return tmp_path_factory.mktemp("gate") / "closed"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def monitored(needs_prometheus, embedded_bootstrap, tmp_path_factory):
    monitored = Monitored(embedded_bootstrap, tmp_path_factory.mktemp("monitored"))
    try:
        await monitored.start()
        yield monitored
    finally:
        await monitored.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def labs(monitored, gate):
    """Of each worker that is in trouble, by job. All begin at once, so that the tests wait side by side."""

    async def stalled():
        lab = await monitored.lab("stalled")
        monitored.start_stub(lab, "stalled", STUB_GATE=str(gate))
        await lab.send(20)
        await lab.until_all_answered()
        gate.touch()
        await lab.send(50)
        return lab

    async def lagging():
        lab = await monitored.lab("lagging")
        # 256 posts or a few more in three seconds, while some 400 a second come
        monitored.start_stub(lab, "lagging", STUB_SECONDS="3", MNER_OPEN_POSTS_MAX="256")
        monitored.feed(lab, *[GOOD] * 40, every_s=0.1)

    async def dead():
        lab = await monitored.lab("dead")
        monitored.start_stub(lab, "dead")
        monitored.feed(lab, GOOD, NOT_JSON, GOOD, every_s=0.1)

    async def real():
        lab = await monitored.lab("redis")
        await monitored.start_real_worker(lab, "redis")
        monitored.feed(lab, WITH_PICTURE, GOOD, WITHOUT_ITS_PICTURE, None, every_s=0.25)
        return lab

    redis, stall, *_ = await asyncio.gather(real(), stalled(), lagging(), dead())
    return {"redis": redis, "stalled": stall}


async def test_every_rule_is_loaded_and_evaluated_without_an_error(monitored):
    async def all_evaluated():
        rules = await asyncio.to_thread(monitored.prometheus.rules)
        assert [rule["lastError"] for rule in rules if "lastError" in rule] == []
        return len(rules) > 40 and {rule["health"] for rule in rules} == {"ok"}

    await until(all_evaluated, "all rules to be evaluated")


async def test_a_stalled_worker_is_told_of_until_it_answers_again(monitored, labs, gate):
    alert = await monitored.fires("MnerWorkerStalled", job="stalled", severity="critical")
    assert alert["labels"]["instance"] == monitored.address("stalled")
    assert "50 posts are open" in alert["annotations"]["description"]
    gate.unlink()
    await labs["stalled"].until_all_answered()
    await monitored.fires("MnerWorkerStalled", yes=False, job="stalled")


async def test_a_growing_lag_is_told_of(monitored):
    alert = await monitored.fires("MnerLagGrowing", job="lagging", severity="warning")
    assert alert["annotations"]["runbook"] == "docs/operations.md#mnerlaggrowing"
    assert float(monitored.prometheus.instant('job:mner_lag:sum{job="lagging"}')[0]["value"][1]) > 1000


async def test_a_burst_of_dead_letters_is_told_of_and_wakes_nobody_below_half(monitored):
    alert = await monitored.fires("MnerDeadLetterBurst", job="dead", severity="warning")
    share = float(alert["annotations"]["summary"].split("%")[0])
    assert share == pytest.approx(100 / 3, abs=8)
    labels = [each["labels"] for each in monitored.prometheus.firing()]
    of_it = [each for each in labels if each["alertname"] == "MnerDeadLetterBurst" and each["job"] == "dead"]
    assert [each["severity"] for each in of_it] == ["warning"]


async def test_no_worker_is_told_of_and_so_is_each_that_does_not_answer(monitored):
    await monitored.fires("MnerNoWorkers", job="mner-worker", severity="critical")
    await monitored.fires("MnerWorkerDown", job="mner-worker", instance=monitored.address("mner-worker"))


@pytest.mark.parametrize("panel", QUERIES)
async def test_each_query_of_the_dashboard_is_taken_and_has_data(monitored, panel):
    query = QUERIES[panel]
    query = expanded(query, rate_interval="10s", time_range="60s")

    def has_data():
        now = time.time()
        found = monitored.prometheus.over(query, now - 60, now, 1)
        return any(math.isfinite(float(value)) for series in found for _, value in series["values"])

    if panel in WITHOUT_DATA_HERE:
        assert not has_data()
    else:
        await until(has_data, f"data for {panel}: {query}", 60)


async def test_a_redis_outage_is_told_of_until_it_is_back_and_posts_are_answered_meanwhile(monitored, labs):
    address = monitored.address("redis")

    async def is_up(value):
        found = monitored.prometheus.instant(f'mner_redis_up{{instance="{address}"}}')
        return [series["value"][1] for series in found] == [value]

    await until(lambda: is_up("1"), "Redis to be in use")
    monitored.redis.kill()
    await monitored.fires("MnerRedisDown", job="redis", instance=address, severity="warning")
    await labs["redis"].until_answered(len(labs["redis"].answers) + 20)
    monitored.redis.start()
    await monitored.fires("MnerRedisDown", yes=False, job="redis", instance=address)


async def test_no_annotation_of_what_fires_is_left_unwritten(monitored):
    texts = [text for alert in monitored.prometheus.firing() for text in alert["annotations"].values()]
    assert texts
    assert not [text for text in texts if "<" in text or "{{" in text]
