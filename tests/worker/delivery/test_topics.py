from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import InvalidTopicError, TopicAlreadyExistsError

from worker.delivery import topics
from worker.delivery.topics import TopicsUnavailable, differences, ensure_topics
from worker.demo.embedded import EmbeddedBroker
from worker.messages.topics import Topic


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    directory: Path = tmp_path_factory.mktemp("broker")
    with EmbeddedBroker(directory) as server:
        yield server


@pytest.mark.integration
async def test_missing_topics_are_made_with_their_partitions_and_existing_ones_left_alone(
    broker: EmbeddedBroker,
) -> None:
    first = Topic("first", 3)
    assert await ensure_topics([first], bootstrap_servers=broker.bootstrap) == ("first",)
    both = [Topic("first", 9), Topic("second", 2, compacted=True)]
    assert await ensure_topics(both, bootstrap_servers=broker.bootstrap) == ("second",)

    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    described = await admin.describe_topics(["first", "second"])
    await admin.close()
    assert {topic["topic"]: len(topic["partitions"]) for topic in described} == {"first": 3, "second": 2}


class AskingAdmin:
    """Stands for a broker without topics, and remembers what it was asked for."""

    asked: ClassVar[list[NewTopic]] = []

    def __init__(self, **_: object) -> None: ...

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def list_topics(self) -> list[str]:
        return []

    async def create_topics(self, requests: list[NewTopic], **_: object) -> SimpleNamespace:
        self.asked[:] = requests
        return SimpleNamespace(topic_errors=[(request.name, 0) for request in requests])

    async def describe_topics(self, names: list[str]) -> list[dict[str, object]]:
        return [{"topic": name, "partitions": [{"leader": 1}]} for name in names]


@pytest.mark.parametrize(
    ("replication_factor", "min_insync", "expected"), [(1, None, "1"), (2, None, "1"), (3, None, "2"), (3, 1, "1")]
)
async def test_one_copy_may_be_away_before_nothing_is_confirmed_any_more(
    replication_factor: int, min_insync: int | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "AIOKafkaAdminClient", AskingAdmin)
    await ensure_topics([Topic("posts", 2)], replication_factor=replication_factor, min_insync=min_insync)
    (asked,) = AskingAdmin.asked
    assert (asked.replication_factor, asked.topic_configs["min.insync.replicas"]) == (replication_factor, expected)


class RefusingAdmin:
    """Stands for a broker that has one topic and refuses to make others."""

    def __init__(self, **_: object) -> None:
        self.response = SimpleNamespace(topic_errors=[("second", InvalidTopicError.errno, "no such names here")])

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def list_topics(self) -> list[str]:
        return ["first"]

    async def create_topics(self, *_: object, **__: object) -> SimpleNamespace:
        return self.response

    async def describe_topics(self, names: list[str]) -> list[dict[str, object]]:
        return [{"topic": name, "partitions": [{"leader": -1 if name == "second" else 1}]} for name in names]


async def test_a_topic_that_cannot_be_made_is_named_with_the_brokers_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "AIOKafkaAdminClient", RefusingAdmin)
    with pytest.raises(TopicsUnavailable, match=r"second could not be made: InvalidTopicError no such names here"):
        await ensure_topics([Topic("first", 1), Topic("second", 1)])


async def test_a_topic_that_another_worker_made_meanwhile_is_no_error_but_waits_for_its_leader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class LateAdmin(RefusingAdmin):
        def __init__(self, **_: object) -> None:
            self.response = SimpleNamespace(topic_errors=[("second", TopicAlreadyExistsError.errno, None)])

    monkeypatch.setattr(topics, "AIOKafkaAdminClient", LateAdmin)
    with pytest.raises(TopicsUnavailable, match=r"no leader within 0 s for second"):
        await ensure_topics([Topic("first", 1), Topic("second", 1)], timeout_s=0.0)


class DescribingAdmin:
    """Stands for a broker that has one topic: two partitions of one and two copies, and these settings."""

    partitions: ClassVar = [{"replicas": [1]}, {"replicas": [1, 2]}]
    answer: ClassVar[tuple[object, ...]] = ()

    def __init__(self, **_: object) -> None: ...

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def describe_topics(self, names: list[str]) -> list[dict[str, object]]:
        return [{"topic": name, "partitions": self.partitions} for name in names]

    async def describe_configs(self, resources: list[object]) -> list[SimpleNamespace]:
        return [SimpleNamespace(resources=[self.answer])]


def configured(**settings: str) -> tuple[object, ...]:
    entries = [(name.replace("_", "."), value, False, 1, False, []) for name, value in settings.items()]
    return (0, "", 2, "posts", entries)


async def test_every_way_in_which_an_existing_topic_differs_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "AIOKafkaAdminClient", DescribingAdmin)
    others = {"cleanup_policy": "compact", "retention_ms": "1000", "max_message_bytes": "5", "min_insync_replicas": "1"}
    monkeypatch.setattr(DescribingAdmin, "answer", configured(**others, segment_ms="7"))
    asked = Topic("posts", 4, retention_s=60.0, max_message_bytes=9)
    assert await differences([asked], replication_factor=3) == {
        "posts": (
            "partitions 2 (asked 4)",
            "replicas 1 to 2 (asked 3)",
            "cleanup.policy compact (asked delete)",
            "retention.ms 1000 (asked 60000)",
            "max.message.bytes 5 (asked 9)",
            "min.insync.replicas 1 (asked 2)",
        )
    }


async def test_settings_that_may_not_be_read_are_a_difference_beside_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(topics, "AIOKafkaAdminClient", DescribingAdmin)
    monkeypatch.setattr(DescribingAdmin, "partitions", [{"replicas": [1]}])
    monkeypatch.setattr(DescribingAdmin, "answer", (29, "no", 2, "posts", []))
    told = await differences([Topic("posts", 2)])
    assert told["posts"] == (
        "partitions 1 (asked 2)",
        "its settings cannot be read: TopicAuthorizationFailedError",
    )
