"""`mner-worker tail` as a stranger subscribes with it: in a pipe, at a terminal, before there is a broker."""

import asyncio
import json
import os
import signal
from datetime import UTC, datetime

import pytest
from aiokafka import AIOKafkaProducer
from commands import Command, environ_of, on_terminal, run
from lab import ROOT

from worker.delivery.topics import make_worker_topics
from worker.demo.embedded import EmbeddedBroker, free_port
from worker.errors import ExitStatus
from worker.messages.wire import Entity, EntityRecord, EntityType, ImageReport, ImageStatus, ModelReport
from worker.settings import Settings

pytestmark = pytest.mark.integration

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def record(post_id: str, *mentions: tuple[EntityType, str]) -> bytes:
    text = " and ".join(name for _, name in mentions)
    entities = [
        Entity(
            id="0",
            type=entity_type,
            text=name,
            start=text.index(name),
            end=text.index(name) + len(name),
            confidence=0.9,
            modality_weights={},
        )
        for entity_type, name in mentions
    ]
    return EntityRecord(
        post_id=post_id,
        text=text,
        entities=tuple(entities),
        image=ImageReport(status=ImageStatus.ABSENT),
        model=ModelReport(name="m", fingerprint="0"),
        created_at=NOW,
        tagged_at=NOW,
    ).encode()


ADA = record("ada", ("PER", "Ada Lovelace"), ("LOC", "London"))
OSLO = record("oslo", ("LOC", "Oslo"))
NOBODY = record("nobody")


async def publish(lab, *values: bytes | None, key: bytes = b"k") -> None:
    for value in values:
        await lab.producer.send_and_wait(lab.entities_topic, value, key)


async def test_a_pipe_gets_the_bytes_that_were_published_and_tombstones_by_their_post(lab) -> None:
    await publish(lab, ADA, NOBODY, None, key=b"ada")
    async with Command(["tail", "--from", "beginning", "--count", "3"], environ_of(lab)) as command:
        lines = [await command.line() for _ in range(3)]
        assert await command.end() == ExitStatus.DONE
    assert lines == [ADA + b"\n", NOBODY + b"\n", b'{"deleted": "ada"}\n']
    assert command.said == ""


async def test_only_records_with_such_a_mention_are_shown(lab) -> None:
    await publish(lab, ADA, NOBODY, OSLO, None, record("lo", ("PER", "Lo")), record("end", ("LOC", "London")))
    arguments = ["tail", "--from", "beginning", "--type", "loc", "--match", "^(Lo|Os)", "--count", "3"]
    status, rows, _ = await run(arguments, environ_of(lab))
    assert status == ExitStatus.DONE
    assert [row["post_id"] for row in rows] == ["ada", "oslo", "end"]


async def test_without_following_it_ends_with_what_is_there(lab) -> None:
    await publish(lab, ADA, OSLO)
    status, rows, said = await run(["tail", "--no-follow"], environ_of(lab))
    assert (status, [row["post_id"] for row in rows], said) == (ExitStatus.DONE, ["ada", "oslo"], "")
    status, rows, _ = await run(["tail", "--no-follow", "--type", "org"], environ_of(lab))
    assert (status, rows) == (ExitStatus.DONE, [])
    missing = environ_of(lab) | {"MNER_ENTITIES_TOPIC": "never.made"}
    status, _, said = await run(["tail", "--no-follow"], missing)
    assert status == ExitStatus.FAILED
    assert "no topic never.made" in said


async def test_what_cannot_be_read_is_said_and_does_not_end_it(embedded_lab) -> None:
    lab = embedded_lab
    later = json.dumps(json.loads(ADA) | {"schema": 2}).encode()
    await publish(lab, b"\xff\x1b[2J", b"[]", later, json.dumps(json.loads(OSLO), indent=1).encode())
    status, rows, said = await run(["tail", "--from", "beginning", "--count", "1"], environ_of(lab))
    assert (status, rows) == (ExitStatus.DONE, [json.loads(OSLO)])
    assert said.count("not shown: no entity record that this version can read: ") == 3
    assert "schema: " in said
    assert "\x1b" not in said


async def test_a_pattern_that_never_ends_costs_its_record_only(embedded_lab) -> None:
    lab = embedded_lab
    await publish(lab, record("slow", ("PER", "a" * 60)), record("fast", ("PER", "az")))
    arguments = ["tail", "--from", "beginning", "--match", "(?:a|a)+[b-z]", "--count", "1"]
    status, rows, said = await run(arguments, environ_of(lab))
    assert (status, [row["post_id"] for row in rows]) == (ExitStatus.DONE, ["fast"])
    assert "not shown: the pattern took longer than 0.25 s" in said


@pytest.mark.parametrize("signal_number", [signal.SIGINT, signal.SIGTERM])
async def test_ctrl_c_ends_it_well(embedded_lab, signal_number) -> None:
    lab = embedded_lab
    await publish(lab, ADA)
    async with Command(["tail", "--from", "1h"], environ_of(lab)) as command:
        assert await command.line() == ADA + b"\n"
        command.interrupt(signal_number)
        assert await command.end() == ExitStatus.DONE
    assert command.said == ""


async def test_sigterm_ends_it_well_where_a_shell_has_it_ignore_ctrl_c(embedded_lab) -> None:
    await publish(embedded_lab, ADA)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as for `command &` in a script; children inherit it
    try:
        command = await Command(["tail", "--from", "1h"], environ_of(embedded_lab)).__aenter__()
    finally:
        signal.signal(signal.SIGINT, before)
    try:
        assert await command.line() == ADA + b"\n"
        command.interrupt(signal.SIGTERM)
        assert await command.end() == ExitStatus.DONE
    finally:
        await command.__aexit__()


async def test_a_reader_that_leaves_ends_it_without_a_word_though_nothing_more_comes(embedded_lab) -> None:
    lab = embedded_lab
    await publish(lab, ADA)
    async with Command(["tail", "--from", "beginning"], environ_of(lab)) as command:
        assert await command.line() == ADA + b"\n"
        command.stop_reading()
        assert await command.end() == ExitStatus.DONE
    assert command.said == ""


async def test_broker_and_topic_are_waited_for_and_each_is_told_of_once(tmp_path) -> None:
    broker = EmbeddedBroker(tmp_path, free_port())
    environ = {"PATH": os.defpath, "PYTHONPATH": str(ROOT), "MNER_BROKERS": broker.bootstrap}
    async with Command(["tail", "--count", "1", "--from", "beginning"], environ) as command:
        await command.says("no broker at 127.0.0.1")
        await asyncio.sleep(2.5)
        with broker:
            await command.says("mner-worker topics")
            settings = Settings.load(environ)
            await make_worker_topics(settings, partitions=1, replication_factor=1)
            async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
                await producer.send_and_wait(settings.entities_topic, ADA, b"ada")
            assert await command.line() == ADA + b"\n"
            assert await command.end() == ExitStatus.DONE
    assert len(command.said.splitlines()) == 2


async def test_at_a_terminal_mentions_are_marked_and_ctrl_c_ends_it_well(embedded_lab) -> None:
    lab = embedded_lab
    await publish(lab, ADA, None, key=b"ada")
    status, shown = await on_terminal(["tail", "--from", "beginning"], environ_of(lab), [("deleted", b"\x03")])
    assert status == ExitStatus.DONE
    assert "\x1b[1;30;45mAda Lovelace\x1b[0m and \x1b[1;30;42mLondon\x1b[0m" in shown
