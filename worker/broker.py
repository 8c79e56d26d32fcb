"""How this worker talks to its brokers: addresses and credentials, and waiting until one answers."""

import asyncio
import logging
import ssl
from typing import Any, Protocol

from aiokafka.errors import KafkaError

from worker.settings import Settings

logger = logging.getLogger(__name__)

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 15.0


class Client(Protocol):
    """What all aiokafka clients can."""

    async def start(self) -> None:
        """Connect; raises KafkaError when no broker can be had, and may then be called again."""


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
