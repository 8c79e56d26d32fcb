"""Which posts were sent, which are answered, and how long each answer took.

Knows nothing of Kafka clients: places and times go in, what is still owed comes out.
"""

import math
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

Place = tuple[int, int]
"""Partition and offset of a post in its topic."""


@dataclass(frozen=True, slots=True)
class SentPost:
    """A post as the broker took it."""

    name: str
    """How people know it: its id, or its line where it has none."""
    post_id: str | None
    place: Place
    timestamp_ms: int


@dataclass(slots=True)
class Ledger:
    """Matches answers with posts: a dead letter by the place that it names, a record by the post's id.

    Posts of one id count one by one: two posts and one record leave one post unanswered. Posts are told in the order
    they were sent; an answer may be told before its post is, as the worker can be faster than the broker's
    confirmation is read here.
    """

    sent: int = 0
    records: int = 0
    dead: int = 0
    latencies_s: list[float] = field(default_factory=list)
    _refused: list[str] = field(default_factory=list)
    _open: dict[Place, SentPost] = field(default_factory=dict)
    _places: defaultdict[str, deque[Place]] = field(default_factory=lambda: defaultdict(deque))
    _newest_offset: dict[int, int] = field(default_factory=dict)
    _early_records: defaultdict[str, deque[int]] = field(default_factory=lambda: defaultdict(deque))
    _early_dead: dict[Place, int] = field(default_factory=dict)

    def post(self, post: SentPost) -> None:
        """The broker took this post."""
        self.sent += 1
        partition, offset = post.place
        self._newest_offset[partition] = offset
        if (answered_ms := self._early_dead.pop(post.place, None)) is not None:
            self._answer(post, answered_ms)
        elif post.post_id is not None and self._early_records[post.post_id]:
            self._answer(post, self._early_records[post.post_id].popleft())
        else:
            self._open[post.place] = post
            if post.post_id is not None:
                self._places[post.post_id].append(post.place)

    def refused(self, name: str) -> None:
        """The broker would not take this post, so nobody can answer it."""
        self._refused.append(name)

    def record(self, post_id: str, timestamp_ms: int) -> float | None:
        """An entity record was published; its post's latency in seconds, None if the post is not known (yet)."""
        self.records += 1
        return self._answer_one_of(post_id, timestamp_ms)

    def dead_letter(self, place: Place, post_id: str | None, timestamp_ms: int) -> float | None:
        """A dead letter names this place as its source, and this id as its key; latency as for a record."""
        self.dead += 1
        if (post := self._open.pop(place, None)) is not None:
            return self._answer(post, timestamp_ms)
        partition, offset = place
        if offset > self._newest_offset.get(partition, -1):
            self._early_dead[place] = timestamp_ms
        elif post_id is not None:
            # a record was counted for this post, so it was for another of the same id
            self._answer_one_of(post_id, timestamp_ms)
        return None

    @property
    def open(self) -> int:
        """Posts sent and not answered yet."""
        return len(self._open)

    def unanswered(self) -> list[str]:
        """The names of the posts that nobody answered, in the order they were sent; a repeated name says how often."""
        counts = Counter([*self._refused, *(post.name for post in self._open.values())])
        return [name if count == 1 else f"{name} ({count} times)" for name, count in counts.items()]

    def _answer_one_of(self, post_id: str, timestamp_ms: int) -> float | None:
        places = self._places[post_id]
        while places:
            # one that was dead-lettered meanwhile is not open any more
            if (post := self._open.pop(places.popleft(), None)) is not None:
                return self._answer(post, timestamp_ms)
        self._early_records[post_id].append(timestamp_ms)
        return None

    def _answer(self, post: SentPost, timestamp_ms: int) -> float:
        latency_s = max(0.0, (timestamp_ms - post.timestamp_ms) / 1_000)
        self.latencies_s.append(latency_s)
        return latency_s


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that at least this share (0 to 1) of the values does not exceed; None of nothing."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
