"""The AsyncAPI document says of partitions and clean-up what Apache Kafka says of the topics that the worker makes."""

import uuid

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from worker.delivery.topics import make_worker_topics
from worker.messages.asyncapi import asyncapi_document
from worker.settings import Settings

pytestmark = pytest.mark.integration


async def test_the_topics_are_as_documented(kafka_bootstrap: str) -> None:
    own = uuid.uuid4().hex[:8]
    topics = {f"MNER_{name}_TOPIC": f"{own}.{name.lower()}" for name in ("POSTS", "ENTITIES", "DEAD")}
    settings = Settings.load({"MNER_BROKERS": kafka_bootstrap, **topics})
    bindings = [channel["bindings"]["kafka"] for channel in asyncapi_document(settings)["channels"].values()]

    made = (await make_worker_topics(settings, partitions=4, replication_factor=1)).made
    assert sorted(made) == sorted(binding["topic"] for binding in bindings)

    admin = AIOKafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    await admin.start()
    try:
        described = await admin.describe_topics(list(made))
        configs = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in made])
    finally:
        await admin.close()
    partitions = {topic["topic"]: len(topic["partitions"]) for topic in described}
    policies = {
        name: next(entry[1] for entry in entries if entry[0] == "cleanup.policy")
        for response in configs
        for _, _, _, name, entries in response.resources
    }
    for binding in bindings:
        assert partitions[binding["topic"]] == binding["partitions"]
        assert [policies[binding["topic"]]] == binding["topicConfiguration"]["cleanup.policy"]
