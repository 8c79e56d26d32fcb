from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from worker.delivery.offset_tracker import CommitPoint
from worker.delivery.positions import Finding, Positions, Read

POSTS = ("posts", 0)
OTHER = ("posts", 1)


@dataclass(frozen=True)
class Record:
    """As much of a consumed record as positions look at."""

    offset: int
    timestamp: int = 0
    topic: str = "posts"
    partition: int = 0
    key: bytes | None = None
    value: bytes | None = b""
    headers: tuple[tuple[str, bytes], ...] = ()


def read(start: int, end: int, *, log: str = "first") -> Read:
    """All offsets from start to end, stamped by the log that they are in."""
    return Read(start, end, tuple(Record(offset, stamp(offset, log)) for offset in range(start, end)))


def stamp(offset: int, log: str = "first") -> int:
    return {"first": 1_000, "second": 900_000}[log] + offset


def positions(committed: CommitPoint | None = None) -> Positions:
    made = Positions()
    made.restart({POSTS: committed})
    return made


def offsets(made: Positions, what: Read) -> list[int]:
    return [record.offset for record in made.fetch(POSTS, what).records]


def test_reads_that_follow_one_another_are_delivered():
    made = positions(CommitPoint(10))
    assert made.judge(POSTS, read(10, 20)) is Finding.NEXT
    assert made.judge(POSTS, read(20, 25)) is Finding.NEXT
    assert made.expected(POSTS) == 25


def test_a_partition_with_nothing_committed_is_read_from_wherever_it_begins():
    made = positions(None)
    assert made.restart({POSTS: None}) == {}
    assert made.judge(POSTS, read(7, 9)) is Finding.NEXT


def test_holes_inside_a_read_are_none_of_ours():
    made = positions(CommitPoint(10))
    assert made.judge(POSTS, Read(10, 20, (Record(17),))) is Finding.NEXT
    assert made.judge(POSTS, read(20, 21)) is Finding.NEXT


def test_a_read_of_nothing_but_markers_moves_the_expectation_on():
    made = positions(CommitPoint(10))
    assert made.judge(POSTS, Read(10, 15, ())) is Finding.NEXT
    assert made.judge(POSTS, read(15, 16)) is Finding.NEXT


def test_a_read_that_begins_too_late_is_never_delivered():
    made = positions(CommitPoint(10))
    assert made.judge(POSTS, read(30, 40)) is Finding.SKIPPED
    assert made.judge(POSTS, read(30, 40)) is Finding.SKIPPED
    assert made.expected(POSTS) == 10
    assert made.judge(POSTS, read(10, 30)) is Finding.NEXT


def test_what_is_no_longer_in_the_log_is_not_waited_for():
    made = positions(CommitPoint(10))
    made.judge(POSTS, read(30, 40))
    made.skip_to(POSTS, 30)
    assert made.judge(POSTS, read(30, 40)) is Finding.NEXT


def test_a_first_read_that_is_lost_is_missed_even_where_nothing_was_committed():
    made = positions(None)
    made.begins_at(POSTS, 5)
    assert made.judge(POSTS, read(8, 9)) is Finding.SKIPPED


def test_a_log_that_begins_anew_opens_a_new_epoch_and_its_posts_are_delivered():
    made = positions(CommitPoint(1000))
    before = made.epoch(POSTS)
    assert made.judge(POSTS, read(0, 5)) is Finding.RESTARTED
    assert made.epoch(POSTS) != before
    assert offsets(made, read(0, 5)) == [0, 1, 2, 3, 4]
    assert made.judge(POSTS, read(5, 6)) is Finding.NEXT


def test_the_last_post_done_is_read_again_and_not_delivered_again():
    made = Positions()
    assert made.restart({POSTS: CommitPoint(10, stamp(9))}) == {POSTS: 9}
    assert made.judge(POSTS, read(9, 12)) is Finding.NEXT
    assert offsets(made, read(9, 12)) == [10, 11]
    assert made.judge(POSTS, read(12, 13)) is Finding.NEXT
    assert offsets(made, read(12, 13)) == [12]


def test_another_post_in_the_place_of_the_last_one_done_tells_of_a_rewritten_log():
    made = positions(CommitPoint(10, stamp(9)))
    assert made.judge(POSTS, read(9, 12, log="second")) is Finding.REWRITTEN
    made.read_from_beginning(POSTS)
    assert made.judge(POSTS, read(0, 12, log="second")) is Finding.NEXT
    assert offsets(made, read(0, 12, log="second")) == list(range(12))


def test_a_last_post_that_compaction_took_proves_nothing():
    made = positions(CommitPoint(10, stamp(9)))
    what = Read(9, 12, (Record(11, stamp(11)),))
    assert made.judge(POSTS, what) is Finding.NEXT
    assert offsets(made, what) == [11]


def test_a_last_post_that_retention_took_proves_nothing():
    made = positions(CommitPoint(10, stamp(9)))
    assert made.judge(POSTS, read(50, 60, log="second")) is Finding.SKIPPED
    made.skip_to(POSTS, 50)
    assert made.judge(POSTS, read(50, 60, log="second")) is Finding.NEXT
    assert offsets(made, read(50, 60)) == list(range(50, 60))


def test_a_commit_at_the_first_offset_has_no_post_before_it_to_compare():
    made = Positions()
    assert made.restart({POSTS: CommitPoint(0, 5)}) == {POSTS: 0}


def test_every_restart_is_another_epoch_and_partitions_left_out_are_nobodys():
    made = Positions()
    made.restart({POSTS: None, OTHER: None})
    first = made.epoch(POSTS)
    made.restart({POSTS: None})
    assert made.epoch(POSTS) != first
    assert made.epoch(OTHER) is None
    assert not made.is_current(POSTS, first)
    assert made.is_current(POSTS, made.epoch(POSTS))


def test_work_on_a_revoked_partition_is_out_of_date_even_when_it_comes_back():
    made = positions(None)
    epoch = made.epoch(POSTS)
    made.revoke([POSTS])
    assert not made.is_current(POSTS, epoch)
    made.restart({POSTS: None})
    assert not made.is_current(POSTS, epoch)


@given(
    reads=st.lists(st.tuples(st.sampled_from(["delivered", "lost"]), st.integers(1, 50)), max_size=40),
    committed=st.integers(0, 100),
)
def test_whatever_reads_are_lost_on_their_way_every_offset_is_delivered_once_an_epoch(reads, committed):
    """A consumer whose position runs ahead whenever a read is lost, against the plain count of offsets."""
    made = positions(CommitPoint(committed))
    position, delivered = committed, []
    for fate, length in reads:
        if fate == "lost":
            position += length
            continue
        finding = made.judge(POSTS, read(position, position + length))
        if finding is Finding.SKIPPED:
            position = made.expected(POSTS)
            finding = made.judge(POSTS, read(position, position + length))
        assert finding is Finding.NEXT
        delivered += offsets(made, read(position, position + length))
        position += length
    assert delivered == list(range(committed, committed + len(delivered)))
