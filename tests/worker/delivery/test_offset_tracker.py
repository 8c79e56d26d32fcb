import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.delivery.offset_tracker import CommitPoint, OffsetTracker


def oracle(delivered: list[int], done: set[int]) -> CommitPoint | None:
    """By the definition: the posts before the first that is not done, in delivery order."""
    prefix = []
    for offset in delivered:
        if offset not in done:
            break
        prefix.append(offset)
    return CommitPoint(prefix[-1] + 1, timestamp(prefix[-1])) if prefix else None


def timestamp(offset: int) -> int:
    return 1_700_000_000_000 + offset


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Offsets in delivery order, with holes, and some of them in the order in which they were done."""
    delivered = sorted(draw(st.sets(st.integers(0, 500), min_size=1, max_size=60)))
    finished = draw(st.permutations(delivered))
    return delivered, finished[: draw(st.integers(0, len(delivered)))]


@given(history=histories())
def test_the_commit_point_is_the_end_of_the_contiguous_done_prefix(history):
    delivered, finished = history
    tracker = OffsetTracker(epoch=1)
    tracker.track(delivered)
    for count, offset in enumerate(finished, start=1):
        tracker.done(offset, timestamp(offset))
        assert tracker.commit_point() == oracle(delivered, set(finished[:count]))


@given(history=histories(), ahead=st.integers(1, 20))
def test_posts_may_be_delivered_while_others_are_being_done(history, ahead):
    delivered, _ = history
    tracker = OffsetTracker(epoch=1)
    for start in range(0, len(delivered), ahead):
        tracker.track(delivered[start : start + ahead])
        for offset in delivered[start : start + ahead]:
            tracker.done(offset, timestamp(offset))
        so_far = delivered[: start + ahead]
        assert tracker.commit_point() == oracle(so_far, set(so_far))


@given(history=histories(), data=st.data())
def test_duplicates_in_delivery_and_in_confirmation_change_nothing(history, data):
    delivered, finished = history
    tracker, plain = OffsetTracker(epoch=1), OffsetTracker(epoch=1)
    plain.track(delivered)
    tracker.track(delivered)
    tracker.track(data.draw(st.lists(st.sampled_from(delivered))))
    for offset in finished:
        for again in [offset, *data.draw(st.lists(st.sampled_from(finished), max_size=3))]:
            if again in finished[: finished.index(offset) + 1]:
                tracker.done(again, timestamp(again))
        plain.done(offset, timestamp(offset))
        assert tracker.commit_point() == plain.commit_point()


def test_nothing_is_to_be_committed_while_the_first_post_is_open():
    tracker = OffsetTracker(epoch=1)
    tracker.track([4, 5, 6])
    tracker.done(5, 50)
    tracker.done(6, 60)
    assert tracker.commit_point() is None


def test_what_was_committed_is_not_committed_again():
    tracker = OffsetTracker(epoch=1)
    tracker.track([1, 2])
    tracker.done(1, 10)
    point = tracker.commit_point()
    assert point == CommitPoint(2, 10)
    tracker.committed(point)
    assert tracker.commit_point() is None


def test_what_could_not_be_committed_is_offered_again():
    tracker = OffsetTracker(epoch=1)
    tracker.track([1, 2])
    tracker.done(1, 10)
    assert tracker.commit_point() == tracker.commit_point() == CommitPoint(2, 10)


def test_a_late_duplicate_never_moves_the_commit_back():
    tracker = OffsetTracker(epoch=1)
    tracker.track([1, 2, 3])
    for offset in (1, 2, 3):
        tracker.done(offset, offset)
    assert tracker.commit_point() == CommitPoint(4, 3)
    tracker.track([1, 2])
    tracker.done(1, 1)
    assert tracker.commit_point() == CommitPoint(4, 3)


def test_a_post_that_was_never_delivered_is_not_remembered_as_done():
    tracker = OffsetTracker(epoch=1)
    tracker.done(7, 70)
    tracker.track([7])
    assert tracker.commit_point() is None


@given(offset=st.integers(0, 2**63 - 1), stamp=st.none() | st.integers(0, 2**62))
def test_a_commit_point_survives_its_way_to_the_broker_and_back(offset, stamp):
    point = CommitPoint(offset, stamp)
    assert CommitPoint.read(point.offset, point.metadata) == point


@pytest.mark.parametrize(
    "metadata", ["", "reset by hand", "last_timestamp_ms=", "last_timestamp_ms=x", "last_timestamp_ms=-1"]
)
def test_metadata_that_is_not_ours_counts_as_no_timestamp(metadata):
    assert CommitPoint.read(5, metadata) == CommitPoint(5)


@given(metadata=st.text())
def test_no_metadata_makes_reading_it_fail(metadata):
    assert CommitPoint.read(5, metadata).offset == 5
