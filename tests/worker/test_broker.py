import ssl

import pytest
from aiokafka.errors import KafkaConnectionError

from worker import broker
from worker.broker import client_options, start_when_a_broker_answers
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
