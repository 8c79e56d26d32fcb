"""What delivery carries: slices of fetches that wait, batches made of them, and the order of posts that share a key."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from worker.delivery.offset_tracker import OffsetTracker
from worker.delivery.positions import Partition
from worker.messages.records import ConsumedRecord, OutcomeKind

# Posts of one partition with the same key are about the same thing, and the last one counts.
Key = tuple[str, int, bytes]


@dataclass(frozen=True, slots=True)
class Slice:
    """Consecutive posts of one partition on their way, since when, and the tracker that hears when they are done."""

    partition: Partition
    tracker: OffsetTracker
    records: Sequence[ConsumedRecord]
    since: float


@dataclass(slots=True)
class Batch:
    """Posts that are given to the pipeline together, and what of them is not answered yet."""

    records: Sequence[ConsumedRecord]
    remaining: dict[tuple[str, int, int], ConsumedRecord]
    """By topic, partition and offset."""
    trackers: Mapping[Partition, OffsetTracker]
    since: float
    earlier: Mapping[Key, asyncio.Future[bool]] = field(default_factory=dict)
    """Whether posts of other batches were answered that these must not overtake; False if they never will be."""
    awaited: dict[Key, asyncio.Future[bool]] = field(default_factory=dict)
    """The same for batches that must not overtake this one."""
    has_slot: bool = True
    answered: Counter[OutcomeKind] = field(default_factory=Counter)
    """How many posts, by how."""

    def is_behind(self, record: ConsumedRecord) -> bool:
        """Whether a post of another batch under its key is to be answered first, or failed."""
        if not self.earlier or record.key is None:
            return False
        earlier = self.earlier.get((record.topic, record.partition, record.key))
        return earlier is not None and not (earlier.done() and earlier.result())


def batch_of(pieces: Sequence[Slice]) -> Batch:
    """One batch of all these posts."""
    records = [record for piece in pieces for record in piece.records]
    remaining = {(record.topic, record.partition, record.offset): record for record in records}
    return Batch(records, remaining, {piece.partition: piece.tracker for piece in pieces}, pieces[0].since)


class KeyOrder:
    """Which batch comes after which, for the keys of their posts. Costs nothing for keys that no two batches share."""

    def __init__(self) -> None:
        self._last: dict[Key, Batch] = {}

    def enter(self, batch: Batch) -> None:
        """The batch follows all that entered before and have not left."""
        mine = keys(batch.records)
        loop = asyncio.get_running_loop()
        batch.earlier = {
            key: self._last[key].awaited.setdefault(key, loop.create_future()) for key in mine if key in self._last
        }
        self._last.update(dict.fromkeys(mine, batch))

    def leave(self, batch: Batch, records: Iterable[ConsumedRecord], *, answered: bool) -> None:
        """These records of the batch were answered, or never will be; whoever waits for their keys is told."""
        for key in keys(records):
            if self._last.get(key) is batch:
                del self._last[key]
            elif key in batch.awaited:
                batch.awaited.pop(key).set_result(answered)


def keys(records: Iterable[ConsumedRecord]) -> set[Key]:
    """What holds posts to their order; those without a key have none."""
    return {(record.topic, record.partition, record.key) for record in records if record.key is not None}


def fitting(records: Sequence[ConsumedRecord], posts: int, room_bytes: int) -> int:
    """How many of the first records make up a batch of so many posts, or of so many bytes with the last one."""
    for count, record in enumerate(records[:posts], start=1):
        room_bytes -= len(record.value or b"")
        if room_bytes <= 0:
            return count
    return min(len(records), posts)


def size_bytes(records: Iterable[ConsumedRecord]) -> int:
    """Of all their values."""
    return sum(len(record.value) for record in records if record.value is not None)
