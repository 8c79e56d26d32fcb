"""`mner-worker dead`: what a real worker gave up is listed, shown and sent again, and nothing else is."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka.admin import NewTopic
from aiokafka.structs import ConsumerRecord
from commands import environ_of, on_terminal, run

from worker.errors import DeadReason, ExitStatus
from worker.messages.wire import dead_letter, without
from worker.settings import Settings
from worker.watch.topic_reader import TopicReader

pytestmark = pytest.mark.integration

HEADERS = [("traceparent", b"00-1"), ("blob", b"\xff"), ("source.topic", b"entities")]


async def give_up(
    lab,
    reason: DeadReason,
    key: bytes | None,
    value: bytes | None = b"v",
    *,
    topic: str | None = None,
    partition: int = 0,
    omit: bool = False,
    at: datetime | None = None,
) -> None:
    """Write a dead letter as the worker does."""
    post = ConsumerRecord(topic or lab.posts_topic, partition, 5, 0, 0, key, value, None, -1, -1, tuple(HEADERS))
    letter = dead_letter(post, reason, "no\x1b[2J", topic=lab.dead_topic, attempts=1, failed_at=datetime.now(UTC))
    if omit:
        letter = without(letter, post)
    await lab.producer.send_and_wait(
        lab.dead_topic,
        letter.value,
        letter.key,
        headers=list(letter.headers),
        timestamp_ms=None if at is None else int(at.timestamp() * 1_000),
    )


async def posts(lab) -> list[ConsumerRecord]:
    """All that is on the topic of posts."""
    async with TopicReader(Settings.load({"MNER_BROKERS": lab.bootstrap}), lab.posts_topic) as reader:
        return [record async for record in reader.present()]


async def test_posts_that_a_worker_gave_up_go_through_another_one_once_it_can_answer_them(lab) -> None:
    stumbling = lab.start_worker(STUB_STUMBLES_OVER="none")
    await lab.producer.send_and_wait(lab.posts_topic, b"garbage", b"bad", partition=2, headers=HEADERS)
    await lab.send(3)
    await lab.until_answered(4)
    assert [letter.key for letter in lab.dead] == [b"bad"]

    status, rows, _ = await run(["dead", "list"], environ_of(lab))
    assert status == ExitStatus.DONE
    [row] = rows
    assert (row["reason"], row["key"], row["value_bytes"], row["attempts"]) == ("not_json", "bad", 7, 1)
    assert (row["source"]["topic"], row["source"]["partition"]) == (lab.posts_topic, 2)

    status, rows, said = await run(["dead", "replay", "--yes"], environ_of(lab))
    assert status == ExitStatus.DONE
    assert rows[0]["sent"]["topic"] == lab.posts_topic
    assert f"sent again: 1 to {lab.posts_topic}" in said

    # it fails again, and its second letter tells of the second failure, with the post's own headers and no more
    await lab.until_answered(5)
    first, second = lab.dead
    assert (first.key, first.value) == (second.key, second.value)
    headers = [name for name, _ in second.headers]
    assert len(headers) == len(set(headers))
    assert dict(second.headers)["source.offset"] == str(rows[0]["sent"]["offset"]).encode()
    assert dict(second.headers)["traceparent"] == b"00-1"
    stumbling.terminate()
    assert await stumbling.exit_status() == ExitStatus.DONE


async def test_what_is_sent_again_is_the_post_as_it_first_came_in_order_to_its_partition(lab) -> None:
    for number, partition in enumerate([3, 1, 3, 3]):
        await give_up(lab, DeadReason.PROCESSING_FAILED, b"k", str(number).encode(), partition=partition)
    await give_up(lab, DeadReason.NOT_JSON, None, b"", partition=1)
    status, rows, _ = await run(["dead", "replay", "--yes"], environ_of(lab))
    assert (status, len(rows)) == (ExitStatus.DONE, 5)
    sent = await posts(lab)
    assert [record.value for record in sent if record.partition == 3] == [b"0", b"2", b"3"]
    assert [(record.key, record.value) for record in sent if record.partition == 1] == [(b"k", b"1"), (None, b"")]
    assert {tuple(record.headers) for record in sent} == {(("traceparent", b"00-1"), ("blob", b"\xff"))}


async def test_what_cannot_be_sent_is_refused_with_the_reason_and_counted(embedded_lab) -> None:
    lab = embedded_lab
    await give_up(lab, DeadReason.PUBLISH_FAILED, b"omitted", b"v" * 50, omit=True)
    await give_up(lab, DeadReason.SCHEMA, b"gone", topic=f"{lab.group}.gone")
    await give_up(lab, DeadReason.SCHEMA, b"looped", topic=lab.dead_topic)
    await lab.producer.send_and_wait(lab.dead_topic, b"no letter at all")
    await give_up(lab, DeadReason.SCHEMA, b"good")
    await give_up(lab, DeadReason.NO_KEY, None, b"")  # as the publisher has to write it
    status, rows, said = await run(["dead", "replay", "--yes"], environ_of(lab))
    assert status == ExitStatus.FAILED
    assert ["value of 50 bytes" in rows[0]["not_sent"], "no more" in rows[1]["not_sent"]] == [True, True]
    assert "holds no posts" in rows[2]["not_sent"]
    assert any("names no post" in row.get("not_sent", "") for row in rows)
    assert "1 to " in said
    assert "4 not sent (" in said
    assert "passed over" in said
    assert [record.key for record in await posts(lab)] == [b"good"]


async def test_a_post_that_its_topic_finds_too_large_costs_no_other(kafka_lab) -> None:
    topic = f"{kafka_lab.group}.small"
    await kafka_lab.make_topics(NewTopic(topic, 1, 1, topic_configs={"max.message.bytes": "20000"}))
    for key, size in ((b"before", 10), (b"large", 50_000), (b"after", 10)):
        await give_up(kafka_lab, DeadReason.PROCESSING_FAILED, key, b"v" * size, topic=topic)
    environ = environ_of(kafka_lab, MNER_POSTS_TOPIC=topic)
    status, rows, said = await run(["dead", "replay", "--yes"], environ)
    assert status == ExitStatus.FAILED
    assert sorted(row["offset"] for row in rows if "sent" in row) == [0, 2]
    assert "1 not sent (too large 1)" in said


async def test_only_letters_that_are_meant_are_listed_and_sent(lab) -> None:
    long_ago = datetime.now(UTC) - timedelta(hours=3)
    await give_up(lab, DeadReason.SCHEMA, b"old", at=long_ago)
    await give_up(lab, DeadReason.SCHEMA, b"a")
    await give_up(lab, DeadReason.TOO_LARGE, b"b")
    await give_up(lab, DeadReason.KEY_MISMATCH, b"other", json.dumps({"id": "a"}).encode())

    async def listed(*arguments: str) -> list[str]:
        return [row["key"] for row in (await run(["dead", "list", *arguments], environ_of(lab)))[1]]

    assert await listed() == ["old", "a", "b", "other"]
    assert await listed("--from", "1h") == ["a", "b", "other"]
    assert await listed("--reason", "schema", "--reason", "too_large", "--count", "2") == ["old", "a"]
    _, rows, said = await run(["dead", "replay", "--dry-run", "--match-id", "a", "--from", "1h"], environ_of(lab))
    assert [row["offset"] for row in rows if "would_send" in row] == [1, 3]
    assert [(row["key"], row["reason"], row["would_send"]) for row in rows] == [
        ("a", "schema", {"topic": lab.posts_topic, "partition": 0}),
        ("other", "key_mismatch", {"topic": lab.posts_topic, "partition": 0}),
    ]
    assert all(datetime.fromisoformat(row["failed_at"]) > long_ago for row in rows)
    assert "would be sent again: 2 to" in said
    assert await posts(lab) == []


async def test_a_null_value_is_shown_as_null_and_not_as_empty_text(embedded_lab) -> None:
    lab = embedded_lab
    await give_up(lab, DeadReason.NO_KEY, None, b"")
    _, [whole], _ = await run(["dead", "show", "0:0"], environ_of(lab))
    assert (whole["key"], whole["value"]) == (None, None)
    _, [row], _ = await run(["dead", "list"], environ_of(lab))
    assert row["value_bytes"] is None
    _, shown = await on_terminal(["dead", "show", "0:0"], environ_of(lab, TERM="dumb"), [])
    assert [line.split() for line in shown.splitlines()][-1] == ["value", "(null)"]


async def test_one_letter_is_shown_wholly_or_said_not_to_be_there(embedded_lab) -> None:
    lab = embedded_lab
    await give_up(lab, DeadReason.NOT_UTF8, b"k", b"\xff\x00")
    status, [whole], _ = await run(["dead", "show", "0:0"], environ_of(lab))
    assert status == ExitStatus.DONE
    assert (whole["key"], base64.b64decode(whole["value_base64"])) == ("k", b"\xff\x00")
    assert {"name": "blob", "value_base64": "/w=="} in whole["headers"]
    status, rows, said = await run(["dead", "show", "0:7"], environ_of(lab))
    assert (status, rows) == (ExitStatus.FAILED, [])
    assert "no letter there; partition 0 holds 0 to 0" in said


@pytest.mark.parametrize(("answer", "status", "keys"), [(b"n\n", 1, []), (b"y\n", 0, [b"k"]), (b"\x03", 1, [])])
async def test_at_a_terminal_nothing_is_sent_before_somebody_agreed(embedded_lab, answer, status, keys) -> None:
    lab = embedded_lab
    await give_up(lab, DeadReason.SCHEMA, b"k")
    ended, shown = await on_terminal(["dead", "replay"], environ_of(lab), [("[y/N]", answer)])
    assert ended == status
    assert f"1 to {lab.posts_topic}" in shown.replace("\r\n", "")
    assert [record.key for record in await posts(lab)] == keys


async def test_at_a_terminal_letters_are_lines_that_no_terminal_obeys(embedded_lab) -> None:
    lab = embedded_lab
    await give_up(lab, DeadReason.SCHEMA, b"k")
    for arguments in (["dead", "list"], ["dead", "show", "0:0"]):
        status, shown = await on_terminal(arguments, environ_of(lab, TERM="dumb"), [])
        assert status == ExitStatus.DONE
        assert "schema" in shown
        assert "\x1b[2J" not in shown
