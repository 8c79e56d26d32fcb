import json
from datetime import UTC, datetime

import pytest
from aiokafka.structs import ConsumerRecord

from worker.errors import DeadReason
from worker.messages.records import OutgoingMessage, Place
from worker.messages.wire import dead_letter, without
from worker.watch.dead.letter import NotADeadLetter, read_letter

FAILED_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def consumed(key=b"k", value=b"v", headers=(), topic="posts", partition=2, offset=7) -> ConsumerRecord:
    return ConsumerRecord(topic, partition, offset, 1_000, 0, key, value, None, -1, -1, tuple(headers))


def as_read(letter: OutgoingMessage) -> ConsumerRecord:
    return consumed(letter.key, letter.value, letter.headers, topic=letter.topic, partition=0, offset=3)


def letter_of(record: ConsumerRecord) -> OutgoingMessage:
    return dead_letter(
        record, DeadReason.SCHEMA, "text: received 1", topic="posts.dead", attempts=2, failed_at=FAILED_AT
    )


def test_what_the_worker_wrote_is_read_back() -> None:
    letter = read_letter(as_read(letter_of(consumed(headers=[("traceparent", b"00-1"), ("a", b"\xff")]))))
    assert (letter.reason, letter.detail, letter.attempts) == ("schema", "text: received 1", 2)
    assert (letter.place, letter.source) == (Place("posts.dead", 0, 3), Place("posts", 2, 7))
    assert letter.failed_at == "2026-01-02T03:04:05.000Z"
    assert letter.published_at == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert (letter.key, letter.value) == (b"k", b"v")
    assert letter.headers == (("traceparent", b"00-1"), ("a", b"\xff"))
    assert letter.omitted_bytes == {}


def test_headers_of_ours_in_a_post_neither_steer_a_replay_nor_go_with_it() -> None:
    forged = [("source.topic", b"entities"), ("source.partition", b"9"), ("error.reason", b"no_key")]
    letter = read_letter(as_read(letter_of(consumed(headers=forged))))
    assert (letter.source, letter.reason, letter.headers) == (Place("posts", 2, 7), "schema", ())


def test_what_a_letter_goes_without_is_known_with_its_size() -> None:
    record = consumed(value=b"v" * 50, headers=[("a", b"12")])
    less = without(letter_of(record), record)
    assert less is not None
    assert read_letter(as_read(less)).omitted_bytes == {"value": 50}
    least = without(less, record)
    assert least is not None
    assert read_letter(as_read(least)).omitted_bytes == {"value": 50, "headers": 3}


@pytest.mark.parametrize(
    ("reason", "key", "value", "as_it_came"),
    [
        (DeadReason.NO_KEY, None, b"", None),
        (DeadReason.NOT_JSON, None, b"", b""),
        (DeadReason.NO_KEY, b"k", b"", b""),
        (DeadReason.SCHEMA, b"k", None, None),
    ],
)
def test_a_post_of_neither_key_nor_value_had_no_value_though_its_letter_has_an_empty_one(
    reason: DeadReason, key: bytes | None, value: bytes | None, as_it_came: bytes | None
) -> None:
    post = consumed(key, value, headers=[("error.reason", b"no_key")])
    letter = dead_letter(post, reason, "", topic="posts.dead", attempts=1, failed_at=FAILED_AT)
    assert read_letter(as_read(letter)).value == as_it_came


def test_a_reason_of_a_later_version_is_read_as_it_is() -> None:
    headers = {"error.reason": b"too_boring", "source.topic": b"p", "source.partition": b"0", "source.offset": b"1"}
    letter = read_letter(consumed(headers=headers.items()))
    assert (letter.reason, letter.detail, letter.failed_at, letter.attempts) == ("too_boring", "", "", None)


@pytest.mark.parametrize(
    ("headers", "missing"),
    [
        ({}, "error.reason, source.topic, source.partition, source.offset"),
        ({"error.reason": b"schema", "source.topic": b"p", "source.offset": b"1"}, "source.partition"),
    ],
)
def test_a_record_that_is_no_letter_is_refused_with_what_it_lacks(headers: dict[str, bytes], missing: str) -> None:
    with pytest.raises(NotADeadLetter, match=f"without the headers {missing}, expected"):
        read_letter(consumed(headers=headers.items()))


@pytest.mark.parametrize("offset", [b"-1", b"one", b"", "٣".encode()])
def test_a_place_that_is_no_number_is_refused(offset: bytes) -> None:
    headers = {"error.reason": b"schema", "source.topic": b"p", "source.partition": b"0", "source.offset": offset}
    with pytest.raises(NotADeadLetter, match=r"source\.offset: received .*, expected digits"):
        read_letter(consumed(headers=headers.items()))


def test_a_letter_is_about_the_post_of_its_key_and_of_its_value() -> None:
    letter = read_letter(as_read(letter_of(consumed(key=b"one", value=json.dumps({"id": "two"}).encode()))))
    assert [letter.is_about(post_id) for post_id in ("one", "two", "three")] == [True, True, False]


@pytest.mark.parametrize("value", [None, b"", b"\xff", b"[" * 100_000, b"[1]", b'{"id": 7}'])
def test_a_value_without_an_id_is_about_its_key_only(value: bytes | None) -> None:
    letter = read_letter(as_read(letter_of(consumed(key=None, value=value))))
    assert not letter.is_about("7")
