"""Reading topics without a group: where it starts, what it misses (nothing), when it ends."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from lab import PARTITIONS, until

from worker.delivery.topics import TopicsUnavailable
from worker.demo.embedded import free_port
from worker.settings import Settings
from worker.watch.topic_reader import TopicReader

pytestmark = pytest.mark.integration


def settings(bootstrap: str, **more: str) -> Settings:
    return Settings.load({"MNER_BROKERS": bootstrap, **more})


async def send(lab, *values: bytes, partition: int = 0, at: datetime | None = None) -> None:
    timestamp_ms = None if at is None else int(at.timestamp() * 1_000)
    for value in values:
        await lab.producer.send_and_wait(lab.entities_topic, value, partition=partition, timestamp_ms=timestamp_ms)


async def first(reader: TopicReader, count: int) -> list[bytes]:
    """What it reads first; fails when there is not as much."""
    values: list[bytes] = []
    async with asyncio.timeout(60):
        async for record in reader.follow():
            values.append(record.value)
            if len(values) == count:
                break
    return values


async def test_from_the_beginning_it_reads_what_is_there_and_what_comes(lab) -> None:
    await send(lab, b"1", b"2")
    async with TopicReader(settings(lab.bootstrap), lab.entities_topic) as reader:
        assert await first(reader, 2) == [b"1", b"2"]
        await send(lab, b"3")
        assert await first(reader, 1) == [b"3"]


async def test_from_now_nothing_is_lost_between_the_look_up_and_the_first_read(lab) -> None:
    await send(lab, b"old")
    async with TopicReader(settings(lab.bootstrap), lab.entities_topic, start="now") as reader:
        for partition in range(PARTITIONS):
            await send(lab, b"new", partition=partition)
        assert await first(reader, PARTITIONS) == [b"new"] * PARTITIONS


async def test_from_a_time_it_starts_with_the_first_record_of_then_or_later(lab) -> None:
    now = datetime.now(UTC)
    for minutes in (30, 20, 10):
        await send(lab, str(minutes).encode(), at=now - timedelta(minutes=minutes))
    await send(lab, b"40 elsewhere", partition=1, at=now - timedelta(minutes=40))
    start = now - timedelta(minutes=20)
    async with TopicReader(settings(lab.bootstrap), lab.entities_topic, start=start) as reader:
        assert await first(reader, 2) == [b"20", b"10"]
        await send(lab, b"after all, from a clock that is late", partition=1, at=now - timedelta(minutes=50))
        assert await first(reader, 1) == [b"after all, from a clock that is late"]


async def test_records_of_several_partitions_come_by_time(lab) -> None:
    now = datetime.now(UTC)
    for minutes in range(8, 0, -1):
        await send(lab, str(minutes).encode(), partition=minutes % PARTITIONS, at=now - timedelta(minutes=minutes))
    async with TopicReader(settings(lab.bootstrap), lab.entities_topic) as reader:
        present = [record.value async for record in reader.present()]
    assert sorted(present) == sorted(str(minutes).encode() for minutes in range(1, 9))
    async with TopicReader(settings(lab.bootstrap), lab.entities_topic) as reader:
        await asyncio.sleep(1)  # all partitions are in its buffer by then
        assert await first(reader, 8) == [str(minutes).encode() for minutes in range(8, 0, -1)]


async def test_what_is_present_ends_though_more_comes_and_can_be_read_again(lab) -> None:
    await send(lab, b"1", b"2")
    async with TopicReader(settings(lab.bootstrap), lab.entities_topic) as reader:
        await send(lab, b"late")
        assert [record.value async for record in reader.present()] == [b"1", b"2"]
        assert [record.value async for record in reader.present()] == [b"1", b"2"]
        ends = reader.ends
    async with TopicReader(settings(lab.bootstrap), lab.entities_topic, until=ends) as reader:
        assert [record.value async for record in reader.present()] == [b"1", b"2"]


async def test_the_whole_of_the_last_batch_is_present(lab) -> None:
    sent = [await lab.producer.send(lab.entities_topic, str(number).encode(), partition=0) for number in range(5)]
    assert [(await confirmation).offset for confirmation in sent] == [0, 1, 2, 3, 4]
    async with TopicReader(settings(lab.bootstrap), lab.entities_topic) as reader:
        assert [record.value async for record in reader.present()] == [b"0", b"1", b"2", b"3", b"4"]
    async with TopicReader(settings(lab.bootstrap), lab.entities_topic, start="now") as reader:
        await send(lab, b"new")
        assert await first(reader, 1) == [b"new"]


async def test_nothing_present_is_nothing_read(lab) -> None:
    async with TopicReader(settings(lab.bootstrap), lab.entities_topic) as reader:
        assert [record async for record in reader.present()] == []


async def test_what_is_present_ends_behind_posts_that_were_aborted(kafka_lab) -> None:
    await send(kafka_lab, b"1")
    transactional = AIOKafkaProducer(bootstrap_servers=kafka_lab.bootstrap, transactional_id=kafka_lab.group)
    await transactional.start()
    await transactional.begin_transaction()
    await transactional.send_and_wait(kafka_lab.entities_topic, b"aborted", partition=0)
    await transactional.abort_transaction()
    await transactional.stop()
    async with asyncio.timeout(30), TopicReader(settings(kafka_lab.bootstrap), kafka_lab.entities_topic) as reader:
        assert [record.value async for record in reader.present()] == [b"1"]


async def test_one_record_is_found_by_its_place(lab) -> None:
    await send(lab, b"1", b"2", b"3")
    async with TopicReader(settings(lab.bootstrap), lab.entities_topic) as reader:
        found = await reader.at(0, 1)
        assert found is not None
        assert found.value == b"2"
        assert await reader.at(0, 3) is None
        assert await reader.at(1, 0) is None
        assert await reader.at(99, 0) is None
        assert reader.held(0) == "partition 0 holds 0 to 2"
        assert reader.held(1) == "partition 1 is empty"
        assert reader.held(99) == "it has the partitions 0, 1, 2, 3"


async def test_partitions_that_are_added_are_read_from_their_beginning(kafka_lab) -> None:
    await send(kafka_lab, b"old")
    async with TopicReader(settings(kafka_lab.bootstrap), kafka_lab.entities_topic, start="now") as reader:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka_lab.bootstrap)
        await admin.start()
        await admin.create_partitions({kafka_lab.entities_topic: NewPartitions(PARTITIONS + 1)})
        await admin.close()
        await send(kafka_lab, b"in an old one")
        await kafka_lab.producer.client.force_metadata_update()
        await send(kafka_lab, b"in the new one", partition=PARTITIONS)
        assert sorted(await first(reader, 2)) == [b"in an old one", b"in the new one"]
        await send(kafka_lab, b"later")
        assert await first(reader, 1) == [b"later"]


async def test_no_group_is_made_and_nothing_committed(kafka_lab) -> None:
    own = settings(kafka_lab.bootstrap, MNER_GROUP=kafka_lab.group)
    async with TopicReader(own, kafka_lab.posts_topic) as reader:
        await kafka_lab.send(1)
        await first(reader, 1)
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka_lab.bootstrap)
        await admin.start()
        groups = await admin.list_consumer_groups()
        await admin.close()
    assert kafka_lab.group not in {name for name, *_ in groups}


async def test_a_topic_that_is_missing_is_told_once_and_waited_for_where_one_may_wait(lab) -> None:
    topic = f"{lab.group}.later"
    with pytest.raises(TopicsUnavailable, match=f"no topic {topic}.*mner-worker topics"):
        await TopicReader(settings(lab.bootstrap), topic).__aenter__()
    told: list[str] = []
    reader = TopicReader(settings(lab.bootstrap), topic, start="now", waiting=told.append)
    opening = asyncio.create_task(reader.__aenter__())
    await until(lambda: told, "being told of the missing topic")
    await asyncio.sleep(2.5)
    await lab.make_topics(NewTopic(topic, 1, 1))
    await asyncio.wait_for(opening, 30)
    await reader.__aexit__(None, None, None)
    assert len(told) == 1
    assert "mner-worker topics" in told[0]


async def test_a_broker_that_is_missing_is_said_with_the_reason() -> None:
    began = time.monotonic()
    with pytest.raises(TopicsUnavailable, match=r"no broker at 127\.0\.0\.1:.*MNER_BROKERS.*Connect call failed"):
        await TopicReader(settings(f"127.0.0.1:{free_port()}"), "entities").__aenter__()
    assert time.monotonic() - began < 10
