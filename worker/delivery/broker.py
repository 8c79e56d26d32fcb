"""How this worker talks to its brokers: addresses and credentials, and waiting until one answers and has the topics."""

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

import aiokafka.client
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from worker.settings import Settings

logger = logging.getLogger(__name__)

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 15.0
# A topic that is there is found in milliseconds; aiokafka would look for 40 s.
TOPIC_TIMEOUT_S = 5.0

# A broker with Kafka's own settings makes a topic that it is asked about, with a layout of its own: one partition, and
# `entities` not compacted. aiokafka's clients have no option against that, but ask nothing except through this.
aiokafka.client.MetadataRequest = partial(aiokafka.client.MetadataRequest, allow_auto_topic_creation=False)


class Client(Protocol):
    """What all aiokafka clients can."""

    async def start(self) -> None:
        """Connect; raises KafkaError when no broker can be had, and may then be called again."""


class TopicClient(Protocol):
    """A client that is started and can look topics up; aiokafka's producer is one."""

    async def partitions_for(self, topic: str) -> Any:
        """Returns when the topic is found; raises KafkaError, in the end, where it is not."""


def client_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments that every aiokafka client of this worker shares."""
    options: dict[str, Any] = {
        "bootstrap_servers": list(settings.brokers),
        "client_id": settings.group,
        "security_protocol": settings.security_protocol,
    }
    if settings.security_protocol.endswith("SSL"):
        options["ssl_context"] = ssl.create_default_context(cafile=settings.tls_ca_file)
    if settings.security_protocol.startswith("SASL_"):
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = settings.sasl_password.get_secret_value() if settings.sasl_password else None
    return options


async def start_when_a_broker_answers(client: Client, brokers: tuple[str, ...]) -> None:
    """However long it takes; says so while it waits."""
    wait_s = FIRST_WAIT_S
    while True:
        try:
            await client.start()
        except (KafkaError, OSError) as error:
            logger.warning("no broker at %s (%s); trying again in %.1f s", ", ".join(brokers), error, wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        else:
            return


def last_answer(client: AIOKafkaClient) -> float | None:
    """When any broker last answered this client anything, by `time.monotonic`; None where it has no connection.

    A connection is among the client's only once a broker has answered on it, and remembers when the last answer came.
    """
    return max((connection._last_action for connection in client._conns.values()), default=None)


async def wait_for_topics(
    client: TopicClient, topics: Iterable[str], missing: Callable[[Sequence[str]], None] | None = None
) -> None:
    """However long it takes; says so while it waits.

    missing  is told which are not there yet, after each look and once none is

    A worker that read posts before there is a topic for the answers would make dead letters of them.
    """
    wanted, wait_s = list(topics), FIRST_WAIT_S
    while errors := await topic_errors(client, wanted):
        if missing is not None:
            missing(list(errors))
        for topic, error in errors.items():
            logger.warning("topic %s: %r%s; looking again in %.1f s", topic, error, remedy(topic, error), wait_s)
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)
    if missing is not None:
        missing([])


async def topic_errors(client: TopicClient, topics: Iterable[str]) -> dict[str, KafkaError]:
    """Why topics cannot be used, for those that cannot; all are looked up at once, and not for longer than 5 s."""
    names = list(topics)
    errors = await asyncio.gather(*(_topic_error(client, name) for name in names))
    return {name: error for name, error in zip(names, errors, strict=True) if error is not None}


async def _topic_error(client: TopicClient, topic: str) -> KafkaError | None:
    try:
        async with asyncio.timeout(TOPIC_TIMEOUT_S):
            await client.partitions_for(topic)
    except KafkaError as error:
        return error
    except TimeoutError:
        return UnknownTopicOrPartitionError(topic)
    return None


def remedy(topic: str, error: KafkaError) -> str:
    """What an operator can do about an error of a topic, to end a sentence with; empty where there is nothing known."""
    missing = isinstance(error, UnknownTopicOrPartitionError)
    return f" (no broker tells of {topic}; if it does not exist, `mner-worker topics` makes it)" if missing else ""
