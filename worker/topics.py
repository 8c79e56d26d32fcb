"""The worker's topics: their names, partitions and clean-up, and making the ones that are missing."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from worker.broker import client_options
from worker.settings import MENTION_TOPIC_SUFFIXES, Settings

RETRY_S = 0.1


class TopicsUnavailable(RuntimeError):
    """A topic could not be made, or had no leader in time; the message names it and the broker's reason."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it should be made; an existing one is left as it is."""

    name: str
    partitions: int
    compacted: bool = False
    """Keep the last record of each key, so that a tombstone deletes: what `entities` needs."""


def worker_topics(settings: Settings, *, partitions: int = 4) -> tuple[Topic, ...]:
    """Every topic of one worker group; dead letters are few and read by people, so one partition keeps their order."""
    entities = settings.entities_topic
    return (
        Topic(settings.posts_topic, partitions),
        Topic(entities, partitions, compacted=True),
        *(Topic(entities + suffix, partitions) for suffix in MENTION_TOPIC_SUFFIXES),
        Topic(settings.dead_topic, 1),
    )


async def make_worker_topics(settings: Settings, *, partitions: int, replication_factor: int) -> tuple[str, ...]:
    """Make those of a worker's topics that are missing; returns their names. Raises TopicsUnavailable if it cannot."""
    wanted = worker_topics(settings, partitions=partitions)
    try:
        return await ensure_topics(wanted, replication_factor=replication_factor, **client_options(settings))
    except KafkaError as error:
        raise TopicsUnavailable(f"no topics could be made at {', '.join(settings.brokers)}: {error}") from error


async def ensure_topics(
    topics: Iterable[Topic], *, replication_factor: int = 1, timeout_s: float = 30.0, **client_options: Any
) -> tuple[str, ...]:
    """Make the topics that are missing and wait until each has a leader for every partition.

    client_options   for aiokafka, bootstrap_servers among them (`worker.broker.client_options` has them all)
    returns          the names that were made

    Raises TopicsUnavailable with the broker's reason, aiokafka.errors.KafkaError where no broker answers.
    """
    wanted = {topic.name: topic for topic in topics}
    admin = AIOKafkaAdminClient(**client_options)
    try:
        await admin.start()
        made = await _create(admin, wanted, replication_factor, timeout_s)
        await _wait_for_leaders(admin, list(wanted), timeout_s)
    finally:
        await admin.close()
    return made


async def _create(
    admin: AIOKafkaAdminClient, wanted: dict[str, Topic], replication_factor: int, timeout_s: float
) -> tuple[str, ...]:
    missing = sorted(wanted.keys() - set(await admin.list_topics()))
    if not missing:
        return ()
    requests = [_new_topic(wanted[name], replication_factor) for name in missing]
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


def _new_topic(topic: Topic, replication_factor: int) -> NewTopic:
    policy = {"cleanup.policy": "compact"} if topic.compacted else {}
    return NewTopic(topic.name, topic.partitions, replication_factor, topic_configs=policy)


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
