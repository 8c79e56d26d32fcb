import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from aiokafka.structs import ConsumerRecord
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from worker import delivery as delivery_module
from worker.delivery import Delivery, Limits
from worker.errors import Fatal
from worker.health import HealthState
from worker.messages import Outcome, OutgoingMessage
from worker.metrics import Metrics
from worker.offset_tracker import CommitPoint
from worker.positions import Fetch

ZERO = ("posts", 0)
ONE = ("posts", 1)
AT_ONCE = 60.0


class Source:
    """Every partition is in epoch 1 until the test says otherwise; commits are written down."""

    def __init__(self) -> None:
        self.epochs: dict[tuple[str, int], int] = {}
        self.commits: list[dict[tuple[str, int], CommitPoint]] = []
        self.refuses = False
        self.rebalancing = False

    def is_current(self, partition, epoch):
        return self.epochs.get(partition, 1) == epoch

    async def commit_points(self, points):
        if not self.refuses:
            self.commits.append(dict(points))
        return not self.refuses

    def committed(self, partition):
        return max((points[partition].offset for points in self.commits if partition in points), default=None)


class Publisher:
    """Confirms when it is told to, or at once."""

    def __init__(self) -> None:
        self.published: list[Outcome] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def publish(self, outcomes):
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.published += outcomes
        return list(outcomes)

    @property
    def offsets(self):
        return [(outcome.record.partition, outcome.record.offset) for outcome in self.published]


class Pipeline:
    """Answers when it is told to, or at once, and writes down the sizes of its batches."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.batches: list[int] = []
        self.answer: Callable[[list], list[Outcome]] = lambda records: [answer(record) for record in records]

    async def process(self, records):
        self.batches.append(len(records))
        await self.gate.wait()
        return self.answer(records)


def answer(record):
    return Outcome(record, (OutgoingMessage("entities", record.key, b""),), "tagged")


def record(partition, offset, value=b"post", key=None):
    key = b"key-%d" % offset if key is None else key
    return ConsumerRecord("posts", partition, offset, 1_000 + offset, 0, key, value, None, 3, 4, ())


def fetch(start, end, partition=ZERO, epoch=1, value=b"post", key=None):
    return Fetch(partition, epoch, [record(partition[1], offset, value, key) for offset in range(start, end)])


@dataclass
class Lab:
    """A delivery between stand-ins."""

    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        self.source, self.publisher, self.pipeline = Source(), Publisher(), Pipeline()
        self.metrics, self.health = Metrics(), HealthState()
        self.delivery = Delivery(
            self.source,
            self.pipeline.process,
            self.publisher,
            metrics=self.metrics,
            health=self.health,
            limits=self.limits,
        )

    def registry(self) -> CollectorRegistry:
        return self.metrics.registry


@pytest.fixture
async def lab():
    return Lab()


async def until_settled():
    """Until nothing is left that could run without being told to."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_posts_are_published_and_then_committed_with_the_last_ones_timestamp(lab):
    await lab.delivery.accept(fetch(0, 3))
    assert await lab.delivery.drain(AT_ONCE)
    assert lab.publisher.offsets == [(0, 0), (0, 1), (0, 2)]
    assert lab.source.commits == [{ZERO: CommitPoint(3, 1_002)}]


async def test_nothing_is_committed_before_it_is_confirmed(lab):
    lab.publisher.gate.clear()
    await lab.delivery.accept(fetch(0, 3))
    await until_settled()
    await lab.delivery.commit()
    assert lab.source.commits == []
    lab.publisher.gate.set()
    await until_settled()
    await lab.delivery.commit()
    assert lab.source.committed(ZERO) == 3


def hold_the_first_batch(lab):
    """The batch that begins with offset 0 is answered once the event that this returns is set, all others at once."""
    held = asyncio.Event()

    async def process(records):
        if records[0].offset == 0:
            await held.wait()
        return [answer(record) for record in records]

    lab.delivery._process = process
    return held


async def test_a_slow_batch_holds_back_the_commit_of_those_behind_it():
    lab = Lab(Limits(batch_posts=2))
    held = hold_the_first_batch(lab)
    await lab.delivery.accept(fetch(0, 6))
    await until_settled()
    await lab.delivery.commit()
    assert lab.publisher.offsets == [(0, 2), (0, 3), (0, 4), (0, 5)]
    assert lab.source.commits == []
    held.set()
    await lab.delivery.drain(AT_ONCE)
    assert lab.source.committed(ZERO) == 6


async def test_what_follows_under_one_key_never_overtakes_what_it_follows():
    """A tombstone that came out before the record it deletes would leave that record standing."""
    lab = Lab(Limits(batch_posts=1))
    held = hold_the_first_batch(lab)
    await lab.delivery.accept(fetch(0, 3, key=b"the same"))
    await lab.delivery.accept(fetch(3, 4, key=b"another"))
    await lab.delivery.accept(fetch(0, 1, ONE, key=b"the same"))
    await until_settled()
    assert lab.publisher.offsets == [(0, 3)], "the partition's other key waits for nobody, offset 0 of each is held"
    held.set()
    await lab.delivery.drain(AT_ONCE)
    assert [offset for partition, offset in lab.publisher.offsets if partition == 0] == [3, 0, 1, 2]


async def test_long_posts_make_short_batches():
    lab = Lab(Limits(batch_bytes=100))
    await lab.delivery.accept(fetch(0, 6, value=b"x" * 60))
    await lab.delivery.drain(AT_ONCE)
    assert lab.pipeline.batches == [2, 2, 2]


async def test_partitions_are_committed_each_for_itself(lab):
    await lab.delivery.accept(fetch(0, 3, ZERO))
    await lab.delivery.accept(fetch(10, 11, ONE))
    await lab.delivery.drain(AT_ONCE)
    assert {partition: lab.source.committed(partition) for partition in (ZERO, ONE)} == {ZERO: 3, ONE: 11}


async def test_what_could_not_be_committed_is_committed_later(lab):
    lab.source.refuses = True
    await lab.delivery.accept(fetch(0, 3))
    assert not await lab.delivery.drain(AT_ONCE)
    lab.source.refuses = False
    assert await lab.delivery.commit()
    assert lab.source.committed(ZERO) == 3


async def test_what_is_committed_is_not_committed_again(lab):
    await lab.delivery.accept(fetch(0, 3))
    await lab.delivery.drain(AT_ONCE)
    await lab.delivery.commit()
    assert len(lab.source.commits) == 1


# What is open is bounded


async def test_a_fetch_waits_while_too_many_posts_are_open():
    lab = Lab(Limits(posts=5))
    lab.pipeline.gate.clear()
    await lab.delivery.accept(fetch(0, 5))
    waiting = asyncio.create_task(lab.delivery.accept(fetch(5, 6)))
    await until_settled()
    assert not waiting.done()
    assert lab.delivery.open_posts == 5
    lab.pipeline.gate.set()
    await waiting
    await lab.delivery.drain(AT_ONCE)
    assert lab.source.committed(ZERO) == 6


async def test_a_fetch_waits_while_too_many_bytes_are_open():
    lab = Lab(Limits(bytes=1000))
    lab.pipeline.gate.clear()
    await lab.delivery.accept(fetch(0, 1, value=b"x" * 1000))
    waiting = asyncio.create_task(lab.delivery.accept(fetch(1, 2)))
    await until_settled()
    assert not waiting.done()
    lab.pipeline.gate.set()
    await waiting


async def test_no_more_batches_are_in_flight_than_allowed():
    lab = Lab(Limits(batches=3, batch_posts=2))
    lab.pipeline.gate.clear()
    await lab.delivery.accept(fetch(0, 20))
    await until_settled()
    assert lab.pipeline.batches == [2, 2, 2]


async def test_small_fetches_share_a_batch_while_all_are_busy_and_large_ones_are_cut():
    lab = Lab(Limits(batches=1, batch_posts=4))
    lab.pipeline.gate.clear()
    for offset in range(3):
        await lab.delivery.accept(fetch(offset, offset + 1))
    await lab.delivery.accept(fetch(3, 10))
    lab.pipeline.gate.set()
    await lab.delivery.drain(AT_ONCE)
    assert lab.pipeline.batches == [1, 4, 4, 1]
    assert lab.publisher.offsets == [(0, offset) for offset in range(10)]


# Partitions that leave


async def test_a_fetch_of_a_partition_that_left_while_it_waited_is_dropped(lab):
    lab.source.epochs[ZERO] = 2
    await lab.delivery.accept(fetch(0, 3, epoch=1))
    assert lab.delivery.open_posts == 0
    await lab.delivery.drain(AT_ONCE)
    assert lab.publisher.published == []


async def test_answers_to_posts_whose_partition_left_are_not_published(lab):
    lab.pipeline.gate.clear()
    await lab.delivery.accept(fetch(0, 3, ZERO))
    await lab.delivery.accept(fetch(0, 3, ONE))
    await until_settled()
    lab.source.epochs[ZERO] = 2
    lab.pipeline.gate.set()
    await lab.delivery.drain(AT_ONCE)
    assert lab.publisher.offsets == [(1, 0), (1, 1), (1, 2)]
    assert lab.source.committed(ZERO) is None


async def test_posts_that_wait_for_a_batch_are_let_go_when_their_partition_leaves():
    lab = Lab(Limits(batches=1))
    lab.pipeline.gate.clear()
    await lab.delivery.accept(fetch(0, 1, ZERO))
    await lab.delivery.accept(fetch(0, 3, ONE))
    lab.source.epochs[ONE] = 2
    lab.pipeline.gate.set()
    await lab.delivery.drain(AT_ONCE)
    assert lab.pipeline.batches == [1]
    assert lab.delivery.open_posts == 0


async def test_posts_published_after_their_partition_left_are_not_committed(lab):
    lab.publisher.gate.clear()
    await lab.delivery.accept(fetch(0, 3))
    await until_settled()
    lab.source.epochs[ZERO] = 2
    lab.delivery.forget([ZERO])
    lab.publisher.gate.set()
    await lab.delivery.drain(AT_ONCE)
    assert lab.source.commits == []


async def test_a_partition_that_comes_back_is_tracked_from_where_it_begins_again(lab):
    lab.publisher.gate.clear()
    await lab.delivery.accept(fetch(100, 103))
    await until_settled()
    lab.source.epochs[ZERO] = 2
    await lab.delivery.accept(fetch(0, 2, epoch=2))
    lab.publisher.gate.set()
    await lab.delivery.drain(AT_ONCE)
    assert lab.source.commits == [{ZERO: CommitPoint(2, 1_001)}]


# Draining


async def test_draining_waits_for_what_is_open_and_takes_nothing_more_in(lab):
    lab.pipeline.gate.clear()
    await lab.delivery.accept(fetch(0, 3))
    draining = asyncio.create_task(lab.delivery.drain(AT_ONCE))
    await until_settled()
    late = asyncio.create_task(lab.delivery.accept(fetch(3, 4)))
    await until_settled()
    assert not draining.done()
    assert not late.done()
    lab.pipeline.gate.set()
    assert await draining
    assert lab.source.committed(ZERO) == 3
    await late


async def test_draining_ends_in_time_though_a_batch_hangs_and_commits_what_is_done(lab):
    await lab.delivery.accept(fetch(0, 3))
    await until_settled()
    lab.pipeline.gate.clear()
    await lab.delivery.accept(fetch(3, 5))
    assert not await lab.delivery.drain(0.01)
    assert lab.source.committed(ZERO) == 3


async def test_an_intake_that_is_closed_stays_closed_after_the_drain(lab):
    lab.delivery.close_intake()
    await lab.delivery.drain(AT_ONCE)
    late = asyncio.create_task(lab.delivery.accept(fetch(0, 1)))
    await until_settled()
    assert not late.done()
    late.cancel()


# Failing


@pytest.mark.parametrize("error", [Fatal("the device is lost"), RuntimeError("nobody foresaw this")])
async def test_an_error_of_the_pipeline_fails_the_delivery_and_commits_nothing_past_it(lab, error):
    def fail(records):
        raise error

    lab.pipeline.answer = fail
    await lab.delivery.accept(fetch(0, 3))
    with pytest.raises(type(error), match=str(error)):
        await lab.delivery.failed
    await lab.delivery.commit()
    assert lab.source.commits == []


async def test_an_error_of_the_publisher_fails_the_delivery(lab):
    lab.publisher.error = Fatal("not even the dead letter")
    await lab.delivery.accept(fetch(0, 3))
    with pytest.raises(Fatal):
        await lab.delivery.failed


async def test_an_outcome_too_few_is_an_error_and_not_a_post_lost(lab):
    lab.pipeline.answer = lambda records: [answer(record) for record in records[1:]]
    await lab.delivery.accept(fetch(0, 3))
    with pytest.raises(RuntimeError, match="2 outcomes for 3 records"):
        await lab.delivery.failed


async def test_after_a_failure_nothing_is_started(lab):
    lab.delivery.fail(RuntimeError("first"))
    lab.delivery.fail(RuntimeError("second"))
    late = asyncio.create_task(lab.delivery.accept(fetch(0, 1)))
    await until_settled()
    assert lab.pipeline.batches == []
    late.cancel()
    with pytest.raises(RuntimeError, match="first"):
        await lab.delivery.failed


# The commit loop


async def test_commits_are_made_by_themselves_but_not_while_partitions_change_hands(lab, monkeypatch):
    monkeypatch.setattr(delivery_module, "COMMIT_INTERVAL_S", 0.0)
    lab.source.rebalancing = True
    committing = asyncio.create_task(lab.delivery.commit_regularly())
    await lab.delivery.accept(fetch(0, 3))
    await until_settled()
    assert lab.source.commits == []
    lab.source.rebalancing = False
    await until_settled()
    assert lab.source.committed(ZERO) == 3
    committing.cancel()


# What others are told


async def test_answers_are_counted_when_they_are_confirmed(lab):
    lab.publisher.gate.clear()
    await lab.delivery.accept(fetch(0, 3))
    await until_settled()
    count = lab.registry().get_sample_value
    assert count("mner_posts_total", {"outcome": "tagged"}) == 0
    assert lab.delivery.open_posts == 3
    assert lab.delivery.oldest_open_s() > 0
    lab.publisher.gate.set()
    await lab.delivery.drain(AT_ONCE)
    assert count("mner_posts_total", {"outcome": "tagged"}) == 3
    assert count("mner_post_latency_seconds_count") == 3
    assert lab.delivery.oldest_open_s() == 0


# All of it at once


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    sizes=st.lists(st.tuples(st.sampled_from([ZERO, ONE]), st.integers(1, 9)), min_size=1, max_size=25),
    limits=st.builds(Limits, posts=st.integers(1, 30), batches=st.integers(1, 4), batch_posts=st.integers(1, 8)),
    naps=st.lists(st.integers(0, 4), min_size=1, max_size=20),
)
async def test_whatever_the_sizes_and_the_order_every_post_is_published_before_its_offset_is_committed(
    sizes, limits, naps
):
    lab = Lab(limits)
    turns = iter(naps * 1000)

    async def process(records):
        for _ in range(next(turns)):
            await asyncio.sleep(0)
        return [answer(record) for record in records]

    async def commit_points(points):
        for (_, number), point in points.items():
            published = {offset for partition, offset in lab.publisher.offsets if partition == number}
            assert published >= set(range(point.offset))
        lab.source.commits.append(points)
        return True

    lab.delivery._process = process
    lab.source.commit_points = commit_points
    ends = {ZERO: 0, ONE: 0}
    for partition, size in sizes:
        await lab.delivery.accept(fetch(ends[partition], ends[partition] + size, partition))
        ends[partition] += size
        await lab.delivery.commit()
    assert await lab.delivery.drain(AT_ONCE)
    assert sorted(lab.publisher.offsets) == [
        (partition[1], offset) for partition in (ZERO, ONE) for offset in range(ends[partition])
    ]
    assert {partition: lab.source.committed(partition) or 0 for partition in (ZERO, ONE)} == ends
