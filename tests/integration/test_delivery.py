"""At least once, on real brokers with real worker processes; only the model is a stand-in."""

import asyncio
import contextlib
import time

import pytest
from aiokafka import AIOKafkaProducer
from lab import PARTITIONS, ApacheKafka, names, until

from worker.demo.embedded import EmbeddedBroker, free_port

pytestmark = pytest.mark.integration

# Some 500 posts are open at a time for as long as a batch takes, so 5,000 last a few seconds.
SLOWLY = {"STUB_SECONDS": "0.4", "MNER_OPEN_POSTS_MAX": "64"}
# One that was killed is missed sooner.
SOON_MISSED = {"MNER_SESSION_TIMEOUT_S": "1.5", "MNER_HEARTBEAT_S": "0.3"}


async def test_a_worker_killed_three_times_in_the_middle_of_5000_posts_loses_none(lab):
    await lab.send(5_000)
    for answered in (500, 1_500, 2_500):
        worker = lab.start_worker(**SLOWLY, **SOON_MISSED)
        await lab.until_answered(answered)
        worker.kill()
        assert len(lab.answers) < 5_000, "it was not in the middle"
    survivor = lab.start_worker()
    await lab.until_all_answered()
    survivor.terminate()
    assert await survivor.exit_status() == 0
    assert await lab.committed() == lab.ends
    print(f"{lab.twice} of 5,000 answered twice")


async def test_workers_that_join_and_leave_under_load_lose_nothing_and_the_leaver_drains(lab):
    first = lab.start_worker(STUB_SECONDS="0.1")
    await until(first.is_ready, "the first worker", explain=lab.logs)
    async with _steady_load(lab, posts_per_s=500):
        await lab.until_answered(300)
        second = lab.start_worker(STUB_SECONDS="0.1")
        await until(lambda: _has_partitions(second), "the second worker to get its share", explain=lab.logs)
        first.terminate()
        assert await first.exit_status() == 0
        assert "drained, leaving" in first.log
    await lab.until_all_answered()
    second.terminate()
    assert await second.exit_status() == 0
    assert await lab.committed() == lab.ends
    assert lab.twice == 0, "a graceful change of hands sends nothing twice"


async def test_posts_still_open_when_their_partitions_leave_are_answered_once_by_whoever_has_them_next(lab, tmp_path):
    """Nothing is committed yet and the drain is too short: all is read again, and the late results are dropped."""
    gate = tmp_path / "gate"
    gate.touch()
    first = lab.start_worker(STUB_GATE=str(gate))
    await until(first.is_ready, "the first worker", explain=lab.logs)
    await lab.send(200)
    await until(lambda: _has_open_posts(first), "open posts", explain=lab.logs)
    second = lab.start_worker()
    await until(lambda: _has_partitions(second), "the second worker to get its share", explain=lab.logs)
    assert "still open" in first.log
    gate.unlink()
    await lab.until_all_answered()
    for worker in (first, second):
        worker.terminate()
        assert await worker.exit_status() == 0
    await lab.read_answers()
    assert lab.twice == 0


async def test_a_topic_that_was_deleted_and_made_anew_is_read_from_its_beginning(kafka_lab):
    lab = kafka_lab
    worker = lab.start_worker()
    await lab.send(300)
    await lab.until_all_answered()
    await lab.make_posts_topic_anew()
    await lab.send(100)
    await lab.until_all_answered()
    worker.terminate()
    assert await worker.exit_status() == 0
    assert await lab.committed() == lab.ends


async def test_a_log_that_lost_its_end_and_was_filled_anew_is_read_as_a_whole(kafka_lab):
    """As after an unclean election: what was committed lies inside the new log, before posts that were never read."""
    lab = kafka_lab
    await lab.send(400)
    await lab.commit({number: (end // 2, "last_timestamp_ms=1") for number, end in lab.ends.items()})
    lab.start_worker()
    await lab.until_all_answered()


async def test_posts_of_aborted_transactions_are_not_answered(kafka_lab):
    lab = kafka_lab
    plain = lab.producer
    lab.producer = AIOKafkaProducer(bootstrap_servers=lab.bootstrap, transactional_id=lab.group)
    await lab.producer.start()
    for aborted in (True, False, True, False):
        await lab.producer.begin_transaction()
        await lab.send(50, text="aborted" if aborted else "committed", expect=not aborted)
        await (lab.producer.abort_transaction() if aborted else lab.producer.commit_transaction())
    await lab.producer.stop()
    lab.producer = plain
    await lab.send(1)
    worker = lab.start_worker()
    await lab.until_all_answered()
    worker.terminate()
    assert await worker.exit_status() == 0
    await lab.read_answers()
    assert sum(lab.answers.values()) == 101


async def test_a_record_that_the_broker_refuses_is_dead_lettered_and_the_stream_goes_on(make_lab, kafka_bootstrap):
    lab = await make_lab(kafka_bootstrap).open(entities_config={"max.message.bytes": "20000"})
    lab.start_worker()
    await lab.send(10)
    await lab.until_all_answered()
    await lab.send(1, text="🙂" * 10_000)
    await lab.until_all_answered()
    await lab.send(10)
    await lab.until_all_answered()
    assert names(lab.dead) == {"post-10"}
    assert dict(lab.dead[0].headers)["error.reason"] == b"publish_failed"


async def test_records_refused_only_for_the_batch_that_they_were_sent_in_are_answered_all_the_same(
    make_lab, kafka_bootstrap
):
    lab = await make_lab(kafka_bootstrap).open(entities_config={"max.message.bytes": "4000"})
    await lab.send(300, text="a text like many others, of some 80 characters, which is what most posts have")
    worker = lab.start_worker()
    await lab.until_all_answered()
    worker.terminate()
    assert await worker.exit_status() == 0
    assert lab.dead == []


async def test_a_post_whose_key_alone_is_too_large_for_a_dead_letter_does_not_stop_the_stream(kafka_lab):
    """It fits its own topic compressed."""
    lab = kafka_lab
    async with AIOKafkaProducer(
        bootstrap_servers=lab.bootstrap, compression_type="gzip", max_request_size=2**24
    ) as producer:
        await producer.send_and_wait(lab.posts_topic, None, b"k" * 3_000_000, headers=[("trace", b"t" * 2_000_000)])
    await lab.send(10)
    worker = lab.start_worker()
    await lab.until_all_answered()
    await until(lambda: _is_dead(lab, "key.omitted_bytes"), "the dead letter", explain=lab.logs)
    worker.terminate()
    assert await worker.exit_status() == 0
    [letter] = lab.dead
    headers = dict(letter.headers)
    assert (letter.key, letter.value, headers["key.omitted_bytes"]) == (None, b"", b"3000000")
    assert headers["headers.omitted_bytes"] == b"2000005"


async def test_a_worker_waits_for_topics_that_are_missing_and_says_which(make_lab, kafka_bootstrap):
    lab = make_lab(kafka_bootstrap)
    worker = lab.start_worker(MNER_LOG_LEVEL="DEBUG")
    await until(
        lambda: f"topic {lab.entities_topic}.per" in worker.log and "`mner-worker topics`" in worker.log,
        "the worker to say so",
        explain=lab.logs,
    )
    (reason,) = await worker.why_not_ready()
    assert reason.startswith("waiting for topic ")
    assert lab.posts_topic in reason
    assert worker.log.count(" aiokafka") < 10
    await lab.open()
    await lab.send(10)
    await lab.until_all_answered()


async def test_an_error_that_nobody_foresaw_ends_the_worker_unacknowledged_and_its_posts_come_again(lab):
    await lab.send(100)
    worker = lab.start_worker(STUB_STUMBLES_OVER="post-50")
    assert await worker.exit_status() == 70
    assert "nobody foresaw post-50" in worker.log
    lab.start_worker()
    await lab.until_all_answered()


async def test_a_worker_outlives_a_broker_that_is_killed_and_comes_back(make_lab, needs_kafka, tmp_path):
    with ApacheKafka(tmp_path / "mortal") as broker:
        lab = await make_lab(broker.bootstrap).open()
        worker = lab.start_worker(STUB_SECONDS="0.1", MNER_OPEN_POSTS_MAX="64")
        await lab.send(3_000)
        await lab.until_answered(500)
        broker.kill()
        broker.start()
        await lab.until_all_answered()
        worker.terminate()
        assert await worker.exit_status() == 0
        assert await lab.committed() == lab.ends
        await lab.close_clients()


async def test_a_worker_waits_for_its_broker_and_says_so(make_lab, tmp_path):
    port = free_port()
    lab = make_lab(f"127.0.0.1:{port}")
    worker = lab.start_worker()
    await until(lambda: f"no broker at 127.0.0.1:{port}" in worker.log, "the worker to say so", explain=lab.logs)
    assert "waiting for a broker" in await worker.why_not_ready()
    with EmbeddedBroker(tmp_path / "late", port):
        await lab.open()
        await lab.send(10)
        await lab.until_all_answered()
        worker.terminate()
        assert await worker.exit_status() == 0
        await lab.close_clients()


async def test_a_worker_that_waits_for_its_broker_leaves_at_once_when_asked(make_lab):
    lab = make_lab(f"127.0.0.1:{free_port()}")
    worker = lab.start_worker()
    await until(lambda: "no broker at" in worker.log, "the worker to say so", explain=lab.logs)
    worker.terminate()
    assert await worker.exit_status(timeout_s=10) == 0, worker.log


async def test_a_worker_whose_broker_is_away_leaves_in_bounded_time(make_lab, tmp_path):
    broker = EmbeddedBroker(tmp_path / "lost").start()
    lab = await make_lab(broker.bootstrap).open()
    clocks = (
        "worker.app.LEAVE_TIMEOUT_S=1 worker.app.HARD_EXIT_MARGIN_S=6 "
        "worker.delivery.transport.client.COMMIT_TIMEOUT_S=1"
    )
    slowly = {"STUB_SECONDS": "0.5", "MNER_OPEN_POSTS_MAX": "64"}
    worker = lab.start_worker(STUB_CLOCKS=clocks, MNER_DRAIN_TIMEOUT_S="1", **slowly)
    await lab.send(2_000)
    await lab.until_answered(100)
    await lab.close_clients()
    broker.kill()
    asked_at = time.monotonic()
    worker.terminate()
    assert await worker.exit_status() in (70, 71)
    assert time.monotonic() - asked_at < 12, "the drain's second, six for everything after it, and some for a slow exit"


@contextlib.asynccontextmanager
async def _steady_load(lab, *, posts_per_s):
    """Posts all the while, however long what happens meanwhile takes on a busy machine."""
    enough = asyncio.Event()

    async def send():
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not enough.is_set():
            await lab.send(posts_per_s // 10)
            due = max(due + 0.1, loop.time())
            await asyncio.sleep(due - loop.time())

    sending = asyncio.create_task(send())
    try:
        yield
    finally:
        enough.set()
        await sending


async def _is_dead(lab, header):
    await lab.read_answers()
    return any(header in dict(letter.headers) for letter in lab.dead)


async def _has_open_posts(worker):
    return await worker.metric("mner_open_posts") > 0


async def _has_partitions(worker):
    return await worker.is_ready() and any(f": [{number}" in worker.log for number in range(PARTITIONS))
