"""Batches as delivery carries them, and the order that keys put them in."""

from aiokafka.structs import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from worker.delivery.batches import Batch, KeyOrder, Slice, batch_of, fitting, keys, size_bytes
from worker.delivery.offset_tracker import OffsetTracker


def record(offset, key=None, value=b"post", partition=0):
    return ConsumerRecord("posts", partition, offset, 0, 0, key, value, None, 0, 0, ())


def batch(*records) -> Batch:
    return batch_of([Slice(("posts", 0), OffsetTracker(1), records, since=0.0)])


def test_keys_hold_within_a_partition_and_no_key_holds_nothing():
    assert keys([record(0, b"a"), record(1), record(2, b"a"), record(3, b"a", partition=1)]) == {
        ("posts", 0, b"a"),
        ("posts", 1, b"a"),
    }


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20), st.integers(1, 25), st.integers(1, 200))
def test_what_fits_is_at_most_so_many_posts_and_goes_beyond_the_bytes_by_one_post_at_most(sizes, posts, room):
    records = [record(offset, value=b"x" * size) for offset, size in enumerate(sizes)]
    count = fitting(records, posts, room)
    assert 1 <= count <= min(posts, len(records))
    assert size_bytes(records[: count - 1]) < room
    if count < min(posts, len(records)):
        assert size_bytes(records[:count]) >= room


async def test_a_batch_is_behind_the_last_one_with_its_key_until_that_is_answered():
    order = KeyOrder()
    first, other, second, third = (batch(record(n, key)) for n, key in enumerate((b"a", b"b", b"a", b"a")))
    for one in (first, other, second, third):
        order.enter(one)
    assert [one.is_behind(one.records[0]) for one in (first, other, second, third)] == [False, False, True, True]
    order.leave(first, first.records, answered=True)
    assert [one.is_behind(one.records[0]) for one in (second, third)] == [False, True]
    order.leave(second, second.records, answered=False)
    assert third.is_behind(third.records[0]), "what came before it failed, and is still to come"


@given(st.lists(st.lists(st.sampled_from([b"a", b"b", b"c", None]), min_size=1, max_size=4), max_size=12))
async def test_when_all_are_answered_nothing_waits_and_nothing_is_remembered(batches):
    order = KeyOrder()
    made = [batch(*(record(10 * n + i, key) for i, key in enumerate(of))) for n, of in enumerate(batches)]
    for one in made:
        order.enter(one)
    for one in made:
        assert not any(one.is_behind(each) for each in one.records)
        order.leave(one, one.records, answered=True)
    assert not order._last
    assert not any(one.awaited for one in made)
