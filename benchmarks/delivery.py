"""python benchmarks/delivery.py [--rounds 5] [--bootstrap HOST:PORT]

How many posts a second the worker's delivery moves with a stand-in for the model, beside a raw aiokafka loop with
eight batches in flight (as aiokafka comes, and with the worker's batch size) and a plain Faust agent. All read the
same topic of 200-byte posts and forward each value, at least once: a post's offset is committed only after the broker
has confirmed what answers it. A last row shows the worker with its real message codec: a post decoded and checked, an
entity record made and encoded.

Each run is a process of its own, timed from the first to the last record it published, so start-up does not count.
"""

import argparse
import asyncio
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "integration")]

PARTITIONS = 4
POST_BYTES = 200
POSTS = {"ours": 100_000, "raw": 100_000, "raw-tuned": 100_000, "faust": 5_000, "codec": 100_000}
TITLES = {
    "ours": "ours",
    "raw": "raw aiokafka, 8 deep",
    "raw-tuned": "the same, our batches",
    "faust": "plain Faust agent",
    "codec": "ours, real codec",
}
TIMEOUT_S = 180.0


# The contenders, each run as `python benchmarks/delivery.py --as NAME BOOTSTRAP POSTS_TOPIC OUT_TOPIC`


def ours(bootstrap: str, posts: str, out: str, *, codec: bool = False) -> int:
    """The worker itself; only the pipeline is a stand-in."""
    from lab import worker_environ
    from stub_worker import StubPipeline

    from worker import app
    from worker.delivery.topics import make_worker_topics
    from worker.messages.records import Outcome, OutgoingMessage
    from worker.settings import Settings

    class Forward(StubPipeline):
        """Forwards the value as it is, like the others."""

        async def answers(self, records: Sequence[Any]) -> AsyncGenerator[list[Outcome], None]:
            yield [Outcome(post, (OutgoingMessage(out, post.key, post.value),), "tagged") for post in records]

    environ = worker_environ(bootstrap, MNER_GROUP=out, MNER_POSTS_TOPIC=posts, MNER_ENTITIES_TOPIC=out)
    settings = Settings.load(environ)
    asyncio.run(make_worker_topics(settings, partitions=PARTITIONS, replication_factor=1))
    return app.run(settings, pipeline_factory=StubPipeline if codec else Forward)


async def raw(bootstrap: str, posts: str, out: str, **producer_options: Any) -> None:
    """What one would write by hand: eight fetches in flight, all sends confirmed, commits of the done prefix."""
    consumer = AIOKafkaConsumer(
        posts,
        bootstrap_servers=bootstrap,
        group_id=out,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
    )
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=5, **producer_options)
    await consumer.start()
    await producer.start()

    async def forward(records: list[Any]) -> None:
        confirmations = [await producer.send(out, record.value, record.key) for record in records]
        for confirmation in confirmations:
            await confirmation

    in_flight: deque[tuple[asyncio.Task[None], dict[TopicPartition, int]]] = deque()
    done: dict[TopicPartition, int] = {}
    committed_at = time.monotonic()
    while True:
        fetched = await consumer.getmany(timeout_ms=100, max_records=500)
        records = [record for batch in fetched.values() for record in batch]
        if records:
            ends = {partition: batch[-1].offset + 1 for partition, batch in fetched.items()}
            in_flight.append((asyncio.create_task(forward(records)), ends))
        while in_flight and (len(in_flight) >= 8 or in_flight[0][0].done()):
            task, ends = in_flight.popleft()
            await task
            done |= ends
        if done and time.monotonic() - committed_at > 0.25:
            await consumer.commit(done)
            done, committed_at = {}, time.monotonic()


def plain_faust(bootstrap: str, posts: str, out: str) -> None:
    """The agent of Faust's own documentation, with sends confirmed."""
    import faust

    app = faust.App(
        out,
        broker=f"kafka://{bootstrap}",
        datadir=tempfile.mkdtemp(),
        topic_disable_leader=True,
        topic_allow_declare=False,
        producer_acks=-1,
        producer_linger=0.005,
        consumer_auto_offset_reset="earliest",
    )
    source = app.topic(posts, key_serializer="raw", value_serializer="raw")
    target = app.topic(out, key_serializer="raw", value_serializer="raw")

    @app.agent(source, concurrency=10)
    async def forward(values: Any) -> None:
        async for key, value in values.items():
            await (await target.send(key=key, value=value))

    faust.Worker(app, loglevel="WARNING", quiet=True).execute_from_commandline()


def _run_as(name: str, bootstrap: str, posts: str, out: str) -> int:
    match name:
        case "raw":
            asyncio.run(raw(bootstrap, posts, out))
        case "raw-tuned":
            from worker.delivery.publisher import BATCH_BYTES

            asyncio.run(raw(bootstrap, posts, out, max_batch_size=BATCH_BYTES))
        case "faust":
            plain_faust(bootstrap, posts, out)
        case _:
            return ours(bootstrap, posts, out, codec=name == "codec")
    return 0


# Measuring


async def fill(bootstrap: str, topic: str, count: int) -> None:
    """Posts of 200 bytes each, keyed by their ids."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=20, max_batch_size=2**17)
    await producer.start()
    confirmation = None
    for number in range(count):
        post = {"id": f"post-{number}", "text": ""}
        post["text"] = "x" * (POST_BYTES - len(json.dumps(post)))
        confirmation = await producer.send(topic, json.dumps(post).encode(), post["id"].encode())
    await producer.flush()
    assert confirmation is not None
    await producer.stop()


async def posts_per_second(bootstrap: str, name: str, topic: str) -> float:
    """One run of one of them in a process of its own, over the posts in topic."""
    out = f"{name}-{time.time_ns()}"
    await make_topics(bootstrap, out)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    with tempfile.TemporaryFile() as log:
        command = [sys.executable, __file__, "--as", name, bootstrap, topic, out]
        process = subprocess.Popen(command, stdout=log, stderr=log, env={"PATH": os.environ["PATH"]})  # noqa: ASYNC220
        try:
            await _until_published(consumer, out, POSTS[name], process)
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace")[-4000:])
            raise
        finally:
            process.send_signal(signal.SIGKILL if name.startswith("raw") else signal.SIGTERM)
            await asyncio.to_thread(process.wait, 60)
    first, last = await _first_and_last(consumer, out)
    await consumer.stop()
    return POSTS[name] / (last - first)


async def make_topics(bootstrap: str, *names: str) -> None:
    """New topics of four partitions."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    await admin.create_topics([NewTopic(name, PARTITIONS, 1) for name in names])
    await admin.close()


async def _until_published(consumer: AIOKafkaConsumer, topic: str, count: int, process: Any) -> None:
    partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    deadline = time.monotonic() + TIMEOUT_S
    while sum((await consumer.end_offsets(partitions)).values()) < count:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"only part of the posts came out (status {process.poll()})")
        await asyncio.sleep(0.2)


async def _first_and_last(consumer: AIOKafkaConsumer, topic: str) -> tuple[float, float]:
    """Seconds at which the first and the last record of a topic were published."""
    moments = []
    for number in range(PARTITIONS):
        partition = TopicPartition(topic, number)
        end = (await consumer.end_offsets([partition]))[partition]
        consumer.assign([partition])
        for offset in (0, end - 1):
            consumer.seek(partition, offset)
            moments.append((await consumer.getone()).timestamp / 1000)
    return min(moments), max(moments)


def machine(bootstrap: str) -> str:
    """What a reader needs to know to judge the numbers."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("aiokafka", "faust-streaming"))
    return (
        f"machine      {os.cpu_count()} cores, Python {platform.python_version()}, {libraries}, "
        f"broker at {bootstrap}, load {os.getloadavg()[0]:.1f} before"
    )


async def measure(bootstrap: str, rounds: int) -> None:
    """Rounds of all, alternating, and the table."""
    print(machine(bootstrap))
    topics = {}
    for count in set(POSTS.values()):
        topics[count] = f"posts-{count}-{time.time_ns()}"
        await make_topics(bootstrap, topics[count])
        await fill(bootstrap, topics[count], count)
    for name in POSTS:  # a broker that has just started is slow, and that is nobody's merit
        await posts_per_second(bootstrap, name, topics[POSTS[name]])
    rates: dict[str, list[float]] = {name: [] for name in POSTS}
    for round_number in range(1, rounds + 1):
        for name in POSTS:
            rates[name].append(await posts_per_second(bootstrap, name, topics[POSTS[name]]))
        summary = ", ".join(f"{name} {rate[-1]:,.0f}" for name, rate in rates.items())
        print(f"round {round_number}: {summary}", file=sys.stderr)
    middle = {name: statistics.median(rate) for name, rate in rates.items()}
    print(f"{'':22}{'posts/s':>9}{'min':>9}{'max':>9}   ours is")
    for name, title in TITLES.items():
        ratio = "" if name == "ours" else f"{middle['ours'] / middle[name]:8.2f} ×"
        print(f"{title:22}{middle[name]:9,.0f}{min(rates[name]):9,.0f}{max(rates[name]):9,.0f}{ratio}")
    print(f"{rounds} rounds, alternating; confirmed sends, at least once, {POST_BYTES}-byte values")


def main() -> None:
    """Apache Kafka from beside the checkout, unless another broker is named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--as", dest="as_what", nargs=4, metavar=("NAME", "BOOTSTRAP", "POSTS", "OUT"), help="one run")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bootstrap", help="host:port; default: Apache Kafka, started for this run")
    arguments = parser.parse_args()
    if arguments.as_what:
        sys.exit(_run_as(*arguments.as_what))
    if arguments.bootstrap:
        asyncio.run(measure(arguments.bootstrap, arguments.rounds))
        return
    from lab import ApacheKafka

    with tempfile.TemporaryDirectory() as folder, ApacheKafka(Path(folder)) as broker:
        asyncio.run(measure(broker.bootstrap, arguments.rounds))


if __name__ == "__main__":
    main()
