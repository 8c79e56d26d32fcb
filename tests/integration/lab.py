"""What the delivery tests need: brokers, whole worker processes on them, posts to send and answers to read."""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Self

import aiohttp
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.structs import ConsumerRecord, OffsetAndMetadata

from worker.demo.embedded import EmbeddedBroker, free_port, log_tail
from worker.settings import MENTION_TOPIC_SUFFIXES

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
KAFKA_SCRIPT = ROOT.parent / "shared" / "kafka" / "run"
PARTITIONS = 4
POLL_S = 0.05


class ApacheKafka(EmbeddedBroker):
    """Apache Kafka itself, from beside the checkout."""

    name = "apache-kafka"

    def __init__(self, directory: Path, *properties: str) -> None:
        """directory: as of the embedded one; properties: of the server, name=value."""
        super().__init__(directory, free_port(in_a_row=2))  # the second is its controller's
        self._properties = properties

    def start(self, timeout_s: float = 90.0) -> Self:
        """As the embedded one; a cold JVM on a busy machine takes its time, and one that was killed goes slowly."""
        deadline = time.monotonic() + timeout_s
        while not _is_free(self.port + 1) and time.monotonic() < deadline:
            time.sleep(POLL_S)
        return super().start(timeout_s)

    def _command(self) -> Sequence[str]:
        properties = ("group.min.session.timeout.ms=1000", "auto.create.topics.enable=false")
        return (str(KAFKA_SCRIPT), str(self.port), str(self.directory / "data"), *properties, *self._properties)


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def apache_kafka_is_here() -> bool:
    """Whether its files and a Java to run them are to be had."""
    return KAFKA_SCRIPT.exists() and shutil.which("java") is not None


def worker_environ(bootstrap: str, **more: str) -> dict[str, str]:
    """A whole environment for a worker that rebalances and is missed as quickly as brokers allow."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": str(ROOT),
        "MNER_BROKERS": bootstrap,
        "MNER_REDIS_URL": "",
        "MNER_HTTP_PORT": str(free_port()),
        "MNER_SESSION_TIMEOUT_S": "3",
        "MNER_HEARTBEAT_S": "0.5",
        "MNER_REBALANCE_TIMEOUT_S": "3",
        "MNER_DRAIN_TIMEOUT_S": "10",
        **more,
    }


class WorkerProcess:
    """One worker in a process of its own."""

    def __init__(self, environ: dict[str, str], log_path: Path, *, with_model: bool = False) -> None:
        """with_model: the worker as it is shipped; else one with a stand-in for the model."""
        self.log_path = log_path
        program = ["-m", "worker", "run"] if with_model else [str(HERE / "stub_worker.py")]
        self._base_url = f"http://127.0.0.1:{environ['MNER_HTTP_PORT']}"
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error::ResourceWarning", *program],
                cwd=ROOT,
                env=environ,
                stdout=log,
                stderr=log,
            )

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self.log_path.read_text(errors="replace")

    async def is_ready(self) -> bool:
        """What /ready says."""
        try:
            async with aiohttp.ClientSession() as http, http.get(f"{self._base_url}/ready") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    async def why_not_ready(self) -> list[str]:
        """The reasons of /ready; it must answer."""
        async with aiohttp.ClientSession() as http, http.get(f"{self._base_url}/ready") as response:
            reasons: list[str] = (await response.json())["why_not"]
            return reasons

    async def metric(self, name: str) -> float:
        """The value of a metric without labels; 0 where nobody answers."""
        lines = (await self.metrics_page()).splitlines()
        return next((float(line.split()[-1]) for line in lines if line.startswith(f"{name} ")), 0.0)

    async def metrics_page(self) -> str:
        """What /metrics says; empty where nobody answers."""
        try:
            async with aiohttp.ClientSession() as http, http.get(f"{self._base_url}/metrics") as response:
                return await response.text()
        except aiohttp.ClientError:
            return ""

    def kill(self) -> None:
        """As a crash would: kill -9."""
        self._process.kill()
        self._process.wait()

    def hang_up(self) -> None:
        """Ask it to read its checkpoints again."""
        self._process.send_signal(signal.SIGHUP)

    def terminate(self) -> None:
        """Ask it to drain and leave."""
        self._process.send_signal(signal.SIGTERM)

    async def exit_status(self, timeout_s: float = 60.0) -> int:
        """Its status, once it has ended."""
        return await asyncio.to_thread(self._process.wait, timeout_s)

    def end(self) -> None:
        """However the test went."""
        if self._process.poll() is None:
            self.kill()


class Lab:
    """Topics and a group of one test's own on a broker, and the workers that it starts."""

    def __init__(self, bootstrap: str, name: str, folder: Path) -> None:
        self.bootstrap = bootstrap
        self.group = name
        self.posts_topic, self.entities_topic, self.dead_topic = f"{name}.posts", f"{name}.entities", f"{name}.dead"
        self.posts: list[str] = []
        self.ends: dict[int, int] = {}
        """Behind the last post sent, by partition."""
        self.answers: Counter[str] = Counter()
        self.models: dict[str, str] = {}
        """Name of the model that answered, by post."""
        self.dead: list[ConsumerRecord] = []
        self._folder = folder
        self._workers: list[WorkerProcess] = []
        self._reader: AIOKafkaConsumer | None = None
        self.producer: AIOKafkaProducer | None = None

    async def open(self, *, entities_config: dict[str, str] | None = None) -> Self:
        """Make the topics and the clients; a broker must be there."""
        await self.make_topics(NewTopic(self.posts_topic, PARTITIONS, 1))
        await self.make_topics(NewTopic(self.entities_topic, PARTITIONS, 1, topic_configs=entities_config or {}))
        await self.make_topics(*self.mention_topics())
        await self.make_topics(NewTopic(self.dead_topic, 1, 1))
        self.producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, acks="all", linger_ms=5)
        await self.producer.start()
        self._reader = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, auto_offset_reset="earliest")
        await self._reader.start()
        entities = [TopicPartition(self.entities_topic, number) for number in range(PARTITIONS)]
        self._reader.assign([*entities, TopicPartition(self.dead_topic, 0)])
        return self

    async def close(self) -> None:
        """End everything that the test started."""
        for worker in self._workers:
            worker.end()
        await self.close_clients()

    async def close_clients(self) -> None:
        """To be done before a broker goes: without one, aiokafka's clients pass on that they cancelled their own tasks.

        To pytest that is no failure but the end of everything: fixtures would be left as they are.
        """
        for client in (self.producer, self._reader):
            with contextlib.suppress(asyncio.CancelledError):
                if client is not None:
                    await client.stop()
        self.producer = self._reader = None

    def logs(self) -> str:
        """The ends of the workers' logs."""
        return "\n".join(f"--- {worker.log_path}\n{log_tail(worker.log_path)}" for worker in self._workers)

    # Topics and commits

    def mention_topics(self) -> list[NewTopic]:
        """One for each type; to be made."""
        return [NewTopic(self.entities_topic + suffix, 1, 1) for suffix in MENTION_TOPIC_SUFFIXES]

    async def make_topics(self, *topics: NewTopic) -> None:
        """Make topics; raises where the broker refuses."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            response = await admin.create_topics(list(topics))
            assert all(code == 0 for _, code, *_ in response.topic_errors), response
        finally:
            await admin.close()

    async def make_posts_topic_anew(self) -> None:
        """Delete the topic of posts and make it again, before anybody's question about it makes one by default."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()

        async def is_made() -> bool:
            await admin.delete_topics([self.posts_topic])
            response = await admin.create_topics([NewTopic(self.posts_topic, PARTITIONS, 1)])
            return all(code == 0 for _, code, *_ in response.topic_errors)

        try:
            await until(is_made, "the topic to be made anew")
        finally:
            await admin.close()

    async def committed(self) -> dict[int, int | None]:
        """What the group committed, by partition."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, group_id=self.group, enable_auto_commit=False)
        await consumer.start()
        try:
            return {
                number: await consumer.committed(TopicPartition(self.posts_topic, number))
                for number in range(PARTITIONS)
            }
        finally:
            await consumer.stop()

    async def commit(self, points: dict[int, tuple[int, str]]) -> None:
        """Commit these offsets and metadata, by partition, in the group's name; it must have no members."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap, group_id=self.group, enable_auto_commit=False)
        await consumer.start()
        try:
            partitions = {TopicPartition(self.posts_topic, number): point for number, point in points.items()}
            consumer.assign(list(partitions))
            await consumer.commit({partition: OffsetAndMetadata(*point) for partition, point in partitions.items()})
        finally:
            await consumer.stop()

    # Posts and answers

    async def send(self, count: int, *, text: str = "hello", expect: bool = True) -> None:
        """Send posts with ids never used before in this test, and wait until the broker has them."""
        assert self.producer is not None
        names = [f"post-{len(self.posts) + number}" for number in range(count)]
        if expect:
            self.posts += names
        confirmations = [
            await self.producer.send(self.posts_topic, json.dumps({"id": name, "text": text}).encode(), name.encode())
            for name in names
        ]
        for confirmation in confirmations:
            sent = await confirmation
            self.ends[sent.partition] = sent.offset + 1

    async def read_answers(self) -> None:
        """Take in what was answered by now."""
        assert self._reader is not None
        for partition, records in (await self._reader.getmany(timeout_ms=50)).items():
            for record in records:
                if partition.topic == self.entities_topic:
                    self.answers[record.key.decode()] += 1
                    self.models[record.key.decode()] = (
                        json.loads(record.value or b"{}").get("model", {}).get("name", "")
                    )
                else:
                    self.dead.append(record)

    async def until_answered(self, count: int, timeout_s: float = 90.0) -> None:
        """Until so many posts have an answer, a dead letter counting as one."""
        await until(lambda: self._have_answered(count), f"{count} answers", timeout_s, self.logs)

    async def until_all_answered(self, timeout_s: float = 90.0) -> None:
        """Until every post that was sent has an answer."""
        await until(self._have_answered_all, f"all {len(self.posts)} posts to be answered", timeout_s, self.logs)

    @property
    def twice(self) -> int:
        """How many answers were sent more than once."""
        return sum(self.answers.values()) - len(self.answers)

    async def _have_answered(self, count: int) -> bool:
        await self.read_answers()
        return len(self.answers) + len(self.dead) >= count

    async def _have_answered_all(self) -> bool:
        await self.read_answers()
        return set(self.posts) <= self.answers.keys() | {record.key.decode() for record in self.dead}

    # Workers

    def worker_environ(self, **more: str) -> dict[str, str]:
        """That of a worker of this test's group, on its topics."""
        return worker_environ(
            self.bootstrap,
            MNER_GROUP=self.group,
            MNER_POSTS_TOPIC=self.posts_topic,
            MNER_ENTITIES_TOPIC=self.entities_topic,
            MNER_DEAD_TOPIC=self.dead_topic,
            **more,
        )

    def start_worker(self, *, with_model: bool = False, **more: str) -> WorkerProcess:
        """A worker of this test's group, with a stand-in for the model unless it is told otherwise."""
        log_path = self._folder / f"worker-{len(self._workers)}.log"
        worker = WorkerProcess(self.worker_environ(**more), log_path, with_model=with_model)
        self._workers.append(worker)
        return worker


async def until(
    condition: Callable[[], object], what: str, timeout_s: float = 60.0, explain: Callable[[], str] = str
) -> None:
    """Until the condition holds, which may be a coroutine function; fails with what was waited for."""
    deadline = time.monotonic() + timeout_s
    while True:
        holds = condition()
        if asyncio.iscoroutine(holds):
            holds = await holds
        if holds:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s:g} s for {what}\n{explain()}")
        await asyncio.sleep(POLL_S)


def names(records: Iterable[ConsumerRecord]) -> set[str]:
    """The ids of posts in dead letters."""
    return {record.key.decode() for record in records}
