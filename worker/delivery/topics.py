"""Making those of the worker's topics that are missing, and how existing ones differ from what was asked."""

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from worker.delivery.broker import client_options
from worker.messages.topics import DEAD_RETENTION_S, RETENTION_S, Topic, worker_topics
from worker.settings import Settings

RETRY_S = 0.1


class TopicsUnavailable(RuntimeError):
    """A topic could not be made, or had no leader in time; the message names it and the broker's reason."""


class TopicsThereAre(NamedTuple):
    """What became of the topics that were asked for."""

    made: tuple[str, ...]
    existing: Mapping[str, tuple[str, ...]]
    """Those that were there before: how each differs from what was asked, in Kafka's words; nothing if it does not."""


async def make_worker_topics(
    settings: Settings,
    *,
    partitions: int,
    replication_factor: int,
    min_insync: int | None = None,
    retention_s: float = RETENTION_S,
    dead_retention_s: float = DEAD_RETENTION_S,
) -> TopicsThereAre:
    """Make those of a worker's topics that are missing. Raises TopicsUnavailable if it cannot."""
    wanted = worker_topics(settings, partitions=partitions, retention_s=retention_s, dead_retention_s=dead_retention_s)
    options = client_options(settings)
    try:
        made = await ensure_topics(wanted, replication_factor=replication_factor, min_insync=min_insync, **options)
        others = [topic for topic in wanted if topic.name not in made]
        differ = await differences(others, replication_factor=replication_factor, min_insync=min_insync, **options)
        return TopicsThereAre(made, differ)
    except KafkaError as error:
        raise TopicsUnavailable(f"no topics could be made at {', '.join(settings.brokers)}: {error}") from error


class _Replicas(NamedTuple):
    total: int
    in_sync: int

    @classmethod
    def of(cls, replication_factor: int, min_insync: int | None) -> "_Replicas":
        return cls(replication_factor, min_insync or max(1, replication_factor - 1))


async def ensure_topics(
    topics: Iterable[Topic],
    *,
    replication_factor: int = 1,
    min_insync: int | None = None,
    timeout_s: float = 30.0,
    **client_options: Any,
) -> tuple[str, ...]:
    """Make the topics that are missing and wait until each has a leader for every partition.

    min_insync       copies that must have a record before it is confirmed; None: one less than there are
    client_options   for aiokafka, bootstrap_servers among them (`worker.delivery.broker.client_options` has them all)
    returns          the names that were made

    Raises TopicsUnavailable with the broker's reason, aiokafka.errors.KafkaError where no broker answers.
    """
    wanted = {topic.name: topic for topic in topics}
    admin = AIOKafkaAdminClient(**client_options)
    try:
        await admin.start()
        made = await _create(admin, wanted, _Replicas.of(replication_factor, min_insync), timeout_s)
        await _wait_for_leaders(admin, list(wanted), timeout_s)
    finally:
        await admin.close()
    return made


async def _create(
    admin: AIOKafkaAdminClient, wanted: dict[str, Topic], replicas: _Replicas, timeout_s: float
) -> tuple[str, ...]:
    missing = sorted(wanted.keys() - set(await admin.list_topics()))
    if not missing:
        return ()
    requests = [_new_topic(wanted[name], replicas) for name in missing]
    response = await admin.create_topics(requests, timeout_ms=int(timeout_s * 1_000))
    made = []
    for name, code, *reason in response.topic_errors:
        error = for_code(code)
        if code == 0:
            made.append(name)
        elif error is not TopicAlreadyExistsError:  # another worker of the group was faster
            raise TopicsUnavailable(
                f"topic {name} could not be made: {error.__name__} {' '.join(filter(None, reason))}"
            )
    return tuple(made)


def _new_topic(topic: Topic, replicas: _Replicas) -> NewTopic:
    return NewTopic(topic.name, topic.partitions, replicas.total, topic_configs=_configs(topic, replicas))


def _configs(topic: Topic, replicas: _Replicas) -> dict[str, str]:
    return {**topic.configs(), "min.insync.replicas": str(replicas.in_sync)}


async def _wait_for_leaders(admin: AIOKafkaAdminClient, names: list[str], timeout_s: float) -> None:
    """A topic just made has no leader for a moment, and a consumer that asks then waits for its next refresh."""
    deadline = time.monotonic() + timeout_s
    leaderless = names
    while leaderless:
        try:
            described = await admin.describe_topics(names)
            led = {topic["topic"] for topic in described if _has_leaders(topic)}
            leaderless = [name for name in names if name not in led]
        except KafkaError:
            leaderless = names
        if leaderless and time.monotonic() > deadline:
            raise TopicsUnavailable(f"no leader within {timeout_s:g} s for {', '.join(leaderless)}")
        if leaderless:
            await asyncio.sleep(RETRY_S)


def _has_leaders(topic: dict[str, Any]) -> bool:
    partitions = topic["partitions"]
    return bool(partitions) and all(partition["leader"] >= 0 for partition in partitions)


# Those that there are


async def differences(
    topics: Iterable[Topic], *, replication_factor: int = 1, min_insync: int | None = None, **client_options: Any
) -> dict[str, tuple[str, ...]]:
    """How topics that there are differ from what `ensure_topics` would have made; nothing is changed.

    returns  of each topic a phrase for each difference, such as `retention.ms 1000 (asked 604800000)`

    Raises aiokafka.errors.KafkaError where no broker answers.
    """
    wanted = {topic.name: topic for topic in topics}
    if not wanted:
        return {}
    admin = AIOKafkaAdminClient(**client_options)
    try:
        await admin.start()
        described = {topic["topic"]: topic["partitions"] for topic in await admin.describe_topics(list(wanted))}
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in wanted]
        answers = [resource for answer in await admin.describe_configs(resources) for resource in answer.resources]
    finally:
        await admin.close()
    replicas = _Replicas.of(replication_factor, min_insync)
    found: dict[str, list[str]] = {name: [] for name in wanted}
    for name, topic in wanted.items():
        found[name] += _other_numbers(described[name], topic.partitions, replicas.total)
    for code, _, _, name, entries, *_ in answers:
        if code:  # such as for want of permission, which is no reason to say nothing of the others
            found[name].append(f"its settings cannot be read: {for_code(code).__name__}")
        else:
            effective = {key: value for key, value, *_ in entries}
            found[name] += _other_configs(effective, {"cleanup.policy": "delete"} | _configs(wanted[name], replicas))
    return {name: tuple(phrases) for name, phrases in found.items()}


def _other_numbers(partitions: list[dict[str, Any]], asked_partitions: int, asked_replicas: int) -> Iterator[str]:
    if len(partitions) != asked_partitions:
        yield f"partitions {len(partitions)} (asked {asked_partitions})"
    copies = sorted({len(partition["replicas"]) for partition in partitions})
    if copies != [asked_replicas]:
        yield f"replicas {' to '.join(map(str, copies))} (asked {asked_replicas})"


def _other_configs(effective: Mapping[str, str], asked: Mapping[str, str]) -> Iterator[str]:
    """A broker that does not tell of a setting (Kafka tells of all) is taken to have it as asked."""
    for name, value in asked.items():
        if effective.get(name, value) != value:
            yield f"{name} {effective[name]} (asked {value})"
