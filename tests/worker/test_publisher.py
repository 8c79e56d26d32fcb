import asyncio
from collections import defaultdict

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NotEnoughReplicasError,
    TopicAuthorizationFailedError,
)
from aiokafka.structs import ConsumerRecord

from worker.errors import Unpublishable
from worker.messages import DeadReason, Outcome, OutgoingMessage, dead_letter, from_milliseconds
from worker.publisher import OMITTED_HEADER, Publisher, Retry

NO_PAUSE = Retry(attempts=4, first_pause_s=0.0, longest_pause_s=0.0)
DEAD = "posts.dead"


class ScriptedProducer:
    """Confirms everything, but for the errors scripted for a topic: one for each attempt, the last one for ever."""

    def __init__(self) -> None:
        self.sent: list[OutgoingMessage] = []
        self.confirmed: list[OutgoingMessage] = []
        self.at_the_door: dict[str, list[Exception | None]] = defaultdict(list)
        self.by_the_broker: dict[str, list[Exception | None]] = defaultdict(list)

    async def send(self, topic, value=None, key=None, *, headers=None):
        message = OutgoingMessage(topic, key, value, tuple(headers))
        self.sent.append(message)
        if (error := self._next(self.at_the_door[topic])) is not None:
            raise error
        confirmation = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(self._settle, confirmation, message)
        return confirmation

    def _settle(self, confirmation, message):
        if (error := self._next(self.by_the_broker[message.topic])) is not None:
            confirmation.set_exception(error)
        else:
            self.confirmed.append(message)
            confirmation.set_result(None)

    @staticmethod
    def _next(errors):
        return None if not errors else errors[0] if len(errors) == 1 else errors.pop(0)


@pytest.fixture
def producer():
    return ScriptedProducer()


@pytest.fixture
def publisher(producer):
    return Publisher(producer, DEAD, NO_PAUSE)


def record(offset=7, key=b"p7", value=b'{"id": "p7"}'):
    return ConsumerRecord("posts", 2, offset, 1_000, 0, key, value, None, 2, 12, ())


def tagged(offset=7, topics=("entities",)):
    messages = tuple(OutgoingMessage(topic, b"key", b"%d" % offset) for topic in topics)
    return Outcome(record(offset), messages, "tagged")


def dead(value=b"not JSON"):
    bad = record(value=value)
    letter = dead_letter(
        bad, DeadReason.NOT_JSON, "expected JSON", topic=DEAD, attempts=1, failed_at=from_milliseconds(0)
    )
    return Outcome(bad, (letter,), "dead")


async def test_all_messages_of_all_outcomes_are_sent_and_confirmed(producer, publisher):
    outcomes = [tagged(1, ("entities", "entities.per")), tagged(2)]
    assert await publisher.publish(outcomes) == outcomes
    assert producer.confirmed == [message for outcome in outcomes for message in outcome.messages]


async def test_it_returns_only_after_the_last_confirmation(producer, publisher):
    held = asyncio.get_running_loop().create_future()

    async def hold(topic, value=None, key=None, *, headers=None):
        return held

    producer.send = hold
    publishing = asyncio.create_task(publisher.publish([tagged()]))
    await asyncio.sleep(0)
    assert not publishing.done()
    held.set_result(None)
    await publishing


async def test_an_outcome_without_messages_is_published_already(publisher):
    nothing = Outcome(record(), (), "tagged")
    assert await publisher.publish([nothing]) == [nothing]


@pytest.mark.parametrize("error", [KafkaConnectionError(), NotEnoughReplicasError(), KafkaTimeoutError()])
async def test_an_error_that_may_pass_is_tried_again_until_it_has_passed(producer, publisher, error):
    producer.by_the_broker["entities"] = [error, error, None]
    outcome = tagged()
    assert await publisher.publish([outcome]) == [outcome]
    assert len(producer.sent) == 3
    assert producer.confirmed == list(outcome.messages)


async def test_only_what_failed_is_tried_again(producer, publisher):
    producer.by_the_broker["entities.per"] = [KafkaConnectionError(), None]
    await publisher.publish([tagged(1, ("entities", "entities.per"))])
    assert [message.topic for message in producer.sent] == ["entities", "entities.per", "entities.per"]


async def test_a_post_whose_record_is_refused_for_good_becomes_a_dead_letter_with_its_original_bytes(
    producer, publisher
):
    producer.by_the_broker["entities.per"] = [TopicAuthorizationFailedError()]
    good, refused = tagged(1), tagged(2, ("entities", "entities.per"))
    published = await publisher.publish([good, refused])
    assert published[0] is good
    assert published[1].kind == "dead"
    letter = producer.confirmed[-1]
    assert (letter.topic, letter.key, letter.value) == (DEAD, b"p7", b'{"id": "p7"}')
    headers = dict(letter.headers)
    assert headers["error.reason"] == b"publish_failed"
    assert b"entities.per" in headers["error.detail"]
    assert headers["source.offset"] == b"2"
    assert headers["attempts"] == b"1"


async def test_a_post_whose_retries_are_used_up_becomes_a_dead_letter(producer, publisher):
    producer.by_the_broker["entities"] = [KafkaConnectionError()]
    (published,) = await publisher.publish([tagged()])
    assert published.kind == "dead"
    assert dict(published.messages[0].headers)["attempts"] == b"4"
    assert [message.topic for message in producer.sent] == ["entities"] * 4 + [DEAD]


async def test_a_message_refused_at_the_door_is_as_refused_as_by_the_broker(producer, publisher):
    producer.at_the_door["entities"] = [MessageSizeTooLargeError()]
    (published,) = await publisher.publish([tagged()])
    assert published.kind == "dead"


async def test_the_confirmations_of_others_are_awaited_when_one_message_is_refused_at_the_door(producer, publisher):
    producer.at_the_door["entities.per"] = [MessageSizeTooLargeError()]
    await publisher.publish([tagged(1), tagged(2, ("entities.per",)), tagged(3)])
    assert [message.value for message in producer.confirmed if message.topic == "entities"] == [b"1", b"3"]


async def test_a_dead_letter_that_cannot_be_published_stops_the_worker(producer, publisher):
    producer.by_the_broker["entities"] = [TopicAuthorizationFailedError()]
    producer.by_the_broker[DEAD] = [KafkaConnectionError()]
    with pytest.raises(Unpublishable, match=r"posts\[2\]@7: .* posts\.dead"):
        await publisher.publish([tagged()])


async def test_a_dead_letter_too_large_for_its_topic_is_published_without_its_value(producer, publisher):
    producer.by_the_broker[DEAD] = [MessageSizeTooLargeError(), None]
    outcome = dead()
    (published,) = await publisher.publish([outcome])
    (letter,) = producer.confirmed
    assert (letter.key, letter.value) == (b"p7", b"")
    headers = dict(letter.headers)
    assert headers[OMITTED_HEADER] == b"8"
    assert headers["error.reason"] == b"not_json"
    assert headers["source.offset"] == b"7"
    assert published.messages == (letter,)


async def test_a_dead_letter_refused_even_without_its_value_stops_the_worker(producer, publisher):
    producer.by_the_broker[DEAD] = [MessageSizeTooLargeError()]
    with pytest.raises(Unpublishable):
        await publisher.publish([dead()])


async def test_a_dead_letter_with_neither_key_nor_value_is_published(producer, publisher):
    empty = record(key=None, value=None)
    letter = dead_letter(empty, DeadReason.NO_KEY, "none", topic=DEAD, attempts=1, failed_at=from_milliseconds(0))
    await publisher.publish([Outcome(empty, (letter,), "dead")])
    assert [(message.key, message.value) for message in producer.confirmed] == [(None, b"")]


def test_pauses_double_up_to_the_longest():
    retry = Retry(first_pause_s=0.1, longest_pause_s=1.0)
    assert [retry.pause_s(attempt) for attempt in (1, 2, 3, 4, 5)] == [0.1, 0.2, 0.4, 0.8, 1.0]
