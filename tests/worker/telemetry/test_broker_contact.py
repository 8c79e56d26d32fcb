"""Silence counts from the last answer that any client had, and is told of once."""

import pytest

from worker.telemetry.broker_contact import BrokerContact


class Time:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Time:
    return Time()


@pytest.fixture
def contact(clock: Time) -> BrokerContact:
    return BrokerContact(45, clock)


def test_nobody_is_silent_who_was_not_asked(contact: BrokerContact, clock: Time) -> None:
    clock.now_s += 500
    assert (contact.silence_s(), contact.is_silent) == (0, False)


def test_a_broker_that_never_answers_is_silent_from_the_first_question_on(contact: BrokerContact, clock: Time) -> None:
    contact.begin()
    contact.hear(lambda: None)
    clock.now_s += 46
    assert (contact.silence_s(), contact.is_silent) == (46, True)


def test_the_latest_answer_of_any_client_counts_even_when_its_connection_is_gone(
    contact: BrokerContact, clock: Time
) -> None:
    answers: dict[str, float | None] = {"producer": 1_010.0, "consumer": 1_030.0}
    contact.begin()
    contact.hear(lambda: answers["producer"])
    contact.hear(lambda: answers["consumer"])
    clock.now_s = 1_040
    assert contact.silence_s() == 10
    answers["consumer"] = None
    assert contact.silence_s() == 10


def test_a_silence_is_one_line_and_its_end_another(
    contact: BrokerContact, clock: Time, caplog: pytest.LogCaptureFixture
) -> None:
    answered_at = clock.now_s
    contact.hear(lambda: answered_at)
    contact.begin()
    for _ in range(100):
        contact.tell()
        clock.now_s += 1
    answered_at = clock.now_s
    for _ in range(10):
        contact.tell()
        clock.now_s += 1
    assert caplog.messages == [
        "no broker has answered anything for 46 s; going on when one does",
        "a broker answers again, after 100 s",
    ]
