"""Kafka and Redis do what docker-compose.yml tells them to: the real servers, with its variables and commands.

Kafka's variables go through the code by which its image reads them. Only addresses and folders are this machine's.
"""

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import UnknownTopicOrPartitionError
from compose_file import ROOT, compose, container_environ
from lab import KAFKA_SCRIPT, ApacheKafka, apache_kafka_is_here

from worker.demo.embedded import EmbeddedRedis, free_port

IN_CI = os.environ.get("CI") == "true"
DAY_MS = 86_400_000

pytestmark = pytest.mark.integration


class KafkaOfTheImage(ApacheKafka):
    """Apache Kafka as its image starts it with the environment of the compose file's service."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.outside_port = free_port()

    def _command(self) -> Sequence[str]:
        service = compose(STACK_KAFKA_PORT=str(self.outside_port))["services"]["kafka"]
        environ = container_environ(service)
        here = {
            "INSIDE://:9092": f"INSIDE://127.0.0.1:{self.port}",
            "INSIDE://kafka:9092": f"INSIDE://127.0.0.1:{self.port}",
            "OUTSIDE://:29092": f"OUTSIDE://127.0.0.1:{self.outside_port}",
            "CONTROLLER://:9093": (controller := f"CONTROLLER://127.0.0.1:{free_port()}"),
            "1@kafka:9093": "1@" + controller.removeprefix("CONTROLLER://"),
            "/var/lib/kafka/data": str(self.directory / "data"),
        }
        for name, value in environ.items():
            environ[name] = ",".join(here.get(part, part) for part in value.split(","))
        folders = [self.directory / name for name in ("default", "mounted", "final")]
        for folder in folders:
            folder.mkdir(exist_ok=True)
            (folder / "server.properties").touch()
        libraries = shlex.quote(f"{KAFKA_SCRIPT.parent}/libs/*")
        logging = shlex.quote(f"-Dlog4j2.configurationFile={KAFKA_SCRIPT.parent}/log4j2.yaml")
        default, mounted, final = map(shlex.quote, map(str, folders))
        script = (
            f"rm {mounted}/server.properties; java {logging} -cp {libraries} kafka.docker.KafkaDockerWrapper setup"
            f" --default-configs-dir {default} --mounted-configs-dir {mounted} --final-configs-dir {final}"
            f" && exec java $KAFKA_HEAP_OPTS {logging} -cp {libraries} kafka.Kafka {final}/server.properties"
        )
        return ["env", *(f"{name}={value}" for name, value in environ.items()), "bash", "-c", script]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaOfTheImage]:
    if not apache_kafka_is_here():
        if IN_CI and KAFKA_SCRIPT.exists():
            pytest.fail("Apache Kafka is beside the checkout, but there is no Java to run it")
        pytest.skip(f"no Apache Kafka: there is no {KAFKA_SCRIPT}, or no Java to run it")
    broker = KafkaOfTheImage(tmp_path_factory.mktemp("kafka")).start(timeout_s=180.0)  # two JVMs, one after the other
    yield broker
    broker.stop()


@pytest.fixture
async def admin(kafka: KafkaOfTheImage) -> Any:
    client = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await client.start()
    yield client
    await client.close()


async def test_kafka_sends_each_side_to_the_listener_that_it_came_by(kafka: KafkaOfTheImage) -> None:
    for port in (kafka.port, kafka.outside_port):
        client = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{port}")
        await client.start()
        brokers = (await client.describe_cluster())["brokers"]
        await client.close()
        assert [(broker["host"], broker["port"]) for broker in brokers] == [("127.0.0.1", port)]


async def test_kafka_makes_no_topic_because_somebody_asks_for_it(
    kafka: KafkaOfTheImage, admin: AIOKafkaAdminClient
) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as curious:
        with pytest.raises((UnknownTopicOrPartitionError, TimeoutError)):
            async with asyncio.timeout(3):
                await curious.partitions_for("entities.who")
    assert "entities.who" not in await admin.list_topics()


@pytest.fixture(scope="module")
def made(kafka: KafkaOfTheImage) -> list[str]:
    """The names of the topics that the compose file's command made."""
    return run_topics(kafka)


def run_topics(kafka: KafkaOfTheImage) -> list[str]:
    command = [sys.executable, "-m", "worker", *compose()["services"]["topics"]["command"]]
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "MNER_BROKERS": kafka.bootstrap}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


async def test_the_topics_are_made_with_their_partitions_retention_compaction_and_sizes(
    made: list[str], admin: AIOKafkaAdminClient
) -> None:
    described = await admin.describe_topics(made)
    partitions = {topic["topic"]: len(topic["partitions"]) for topic in described}
    mentions = [f"entities.{type_}" for type_ in ("per", "loc", "org", "misc")]
    assert partitions == {**dict.fromkeys(["posts", "entities", *mentions], 12), "posts.dead": 1}

    configs = {name: await configs_of(admin, name) for name in made}
    assert {name for name in made if configs[name]["cleanup.policy"] == "compact"} == {"entities"}
    retention_days = {name: int(configs[name]["retention.ms"]) / DAY_MS for name in made if name != "entities"}
    assert retention_days == {**dict.fromkeys(["posts", *mentions], 7), "posts.dead": 30}
    assert int(configs["entities"]["delete.retention.ms"]) == 7 * DAY_MS
    assert {int(configs[name]["max.message.bytes"]) >> 20 for name in ("entities", *mentions)} == {1}
    assert [int(configs[name]["max.message.bytes"]) >> 20 for name in ("posts", "posts.dead")] == [16, 17]
    assert {configs[name]["min.insync.replicas"] for name in made} == {"1"}


async def configs_of(admin: AIOKafkaAdminClient, topic: str) -> dict[str, str]:
    (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    ((code, message, _, _, entries),) = response.resources
    assert code == 0, message
    return {entry[0]: entry[1] for entry in entries}


async def test_topics_that_are_there_are_left_as_they_are(
    made: list[str], kafka: KafkaOfTheImage, admin: AIOKafkaAdminClient
) -> None:
    before = {name: await configs_of(admin, name) for name in made}
    assert run_topics(kafka) == []
    assert {name: await configs_of(admin, name) for name in made} == before


async def test_a_new_group_goes_on_where_the_handbooks_lines_say_that_another_was(
    kafka: KafkaOfTheImage, made: list[str], tmp_path: Path
) -> None:
    handbook = (ROOT / "docs" / "operations.md").read_text("utf-8")
    export, take = re.findall(r"^kafka-consumer-groups .* (?:OLD|NEW) .*$", handbook, re.MULTILINE)
    reached = {0: 4, 1: 7, 2: 0}
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
        for partition in range(12):
            await producer.send_and_wait("posts", b"{}", partition=partition)
        for _ in range(9):
            await asyncio.gather(*[await producer.send("posts", b"{}", partition=partition) for partition in reached])
    offsets = {TopicPartition("posts", partition): offset for partition, offset in reached.items()}
    async with AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, group_id="before", enable_auto_commit=False) as old:
        old.assign(list(offsets))
        await old.commit(offsets)

    tool = (
        f"java -Xmx128m -cp '{KAFKA_SCRIPT.parent}/libs/*' org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
    )
    here = {"kafka-consumer-groups": tool, "BROKER": kafka.bootstrap, "OLD": "before", "NEW": "after"}
    for line in (export, take):
        command = re.sub("|".join(here), lambda said: here[said[0]], line)
        done = await asyncio.to_thread(
            subprocess.run, command, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False
        )
        assert done.returncode == 0, done.stderr

    wanted = reached | dict.fromkeys(range(3, 12), 1)  # where nothing was committed: the end, as the handbook warns
    client = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await client.start()
    copied = await client.list_consumer_group_offsets("after")
    await client.close()
    assert {place.partition: found.offset for place, found in copied.items()} == wanted


class RedisOfTheFile(EmbeddedRedis):
    """Redis with the compose file's command."""

    def _command(self) -> Sequence[str]:
        program, *_ = super()._command()
        service = compose(STACK_REDIS_MAXMEMORY="100mb")["services"]["redis"]
        assert service["entrypoint"] == ["redis-server"]
        options = [str(self.directory) if option == "/data" else option for option in service["command"]]
        return (program, *options, "--bind", "127.0.0.1", "--port", str(self.port))


def test_redis_is_a_cache_that_survives_a_restart_and_forgets_what_was_not_asked_for_longest(tmp_path: Path) -> None:
    with RedisOfTheFile(tmp_path) as server:
        client = redis.Redis.from_url(server.url)
        wanted = {"maxmemory": str(100 * 2**20), "maxmemory-policy": "allkeys-lru", "save": "300 1", "appendonly": "no"}
        assert {name: client.config_get(name)[name] for name in wanted} == wanted
        client.set("digest", json.dumps([1]))
        client.close()
    with RedisOfTheFile(tmp_path) as server:
        client = redis.Redis.from_url(server.url)
        assert client.get("digest") == b"[1]"
        client.close()
