"""Which offsets may be committed: the contiguous prefix of posts that are done.

Knows nothing of Kafka clients: offsets go in as they are delivered, one commit point per partition comes out.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

MARK = "last_timestamp_ms="


@dataclass(frozen=True, slots=True)
class CommitPoint:
    """Everything before `offset` is done; the last post done carried this timestamp."""

    offset: int
    last_timestamp_ms: int | None = None

    @property
    def metadata(self) -> str:
        """The timestamp, as the text that is committed beside the offset."""
        return "" if self.last_timestamp_ms is None else f"{MARK}{self.last_timestamp_ms}"

    @classmethod
    def read(cls, offset: int, metadata: str) -> Self:
        """What was committed; metadata that is not ours, such as an operator's tool leaves, counts as no timestamp."""
        text = metadata.removeprefix(MARK) if metadata.startswith(MARK) else ""
        return cls(offset, int(text) if text.isascii() and text.isdecimal() else None)


class OffsetTracker:
    """The open posts of one partition, for as long as its offsets are read in one go (an epoch).

    Offsets need not follow one another: compaction and transactions leave holes, and delivery order is what counts.
    """

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch
        self._open: deque[int] = deque()
        self._done: dict[int, int] = {}
        self._newest = -1
        self._reached: CommitPoint | None = None
        self._committed: CommitPoint | None = None

    def track(self, offsets: Iterable[int]) -> None:
        """These posts were delivered, in this order; one that was delivered before is not tracked again."""
        for offset in offsets:
            if offset > self._newest:
                self._open.append(offset)
                self._newest = offset

    def done(self, offset: int, timestamp_ms: int) -> None:
        """Everything that answers this post is confirmed; a late duplicate changes nothing."""
        if self._open and self._open[0] <= offset <= self._newest:
            self._done[offset] = timestamp_ms

    def commit_point(self) -> CommitPoint | None:
        """The end of the done prefix, None where nothing was done since the last commit; it never moves back."""
        while self._open and self._open[0] in self._done:
            offset = self._open.popleft()
            self._reached = CommitPoint(offset + 1, self._done.pop(offset))
        return None if self._reached == self._committed else self._reached

    def committed(self, point: CommitPoint) -> None:
        """The broker has this commit point."""
        self._committed = point
