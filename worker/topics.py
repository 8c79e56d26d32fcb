"""The worker's topics: their names, partitions, clean-up and sizes, and making the ones that are missing."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from worker.broker import client_options
from worker.messages import POST_MAX_BYTES
from worker.settings import MENTION_TOPIC_SUFFIXES, Settings

RETRY_S = 0.1
DAY_S = 86_400.0
RETENTION_S = 7 * DAY_S
DEAD_RETENTION_S = 30 * DAY_S
# A dead letter is the post as it came, and says in its headers why.
DEAD_MAX_BYTES = POST_MAX_BYTES + (1 << 20)
# A record or mention is some KiB, but the worker sends them in batches of 128 KiB, and it is batches that are measured.
ANSWERS_MAX_BYTES = 1 << 20


class TopicsUnavailable(RuntimeError):
    """A topic could not be made, or had no leader in time; the message names it and the broker's reason."""


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it should be made; an existing one is left as it is. What is None is the broker's to choose."""

    name: str
    partitions: int
    compacted: bool = False
    """Keep the last record of each key, so that a tombstone deletes: what `entities` needs."""
    retention_s: float | None = None
    """How long records are kept; in a compacted topic tombstones, so that subscribers who were away see them too."""
    max_message_bytes: int | None = None

    def configs(self) -> dict[str, str]:
        """The topic's settings in Kafka's words."""
        configs = {}
        if self.compacted:
            configs["cleanup.policy"] = "compact"
            # Else the newest segment is never compacted, and what a tombstone deletes may stay for ever.
            configs["max.compaction.lag.ms"] = _milliseconds(DAY_S)
        if self.retention_s is not None:
            configs["delete.retention.ms" if self.compacted else "retention.ms"] = _milliseconds(self.retention_s)
        if self.max_message_bytes is not None:
            configs["max.message.bytes"] = str(self.max_message_bytes)
        return configs


def worker_topics(
    settings: Settings,
    *,
    partitions: int = 4,
    retention_s: float = RETENTION_S,
    dead_retention_s: float = DEAD_RETENTION_S,
) -> tuple[Topic, ...]:
    """Every topic of one worker group; dead letters are few and read by people, so one partition keeps their order.

    retention_s       how long posts and mentions are kept, and the tombstones of entity records, which stay themselves;
                      a worker that is away for longer loses posts
    dead_retention_s  how long dead letters wait for somebody to look at them
    """
    entities = settings.entities_topic
    return (
        Topic(settings.posts_topic, partitions, retention_s=retention_s, max_message_bytes=POST_MAX_BYTES),
        Topic(entities, partitions, compacted=True, retention_s=retention_s, max_message_bytes=ANSWERS_MAX_BYTES),
        *(
            Topic(entities + suffix, partitions, retention_s=retention_s, max_message_bytes=ANSWERS_MAX_BYTES)
            for suffix in MENTION_TOPIC_SUFFIXES
        ),
        Topic(settings.dead_topic, 1, retention_s=dead_retention_s, max_message_bytes=DEAD_MAX_BYTES),
    )


async def make_worker_topics(
    settings: Settings,
    *,
    partitions: int,
    replication_factor: int,
    min_insync: int | None = None,
    retention_s: float = RETENTION_S,
    dead_retention_s: float = DEAD_RETENTION_S,
) -> tuple[str, ...]:
    """Make those of a worker's topics that are missing; returns their names. Raises TopicsUnavailable if it cannot."""
    wanted = worker_topics(settings, partitions=partitions, retention_s=retention_s, dead_retention_s=dead_retention_s)
    try:
        return await ensure_topics(
            wanted, replication_factor=replication_factor, min_insync=min_insync, **client_options(settings)
        )
    except KafkaError as error:
        raise TopicsUnavailable(f"no topics could be made at {', '.join(settings.brokers)}: {error}") from error


class _Replicas(NamedTuple):
    total: int
    in_sync: int


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
    client_options   for aiokafka, bootstrap_servers among them (`worker.broker.client_options` has them all)
    returns          the names that were made

    Raises TopicsUnavailable with the broker's reason, aiokafka.errors.KafkaError where no broker answers.
    """
    wanted = {topic.name: topic for topic in topics}
    admin = AIOKafkaAdminClient(**client_options)
    try:
        await admin.start()
        replicas = _Replicas(replication_factor, min_insync or max(1, replication_factor - 1))
        made = await _create(admin, wanted, replicas, timeout_s)
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
    configs = {**topic.configs(), "min.insync.replicas": str(replicas.in_sync)}
    return NewTopic(topic.name, topic.partitions, replicas.total, topic_configs=configs)


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1_000))


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
