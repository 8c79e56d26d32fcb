import asyncio
import time
from collections import defaultdict
from types import SimpleNamespace

import pytest
from aiokafka.errors import IllegalStateError
from aiokafka.structs import ConsumerRecord
from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.delivery.offset_tracker import CommitPoint
from worker.delivery.positions import Positions, Read
from worker.delivery.transport import Consumer
from worker.delivery.transport.client import Client

ZERO = TP("posts", 0)
ONE = TP("posts", 1)


class Broker:
    """Logs and commits in memory behind the interface of the transport's client, with aiokafka's ways of moving on.

    A position beyond the end is reset to the beginning, and a read moves the position whether or not it arrives.
    """

    def __init__(self, **posts: int) -> None:
        self.logs = {TP("posts", int(name[1:])): self.log(int(name[1:]), count) for name, count in posts.items()}
        self.begins: dict[TP, int] = defaultdict(int)
        self.commits: dict[TP, CommitPoint] = {}
        self.positions: dict[TP, int] = {}
        self.told_ends: dict[TP, int] = {}
        self.end_errors: list[Exception] = []
        self.read_size = 3
        self.seek_errors: list[Exception] = []
        self.before_reply = lambda: None

    @staticmethod
    def log(partition, count, stamp=1_000):
        return [
            ConsumerRecord("posts", partition, offset, stamp + offset, 0, b"key", b"post", None, 3, 4, ())
            for offset in range(count)
        ]

    async def read(self, partitions, timeout_s):
        reads = {}
        for partition in sorted(partitions):
            start, log = self.positions.get(partition, 0), self.logs[partition]
            self.told_ends[partition] = len(log)
            if start > len(log) or start < self.begins[partition]:
                start = self.begins[partition]
            records = log[start : start + self.read_size]
            self.positions[partition] = start + len(records)
            if records:
                reads[partition] = Read(start, start + len(records), records)
        self.before_reply()
        return reads

    async def beginning(self, partition):
        if self.seek_errors:
            raise self.seek_errors.pop()
        return self.begins[partition]

    async def committed(self):
        return {partition: self.commits.get(partition) for partition in self.logs}

    async def seek_all(self, offsets, beginning):
        if self.seek_errors:
            raise self.seek_errors.pop()
        self.positions.update(offsets)
        self.positions.update({partition: self.begins[partition] for partition in beginning})
        return dict(self.positions)

    async def commit_points(self, points):
        self.commits.update(points)
        return True

    def highwater(self, partition):
        return self.told_ends.get(partition)

    async def refresh_ends(self):
        if self.end_errors:
            raise self.end_errors.pop()
        self.told_ends = {partition: len(log) for partition, log in self.logs.items()}


class Offline(Consumer):
    """The consumer on that broker, without the services that Faust starts around it."""

    def __init__(self, broker: Broker) -> None:
        self._thread = broker
        self.app = SimpleNamespace(
            consumer_generation_id=1,
            rebalancing=False,
            monitor=SimpleNamespace(track_tp_end_offset=lambda partition, end: None),
        )
        self.positions = Positions()
        self._committed = {}
        self._seek_is_due = True
        self._read_offset = defaultdict(lambda: None)
        self._active_partitions = set(broker.logs)
        self.flow_active = True
        self.stopping = False

    @property
    def should_stop(self):
        return self.stopping

    async def sleep(self, seconds):
        await asyncio.sleep(0)

    async def messages(self, *, rounds: int = 1):
        return [message async for _ in range_async(rounds) async for _, message in self.getmany(timeout=0)]

    async def offsets(self, partition=ZERO, *, rounds: int = 1):
        messages = await self.messages(rounds=rounds)
        return [record.offset for message in messages if message.tp == partition for record in message.value.records]


async def range_async(count):
    for number in range(count):
        yield number


async def test_a_read_becomes_one_message_that_carries_its_records_and_epoch():
    consumer = Offline(Broker(p0=3))
    (message,) = await consumer.messages()
    assert (message.tp, message.offset, message.generation_id) == (ZERO, 2, 1)
    assert [record.offset for record in message.value.records] == [0, 1, 2]
    assert consumer.is_current(ZERO, message.value.epoch)


async def test_each_partition_has_a_message_of_its_own():
    consumer = Offline(Broker(p0=3, p1=2))
    assert [message.tp for message in await consumer.messages()] == [ZERO, ONE]


async def test_reading_begins_behind_what_was_committed():
    broker = Broker(p0=9)
    broker.commits[ZERO] = CommitPoint(4, 1_003)
    assert await Offline(broker).offsets(rounds=4) == [4, 5, 6, 7, 8]


async def test_a_partition_with_nothing_committed_is_read_from_its_beginning_wherever_the_position_stood():
    broker = Broker(p0=6)
    broker.positions[ZERO] = 5
    assert await Offline(broker).offsets(rounds=3) == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("error", [IllegalStateError(), TimeoutError()])
async def test_a_seek_that_failed_is_made_again_before_anything_is_read(error):
    broker = Broker(p0=6)
    broker.commits[ZERO] = CommitPoint(3, 1_002)
    broker.seek_errors = [error, error]
    consumer = Offline(broker)
    assert await consumer.offsets(rounds=2) == []
    assert await consumer.offsets(rounds=2) == [3, 4, 5]


async def test_a_read_that_was_lost_on_its_way_is_read_again():
    broker = Broker(p0=9)
    consumer = Offline(broker)
    assert await consumer.offsets() == [0, 1, 2]
    await broker.read({ZERO}, 0)
    assert await consumer.offsets(rounds=4) == [3, 4, 5, 6, 7, 8]


async def test_what_is_read_while_the_flow_stops_is_read_again_after_the_seek():
    broker = Broker(p0=6)
    consumer = Offline(broker)
    broker.before_reply = lambda: setattr(consumer, "flow_active", False)
    assert await consumer.offsets() == []
    broker.before_reply = lambda: None
    consumer.flow_active = True
    await consumer.perform_seek()
    assert await consumer.offsets(rounds=3) == [0, 1, 2, 3, 4, 5]


async def test_a_read_from_before_a_revocation_is_dropped_and_read_again():
    broker = Broker(p0=6)
    consumer = Offline(broker)

    def revoke():
        consumer.positions.revoke([ZERO])
        consumer._seek_is_due = True
        broker.before_reply = lambda: None

    broker.before_reply = revoke
    assert await consumer.offsets() == []
    assert await consumer.offsets(rounds=2) == [0, 1, 2, 3, 4, 5]


async def test_a_paused_partition_delivers_nothing_and_loses_nothing():
    broker = Broker(p0=6, p1=6)
    consumer = Offline(broker)
    broker.before_reply = lambda: consumer._active_partitions.discard(ONE)
    assert await consumer.offsets(ONE) == []
    broker.before_reply = lambda: None
    consumer._active_partitions.add(ONE)
    assert await consumer.offsets(ONE, rounds=4) == [0, 1, 2, 3, 4, 5]


async def test_a_topic_made_anew_is_read_from_its_beginning_in_a_new_epoch():
    broker = Broker(p0=6)
    consumer = Offline(broker)
    first = await consumer.messages(rounds=2)
    broker.logs[ZERO] = Broker.log(0, 4)
    again = await consumer.messages(rounds=2)
    assert [record.offset for message in again for record in message.value.records] == [0, 1, 2, 3]
    assert not consumer.is_current(ZERO, first[-1].value.epoch)
    assert consumer.is_current(ZERO, again[-1].value.epoch)


async def test_faust_does_not_drop_what_comes_after_a_log_that_was_cut():
    broker = Broker(p0=6)
    consumer = Offline(broker)
    await consumer.messages(rounds=2)
    consumer._read_offset[ZERO] = 5
    broker.logs[ZERO] = Broker.log(0, 4)
    await consumer.messages(rounds=1)
    assert consumer._read_offset[ZERO] is None


async def test_a_log_that_lost_its_end_and_was_filled_anew_is_read_as_a_whole():
    broker = Broker(p0=20)
    broker.commits[ZERO] = CommitPoint(12, 1_011)
    broker.logs[ZERO] = Broker.log(0, 8) + Broker.log(0, 30, stamp=900_000)[8:]
    assert await Offline(broker).offsets(rounds=12) == list(range(30))


async def test_posts_that_retention_took_are_gone_and_the_rest_is_read():
    broker = Broker(p0=20)
    broker.commits[ZERO] = CommitPoint(5, 1_004)
    broker.begins[ZERO] = 10
    assert await Offline(broker).offsets(rounds=6) == list(range(10, 20))


async def test_lag_counts_from_what_was_committed():
    broker = Broker(p0=9, p1=4)
    broker.commits[ZERO] = CommitPoint(4, 1_003)
    consumer = Offline(broker)
    assert consumer.lag() == {}
    await consumer.messages()
    assert consumer.lag() == {ZERO: 5, ONE: 4}
    await consumer.commit_points({ZERO: CommitPoint(7, 1_006)})
    assert consumer.lag() == {ZERO: 2, ONE: 4}


async def test_lag_grows_while_nothing_is_read_and_a_question_that_fails_is_asked_again():
    broker = Broker(p0=9)
    consumer = Offline(broker)
    await consumer.messages()
    broker.logs[ZERO] = Broker.log(0, 30)
    await consumer.refresh_ends()
    assert consumer.lag() == {ZERO: 30}
    broker.logs[ZERO] = Broker.log(0, 40)
    broker.end_errors.append(TimeoutError())
    await consumer.refresh_ends()
    assert consumer.lag() == {ZERO: 30}


@pytest.mark.parametrize(("told_s_ago", "end"), [(20, 40), (40, None), (None, None)])
def test_an_end_is_known_for_half_a_minute_after_a_broker_told_it(told_s_ago, end):
    told_at = None if told_s_ago is None else (time.time() - told_s_ago) * 1000
    state = SimpleNamespace(highwater=40, timestamp=told_at)
    assignment = SimpleNamespace(tps={ZERO}, state_value=lambda partition: state)
    client = Client.__new__(Client)
    client._consumer = SimpleNamespace(
        _subscription=SimpleNamespace(subscription=SimpleNamespace(assignment=assignment))
    )
    assert client.highwater(ZERO) == end
    assert client.highwater(ONE) is None


@settings(max_examples=80, deadline=None)
@given(
    events=st.lists(
        st.sampled_from(["read", "read", "read", "lost", "flow stopped", "rebalanced", "seek fails", "committed"]),
        max_size=40,
    ),
    read_size=st.integers(1, 7),
)
async def test_whatever_happens_every_post_is_delivered_in_order_from_what_was_committed(events, read_size):
    broker = Broker(p0=40)
    broker.read_size = read_size
    consumer = Offline(broker)
    delivered: list[int] = []
    since_commit = 0
    epoch = -1

    async def read_on(rounds):
        nonlocal delivered, epoch
        for message in await consumer.messages(rounds=rounds):
            epoch = message.value.epoch
            offsets = [record.offset for record in message.value.records]
            if offsets[0] != len(delivered):
                assert offsets[0] == since_commit, "only a new epoch may go back, and only to what was committed"
                delivered = delivered[: offsets[0]]
            delivered += offsets

    for event in events:
        match event:
            case "read":
                await read_on(1)
            case "lost":
                await broker.read({ZERO}, 0)
            case "flow stopped":
                broker.before_reply = lambda: setattr(consumer, "flow_active", False)
                await read_on(1)
                broker.before_reply = lambda: None
                consumer.flow_active = True
                await consumer.perform_seek()
            case "rebalanced":
                consumer.positions.revoke([ZERO])
                await consumer.perform_seek()
            case "seek fails":
                broker.seek_errors.append(TimeoutError())
            # as the delivery does: once a new epoch has begun, work of an earlier one is not committed any more
            case "committed" if consumer.is_current(ZERO, epoch):
                since_commit = len(delivered)
                broker.commits[ZERO] = CommitPoint(since_commit, 1_000 + since_commit - 1)
    broker.seek_errors.clear()
    # a read that was lost at the very end, with no stop of the flow that a seek would follow, shows with the next post
    broker.logs[ZERO] = Broker.log(0, 41)
    await read_on(100)
    assert delivered == list(range(41))
