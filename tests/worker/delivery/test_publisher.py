import asyncio
from collections import defaultdict

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NotEnoughReplicasError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import ConsumerRecord

from worker.delivery.publisher import Publisher, Retry
from worker.errors import DeadReason, Unpublishable
from worker.messages.records import Outcome, OutgoingMessage
from worker.messages.wire import dead_letter, from_milliseconds

NO_PAUSE = Retry(attempts=4, first_pause_s=0.0, longest_pause_s=0.0)
DEAD = "posts.dead"


class ScriptedProducer:
    """Confirms everything, but for the errors scripted for a topic: one for each attempt, the last one for ever."""

    def __init__(self) -> None:
        self.sent: list[OutgoingMessage] = []
        self.confirmed: list[OutgoingMessage] = []
        self.at_the_door: dict[str, list[Exception | None]] = defaultdict(list)
        self.by_the_broker: dict[str, list[Exception | None]] = defaultdict(list)
        self.missing: set[str] = set()
        self.looked_up: list[str] = []
        self._looks: tuple[int, asyncio.Event] | None = None
        self.alone: list[OutgoingMessage] = []

    def knows(self, topic):
        return topic not in self.missing

    async def partitions_for(self, topic):
        self.looked_up.append(topic)
        if self._looks and len(self.looked_up) >= self._looks[0]:
            self._looks[1].set()
        if topic in self.missing:
            raise UnknownTopicOrPartitionError
        return {0}

    async def looks(self, times):
        """Until topics were looked up so many times."""
        self._looks = (times, asyncio.Event())
        await self._looks[1].wait()

    async def send_alone(self, topic, value, key, *, headers):
        self.alone.append(OutgoingMessage(topic, key, value, tuple(headers)))
        return await self.send(topic, value, key, headers=headers)

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


def record(offset=7, key=b"p7", value=b'{"id": "p7"}', headers=()):
    return ConsumerRecord("posts", 2, offset, 1_000, 0, key, value, None, 2, 12, headers)


def message(value, key):
    return OutgoingMessage("entities", None if key is None else key.encode(), value.encode())


def outcome(*messages):
    return Outcome(record(), messages, "tagged")


def tagged(offset=7, topics=("entities",)):
    messages = tuple(OutgoingMessage(topic, b"key", b"%d" % offset) for topic in topics)
    return Outcome(record(offset), messages, "tagged")


def dead(value=b"not JSON", headers=()):
    bad = record(value=value, headers=headers)
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
    producer.at_the_door["entities"] = [TopicAuthorizationFailedError()]
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


# What is too large


async def test_messages_too_large_together_are_sent_again_each_alone(producer, publisher):
    too_large = MessageSizeTooLargeError()
    producer.by_the_broker["entities"] = [too_large, too_large, None]
    outcomes = [tagged(1), tagged(2)]
    assert await publisher.publish(outcomes) == outcomes
    assert [message.value for message in producer.alone] == [b"1", b"2"]
    assert len(producer.confirmed) == 2


async def test_only_what_is_too_large_alone_becomes_a_dead_letter(producer, publisher):
    too_large = MessageSizeTooLargeError()
    producer.by_the_broker["entities"] = [too_large, too_large, too_large, None]
    published = await publisher.publish([tagged(1), tagged(2)])
    assert [outcome.kind for outcome in published] == ["dead", "tagged"]
    assert dict(published[0].messages[0].headers)["attempts"] == b"1"


async def test_one_message_too_large_and_another_that_may_pass_are_both_tried_again(producer, publisher):
    producer.by_the_broker["entities"] = [MessageSizeTooLargeError(), None]
    producer.by_the_broker["entities.per"] = [KafkaConnectionError(), None]
    outcomes = [tagged(1), tagged(2, ("entities.per",))]
    assert await publisher.publish(outcomes) == outcomes
    assert [message.topic for message in producer.alone] == ["entities"]


async def test_a_dead_letter_too_large_for_its_topic_goes_without_value_then_headers_then_key(producer, publisher):
    too_large = MessageSizeTooLargeError()
    producer.by_the_broker[DEAD] = [too_large] * 6 + [None]  # each letter together, then alone
    (published,) = await publisher.publish([dead(headers=(("trace", b"1234"),))])
    (letter,) = producer.confirmed
    assert (letter.key, letter.value) == (None, b"")
    headers = dict(letter.headers)
    assert {name: size for name, size in headers.items() if name.endswith(".omitted_bytes")} == {
        "value.omitted_bytes": b"8",
        "headers.omitted_bytes": b"9",
        "key.omitted_bytes": b"2",
    }
    assert "trace" not in headers
    assert headers["error.reason"] == b"not_json"
    assert headers["source.offset"] == b"7"
    assert published.messages == (letter,)


async def test_a_dead_letter_goes_without_no_more_than_it_must(producer, publisher):
    producer.by_the_broker[DEAD] = [MessageSizeTooLargeError(), MessageSizeTooLargeError(), None]
    (published,) = await publisher.publish([dead(headers=(("trace", b"1234"),))])
    (letter,) = published.messages
    assert (letter.key, letter.value, dict(letter.headers)["trace"]) == (b"p7", b"", b"1234")


async def test_a_dead_letter_refused_even_without_everything_stops_the_worker(producer, publisher):
    producer.by_the_broker[DEAD] = [MessageSizeTooLargeError()]
    with pytest.raises(Unpublishable):
        await publisher.publish([dead()])


# What comes after it under the same key


async def test_what_followed_with_the_same_key_is_sent_again_behind_a_retry(producer, publisher):
    producer.by_the_broker["entities"] = [None, KafkaConnectionError(), None]
    first, edited, deleted, other = (
        message(value, key) for value, key in (("0", "x"), ("1", "k"), ("2", "k"), ("3", "y"))
    )
    await publisher.publish([outcome(first, edited), outcome(deleted, other)])
    assert producer.confirmed == [first, deleted, other, edited, deleted]


async def test_messages_without_a_key_have_no_order_to_keep(producer, publisher):
    producer.by_the_broker["entities"] = [KafkaConnectionError(), None]
    first, second = message("1", None), message("2", None)
    await publisher.publish([outcome(first, second)])
    assert producer.confirmed == [second, first]


async def test_what_was_given_up_does_not_come_back_behind_a_retry(producer, publisher):
    producer.by_the_broker["entities"] = [KafkaConnectionError(), TopicAuthorizationFailedError(), None]
    first, refused = message("1", "k"), message("2", "k")
    published = await publisher.publish([outcome(first), outcome(refused)])
    assert [one.kind for one in published] == ["tagged", "dead"]
    assert [sent.value for sent in producer.sent if sent.topic == "entities"] == [b"1", b"2", b"1"]


# Topics that are missing


async def test_a_missing_topic_is_waited_for_and_all_its_messages_with_one_look(producer, publisher, caplog):
    producer.missing = {"entities.per"}
    outcomes = [tagged(offset, ("entities", "entities.per")) for offset in range(5)]
    publishing = asyncio.create_task(publisher.publish(outcomes))
    await producer.looks(3 * NO_PAUSE.attempts)
    assert {sent.topic for sent in producer.sent} == {"entities"}
    assert "`mner-worker topics` makes it" in caplog.text
    producer.missing.clear()
    assert await publishing == outcomes
    assert len(producer.confirmed) == 10


async def test_a_missing_topic_of_dead_letters_is_waited_for(producer, publisher):
    producer.missing = {DEAD}
    publishing = asyncio.create_task(publisher.publish([dead()]))
    await producer.looks(3 * NO_PAUSE.attempts)
    producer.missing.clear()
    await publishing
    assert len(producer.confirmed) == 1


async def test_a_topic_that_takes_single_messages_only_is_named_once(producer, publisher, caplog):
    too_large = MessageSizeTooLargeError()
    producer.by_the_broker["entities"] = [too_large, too_large, None, None, too_large, too_large, None]
    for _ in range(2):
        await publisher.publish([tagged(1), tagged(2)])
    assert [message.startswith("entities refuses") for message in caplog.messages] == [True]


async def test_a_dead_letter_with_neither_key_nor_value_is_published(producer, publisher):
    empty = record(key=None, value=None)
    letter = dead_letter(empty, DeadReason.NO_KEY, "none", topic=DEAD, attempts=1, failed_at=from_milliseconds(0))
    await publisher.publish([Outcome(empty, (letter,), "dead")])
    assert [(message.key, message.value) for message in producer.confirmed] == [(None, b"")]


def test_pauses_double_up_to_the_longest():
    retry = Retry(first_pause_s=0.1, longest_pause_s=1.0)
    assert [retry.pause_s(attempt) for attempt in (1, 2, 3, 4, 5)] == [0.1, 0.2, 0.4, 0.8, 1.0]
