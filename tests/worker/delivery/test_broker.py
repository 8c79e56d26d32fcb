import asyncio
import ssl
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError, UnknownTopicOrPartitionError

from worker.delivery import broker
from worker.delivery.broker import (
    client_options,
    last_answer,
    remedy,
    start_when_a_broker_answers,
    topic_errors,
    wait_for_topics,
)
from worker.settings import Settings


class Client:
    """Answers at the third attempt."""

    def __init__(self) -> None:
        self.attempts = 0

    async def start(self):
        self.attempts += 1
        if self.attempts < 3:
            raise KafkaConnectionError("connection refused")


def options(**environ):
    return client_options(Settings.load({f"MNER_{name}": value for name, value in environ.items()}))


def test_a_plain_broker_needs_its_addresses_only():
    assert options(BROKERS="one:9092,two:9092", GROUP="mine") == {
        "bootstrap_servers": ["one:9092", "two:9092"],
        "client_id": "mine",
        "security_protocol": "PLAINTEXT",
    }


def test_a_login_over_tls_brings_its_mechanism_name_password_and_a_context_that_checks_names():
    made = options(
        SECURITY_PROTOCOL="SASL_SSL", SASL_MECHANISM="SCRAM-SHA-512", SASL_USERNAME="me", SASL_PASSWORD="secret"
    )
    assert made["sasl_mechanism"] == "SCRAM-SHA-512"
    assert (made["sasl_plain_username"], made["sasl_plain_password"]) == ("me", "secret")
    assert made["ssl_context"].verify_mode is ssl.CERT_REQUIRED
    assert made["ssl_context"].check_hostname


def test_a_login_without_tls_brings_no_context():
    made = options(SECURITY_PROTOCOL="SASL_PLAINTEXT", SASL_MECHANISM="PLAIN", SASL_USERNAME="me", SASL_PASSWORD="x")
    assert "ssl_context" not in made


@pytest.fixture
def _at_once(monkeypatch):
    monkeypatch.setattr(broker, "FIRST_WAIT_S", 0.0)


@pytest.mark.usefixtures("_at_once")
async def test_it_waits_for_a_broker_and_says_so_each_time(caplog):
    client = Client()
    await start_when_a_broker_answers(client, ("one:9092",))
    assert client.attempts == 3
    assert [message.startswith("no broker at one:9092") for message in caplog.messages] == [True, True]


class TopicClient:
    """Finds the topics it has, looks for ever for one called `lost`, and may not read one called `secret`."""

    def __init__(self, *topics):
        self.topics = set(topics)
        self.looks = 0

    async def partitions_for(self, topic):
        self.looks += 1
        if topic == "secret":
            raise TopicAuthorizationFailedError(topic)
        if topic not in self.topics:
            await asyncio.Event().wait()
        return {0}


@pytest.fixture
def _impatient(monkeypatch):
    monkeypatch.setattr(broker, "TOPIC_TIMEOUT_S", 0.01)


@pytest.mark.usefixtures("_impatient")
async def test_topics_that_cannot_be_used_are_told_with_the_reason():
    errors = await topic_errors(TopicClient("posts"), ["posts", "lost", "secret"])
    assert {topic: type(error) for topic, error in errors.items()} == {
        "lost": UnknownTopicOrPartitionError,
        "secret": TopicAuthorizationFailedError,
    }


@pytest.mark.usefixtures("_at_once", "_impatient")
async def test_it_waits_for_topics_and_says_what_makes_them(caplog):
    client = TopicClient("posts")
    told: list[Sequence[str]] = []
    waiting = asyncio.create_task(wait_for_topics(client, ["posts", "entities"], told.append))
    await asyncio.wait([waiting], timeout=0.1)
    assert not waiting.done()
    client.topics.add("entities")
    await waiting
    assert told[0] == ["entities"]
    assert told[-1] == []
    assert caplog.messages[0].startswith("topic entities: ")
    assert "`mner-worker topics` makes it" in caplog.messages[0]


@pytest.mark.parametrize(("answers", "last"), [([], None), ([3.0, 7.0, 5.0], 7.0)])
def test_the_last_answer_is_that_of_any_connection(answers, last):
    connections = {number: SimpleNamespace(_last_action=at) for number, at in enumerate(answers)}
    assert last_answer(SimpleNamespace(_conns=connections)) == last


def test_an_error_that_nobody_knows_a_remedy_for_ends_the_sentence_as_it_is():
    assert remedy("posts", TopicAuthorizationFailedError("posts")) == ""
