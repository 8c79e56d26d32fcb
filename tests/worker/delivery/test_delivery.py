import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest
from aiokafka.structs import ConsumerRecord
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from worker.delivery import delivery as delivery_module
from worker.delivery.delivery import Delivery, Limits
from worker.delivery.offset_tracker import CommitPoint
from worker.delivery.positions import Fetch
from worker.errors import Fatal
from worker.messages.records import Outcome, OutgoingMessage
from worker.telemetry.health import HealthState
from worker.telemetry.metrics import Metrics

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
        self.is_crowded = False
        self.batches: list[int] = []
        self.answer: Callable[[list], list[Outcome]] = lambda records: [answer(record) for record in records]

    async def answers(self, records):
        self.batches.append(len(records))
        await self.gate.wait()
        yield self.answer(records)


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
    made: ClassVar[list["Lab"]] = []
    """All of a test's: a task that waits inside a lab which nobody holds would be collected with it."""

    def __post_init__(self) -> None:
        self.made.append(self)
        self.source, self.publisher, self.pipeline = Source(), Publisher(), Pipeline()
        self.metrics, self.health = Metrics(), HealthState()
        self.delivery = Delivery(
            self.source,
            self.pipeline,
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


@pytest.fixture(autouse=True)
async def _what_a_test_holds_is_let_go():
    yield
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    Lab.made.clear()


async def until_settled():
    """Until nothing is left that could run without being told to."""
    for _ in range(50):
        await asyncio.sleep(0)


async def test_posts_are_published_and_then_committed_with_the_last_ones_timestamp(lab):
    await lab.delivery.accept(fetch(0, 3))
    assert await lab.delivery.drain(AT_ONCE)
    assert lab.publisher.offsets == [(0, 0), (0, 1), (0, 2)]
    assert lab.source.commits == [{ZERO: CommitPoint(3, 1_002)}]


async def test_commits_are_counted_by_whether_the_broker_took_them(lab):
    await lab.delivery.commit()
    await lab.delivery.accept(fetch(0, 3))
    await until_settled()
    lab.source.refuses = True
    await lab.delivery.commit()
    lab.source.refuses = False
    await lab.delivery.commit()
    await lab.delivery.commit()
    page = lab.metrics.render()[0].decode()
    assert 'mner_commits_total{result="done"} 1.0' in page
    assert 'mner_commits_total{result="kept"} 1.0' in page


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

    async def answers(records):
        if records[0].offset == 0:
            await held.wait()
        yield [answer(record) for record in records]

    lab.pipeline.answers = answers
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


async def test_nothing_that_follows_a_post_under_its_key_is_published_once_that_post_has_failed():
    """It comes again, and so does what follows it."""
    lab = Lab(Limits(batch_posts=1))
    held = asyncio.Event()

    async def answers(records):
        if records[0].offset == 0:
            await held.wait()
            raise Fatal("the device is lost")
        yield [answer(record) for record in records]

    lab.pipeline.answers = answers
    await lab.delivery.accept(fetch(0, 3, key=b"the same"))
    await lab.delivery.accept(fetch(3, 4, key=b"another"))
    await until_settled()
    held.set()
    with pytest.raises(Fatal):
        await lab.delivery.failed
    await until_settled()
    assert lab.publisher.offsets == [(0, 3)]
    assert lab.delivery.open_posts == 0


async def test_a_post_that_fails_while_it_waits_its_turn_does_not_disturb_the_one_before_it():
    lab = Lab(Limits(batch_posts=1))
    held = asyncio.Event()

    async def answers(records):
        if records[0].offset == 1:
            raise Fatal("the device is lost")
        await held.wait()
        yield [answer(record) for record in records]

    lab.pipeline.answers = answers
    await lab.delivery.accept(fetch(0, 2, key=b"the same"))
    await until_settled()
    held.set()
    await until_settled()
    await lab.delivery.commit()
    assert lab.publisher.offsets == [(0, 0)]
    assert lab.source.committed(ZERO) == 1


async def test_posts_without_a_key_wait_for_nobody():
    lab = Lab(Limits(batch_posts=1))
    held = hold_the_first_batch(lab)
    await lab.delivery.accept(Fetch(ZERO, 1, [replace(record(0, offset), key=None) for offset in range(3)]))
    await until_settled()
    assert lab.publisher.offsets == [(0, 1), (0, 2)]
    held.set()
    await lab.delivery.drain(AT_ONCE)


# Answers in parts


def answer_in_parts(lab, *parts):
    """Each batch is answered in these parts, lists of offsets, the first at once, each other when it is let go."""
    gates = [asyncio.Event() for _ in parts]
    gates[0].set()

    async def answers(records):
        for gate, offsets in zip(gates, parts, strict=True):
            await gate.wait()
            yield [answer(record) for record in records if record.offset in offsets]

    lab.pipeline.answers = answers
    return gates


async def test_what_is_ready_is_published_while_the_rest_of_its_batch_is_late(lab):
    gates = answer_in_parts(lab, [0, 2], [1])
    await lab.delivery.accept(fetch(0, 3))
    await until_settled()
    await lab.delivery.commit()
    assert lab.publisher.offsets == [(0, 0), (0, 2)]
    assert lab.delivery.open_posts == 1
    assert lab.source.committed(ZERO) == 1
    gates[1].set()
    assert await lab.delivery.drain(AT_ONCE)
    assert lab.source.committed(ZERO) == 3


async def test_a_batch_with_late_parts_leaves_its_slot_to_others():
    lab = Lab(Limits(batches=1, batch_posts=2))
    gates = answer_in_parts(lab, [0, 2, 4], [1, 3, 5])
    await lab.delivery.accept(fetch(0, 6))
    await until_settled()
    assert lab.publisher.offsets == [(0, 0), (0, 2), (0, 4)]
    gates[1].set()
    assert await lab.delivery.drain(AT_ONCE)


async def test_late_posts_count_against_the_bound_on_open_posts():
    lab = Lab(Limits(posts=3, batch_posts=2))
    gates = answer_in_parts(lab, [0, 2, 4], [1, 3, 5])
    await lab.delivery.accept(fetch(0, 6))
    await until_settled()
    waiting = asyncio.create_task(lab.delivery.accept(fetch(6, 7)))
    await until_settled()
    assert not waiting.done()
    gates[1].set()
    await waiting


async def test_a_key_is_free_as_soon_as_its_post_is_answered_though_its_batch_is_late():
    lab = Lab(Limits(batch_posts=2))
    gates = answer_in_parts(lab, [0, 2], [1, 3])
    keys = (b"early", b"late", b"early", b"late")
    await lab.delivery.accept(Fetch(ZERO, 1, [replace(record(0, offset), key=key) for offset, key in enumerate(keys)]))
    await until_settled()
    assert lab.publisher.offsets == [(0, 0), (0, 2)]
    gates[1].set()
    await lab.delivery.drain(AT_ONCE)
    assert lab.publisher.offsets == [(0, 0), (0, 2), (0, 1), (0, 3)]


async def test_batches_that_wait_for_late_posts_only_leave_their_slots_too():
    lab = Lab(Limits(batches=1, batch_posts=1))
    gates = answer_in_parts(lab, [1], [0])
    await lab.delivery.accept(fetch(0, 2))
    await until_settled()
    assert lab.publisher.offsets == [(0, 1)]
    gates[1].set()
    assert await lab.delivery.drain(AT_ONCE)


async def test_what_follows_a_late_post_under_its_key_holds_back_nothing_of_its_own_batch():
    lab = Lab(Limits(batches=1, batch_posts=3))
    gates = answer_in_parts(lab, [1, 2, 3, 4, 5], [0])
    await lab.delivery.accept(fetch(0, 1, key=b"late"))
    await lab.delivery.accept(fetch(1, 2))
    await lab.delivery.accept(fetch(2, 3))
    await lab.delivery.accept(fetch(3, 4, key=b"late"))
    await lab.delivery.accept(fetch(4, 6))
    await until_settled()
    assert lab.publisher.offsets == [(0, 1), (0, 2), (0, 4), (0, 5)]
    gates[1].set()
    assert await lab.delivery.drain(AT_ONCE)
    assert lab.publisher.offsets[-2:] == [(0, 0), (0, 3)]
    assert lab.source.committed(ZERO) == 6


async def test_no_post_is_taken_in_while_too_many_wait_for_their_images(lab):
    gates = answer_in_parts(lab, [0], [1])
    lab.pipeline.is_crowded = True
    waiting = asyncio.create_task(lab.delivery.accept(fetch(0, 2)))
    await until_settled()
    assert not waiting.done()
    lab.pipeline.is_crowded = False
    lab.delivery._changed.set()
    await waiting
    gates[1].set()


async def test_an_answer_to_a_post_that_was_not_given_is_an_error(lab):
    lab.pipeline.answer = lambda records: [answer(record(0, 99))]
    await lab.delivery.accept(fetch(0, 3))
    with pytest.raises(KeyError, match="99"):
        await lab.delivery.failed


async def test_late_posts_are_not_published_once_their_partition_has_left(lab):
    gates = answer_in_parts(lab, [0], [1, 2])
    await lab.delivery.accept(fetch(0, 3))
    await until_settled()
    lab.source.epochs[ZERO] = 2
    gates[1].set()
    assert await lab.delivery.drain(AT_ONCE)
    assert lab.publisher.offsets == [(0, 0)]
    assert lab.delivery.open_posts == 0


async def test_a_worker_whose_broker_is_away_is_live_and_one_whose_pipeline_hangs_is_not(lab):
    lab.publisher.gate.clear()
    await lab.delivery.accept(fetch(0, 3))
    await until_settled()
    assert (lab.health.tagging.posts, lab.health.publishing.posts) == (0, 3)
    lab.pipeline.gate.clear()
    await lab.delivery.accept(fetch(3, 5))
    await until_settled()
    assert (lab.health.tagging.posts, lab.health.publishing.posts) == (2, 3)
    lab.publisher.gate.set()
    lab.pipeline.gate.set()
    await lab.delivery.drain(AT_ONCE)
    assert (lab.health.tagging.posts, lab.health.publishing.posts) == (0, 0)


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


async def test_with_nothing_taken_in_there_is_nothing_to_commit(lab):
    assert await lab.delivery.commit()
    assert lab.source.commits == []


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


async def test_a_batch_that_is_cancelled_fails_the_delivery_and_no_other_is_started():
    """As when the event loop ends."""
    lab = Lab(Limits(batches=1, batch_posts=1))
    lab.pipeline.gate.clear()
    await lab.delivery.accept(fetch(0, 3))
    await until_settled()
    [task] = lab.delivery._batches
    task.cancel()
    with pytest.raises(RuntimeError, match="cancelled"):
        await lab.delivery.failed
    await until_settled()
    assert lab.pipeline.batches == [1]


async def test_an_outcome_too_few_is_an_error_and_not_a_post_lost(lab):
    lab.pipeline.answer = lambda records: [answer(record) for record in records[1:]]
    await lab.delivery.accept(fetch(0, 3))
    with pytest.raises(RuntimeError, match="left 1 of 3 records without an answer"):
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


async def test_a_post_that_is_left_untagged_is_done_when_its_record_is_confirmed_and_counted_as_such(lab):
    lab.pipeline.answer = lambda records: [replace(answer(record), kind="untagged") for record in records]
    await lab.delivery.accept(fetch(0, 3))
    await lab.delivery.drain(AT_ONCE)
    assert lab.source.committed(ZERO) == 3
    assert lab.registry().get_sample_value("mner_posts_total", {"outcome": "untagged"}) == 3


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

    async def answers(records):
        answered = [answer(record) for record in records]
        while answered:
            for _ in range(next(turns)):
                await asyncio.sleep(0)
            size = 1 + next(turns)
            part, answered = answered[:size], answered[size:]
            yield part

    async def commit_points(points):
        for (_, number), point in points.items():
            published = {offset for partition, offset in lab.publisher.offsets if partition == number}
            assert published >= set(range(point.offset))
        lab.source.commits.append(points)
        return True

    lab.pipeline.answers = answers
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
