"""What may be delivered of what was read: knows where each partition's next read must begin, and says when it does not.

A consumer's position moves for many reasons: a seek, a reset after the log was cut or made anew, a fetch that was
cancelled on its way here. The rule that keeps every post: what is read must begin where the last delivery ended.
Pure bookkeeping: the reads are the transport's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from itertools import count

from worker.delivery.offset_tracker import CommitPoint
from worker.messages.records import ConsumedRecord

Partition = tuple[str, int]
"""Topic and number."""


@dataclass(frozen=True, slots=True)
class Read:
    """One read of one partition: the positions before and after it, and what lay between.

    The positions may span more than the records do: compaction, transaction markers and aborted posts leave holes.
    """

    start: int
    end: int
    records: Sequence[ConsumedRecord]


@dataclass(frozen=True, slots=True)
class Fetch:
    """Records of one partition to be worked on, in offset order, and the epoch in which they were read."""

    partition: Partition
    epoch: int
    records: Sequence[ConsumedRecord]


class Finding(Enum):
    """What a read turned out to be."""

    NEXT = auto()
    """It begins where the last one ended."""
    SKIPPED = auto()
    """It begins later: go back and read what lies between, if it still is in the log."""
    RESTARTED = auto()
    """It begins earlier: the log was cut or made anew, and these are other posts under known offsets."""
    REWRITTEN = auto()
    """The last post done is not the one at its offset: the log lost its end and was filled anew."""


class Positions:
    """Where the reading of each assigned partition stands, in one epoch after the other.

    Every seek opens a new epoch. Work on posts of an epoch that is over comes again in the next, so it is dropped.
    """

    def __init__(self) -> None:
        self._epochs: dict[Partition, int] = {}
        self._expected: dict[Partition, int] = {}
        self._unproven: dict[Partition, CommitPoint] = {}
        self._count = count(1)

    def restart(self, committed: Mapping[Partition, CommitPoint | None]) -> dict[Partition, int]:
        """A new epoch for these partitions and no others; returns where to seek, those absent to their beginning.

        Where the commit carries a timestamp, reading begins with the last post done, to see that it is still the one.
        """
        self.revoke(self._epochs.keys() - committed.keys())
        return {
            partition: self._expected[partition]
            for partition, point in committed.items()
            if self._begin(partition, point)
        }

    def begins_at(self, partition: Partition, offset: int) -> None:
        """Where the beginning turned out to be that was sought; a first read that is lost would not be missed else."""
        if partition in self._epochs:
            self._expected.setdefault(partition, offset)

    def skip_to(self, partition: Partition, offset: int) -> None:
        """What was expected before this offset is no longer in the log."""
        self._expected[partition] = offset
        self._unproven.pop(partition, None)

    def read_from_beginning(self, partition: Partition) -> None:
        """A new epoch for one partition, from wherever its log begins."""
        self._begin(partition, None)

    def revoke(self, partitions: Iterable[Partition]) -> None:
        """These partitions are another worker's now."""
        for partition in list(partitions):
            for known in (self._epochs, self._expected, self._unproven):
                known.pop(partition, None)

    def is_current(self, partition: Partition, epoch: int) -> bool:
        """Whether work on posts of this epoch still counts."""
        return self._epochs.get(partition) == epoch

    def epoch(self, partition: Partition) -> int | None:
        """The partition's epoch, None when it is not ours or not yet sought."""
        return self._epochs.get(partition)

    def expected(self, partition: Partition) -> int | None:
        """Where the next read must begin, None when anywhere is right."""
        return self._expected.get(partition)

    def judge(self, partition: Partition, read: Read) -> Finding:
        """What this read is; one that is `NEXT` or `RESTARTED` counts as delivered from here on."""
        expected = self._expected.get(partition, read.start)
        if read.start > expected:
            return Finding.SKIPPED
        if self._is_rewritten(partition, read):
            return Finding.REWRITTEN
        if read.start < expected:
            self._begin(partition, None)
        self._expected[partition] = read.end
        return Finding.NEXT if read.start == expected else Finding.RESTARTED

    def fetch(self, partition: Partition, read: Read) -> Fetch:
        """The read's posts that were not done before."""
        proof = self._unproven.pop(partition, None)
        records = read.records
        if proof is not None and records and records[0].offset == proof.offset - 1:
            records = records[1:]
        return Fetch(partition, self._epochs[partition], records)

    def _begin(self, partition: Partition, point: CommitPoint | None) -> bool:
        self.revoke([partition])
        self._epochs[partition] = next(self._count)
        if point is None:
            return False
        self._expected[partition] = point.offset
        if point.last_timestamp_ms is not None and point.offset > 0:
            self._expected[partition] = point.offset - 1
            self._unproven[partition] = point
        return True

    def _is_rewritten(self, partition: Partition, read: Read) -> bool:
        """Retention or compaction may have taken the last post done: only another one in its place proves anything."""
        proof = self._unproven.get(partition)
        if proof is None or not read.records:
            return False
        first = read.records[0]
        return first.offset == proof.offset - 1 and first.timestamp != proof.last_timestamp_ms
