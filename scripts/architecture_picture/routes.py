"""Ways between boxes in a grid: along the gaps between rows and columns, around every box, few of them on one another.

Places are counted in half steps: column c has its middle at x = 2c + 1 and gaps at 2c and 2c + 2, row r likewise in y.
"""

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

Place = tuple[int, int]
Line = tuple[str, int]  # ("x", 4): all places whose x is 4

_STEP = {"x": 80, "y": 35}  # about as many pixels
_TURN = 60
_TOGETHER = 25  # for each way that has this step already


@dataclass(frozen=True)
class Run:
    """A straight stretch of a way: along which line, from where to where on it."""

    line: Line
    start: int
    end: int

    @property
    def span(self) -> tuple[int, int]:
        """From the smaller end to the larger one."""
        return min(self.start, self.end), max(self.start, self.end)


class Router:
    """Finds ways one after the other; those found first are the straightest.

    taken  rows and columns of boxes, and of places where nothing may pass, as the places of their middles
    """

    def __init__(self, columns: int, rows: int, taken: Collection[Place], closed: Collection[Place]) -> None:
        self._size = (2 * columns, 2 * rows)
        self._taken = taken
        self._closed = closed
        self._used: dict[tuple[Place, Place], int] = defaultdict(int)

    def way(self, start: Place, end: Place, *, downwards: bool) -> list[Run]:
        """From one box to another. downwards: from the lower side of the one to the upper side of the other."""
        sides = [(0, 1)] if downwards else [(0, 1), (0, -1), (1, 0), (-1, 0)]
        # what is reached how, from where; the direction counts, for turns cost
        waiting: list[tuple[int, Place, str, tuple[Place, ...]]] = []
        for dx, dy in sides:
            first = (start[0] + dx, start[1] + dy)
            waiting.append((self._cost(start, first), first, "x" if dy else "y", (start, first)))
        heapq.heapify(waiting)
        seen: set[tuple[Place, str]] = set()
        while waiting:
            cost, place, along, path = heapq.heappop(waiting)
            if place == end:
                self._take(path)
                return list(_runs(path))
            if (place, along) in seen:
                continue
            seen.add((place, along))
            for following in self._steps(place, end, downwards=downwards):
                turned = "x" if following[0] == place[0] else "y"
                more = self._cost(place, following) + (_TURN if turned != along else 0)
                heapq.heappush(waiting, (cost + more, following, turned, (*path, following)))
        raise ValueError(f"no way from {start} to {end}: every gap between them is closed")

    def _steps(self, place: Place, end: Place, *, downwards: bool) -> Iterator[Place]:
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            x, y = place[0] + dx, place[1] + dy
            if not (0 <= x <= self._size[0] and 0 <= y <= self._size[1]) or (x, y) in self._closed:
                continue
            if (x, y) == end:
                if not downwards or dy == 1:
                    yield x, y
            elif (x, y) not in self._taken and not (dx and y % 2):  # among boxes, ways go up and down only
                yield x, y

    def _cost(self, one: Place, other: Place) -> int:
        step = _STEP["x" if one[1] == other[1] else "y"]
        return step + _TOGETHER * self._used[min(one, other), max(one, other)]

    def _take(self, path: Sequence[Place]) -> None:
        for one, other in pairwise(path):
            self._used[min(one, other), max(one, other)] += 1


def _runs(path: Sequence[Place]) -> Iterator[Run]:
    start = path[0]
    for before, place, after in zip(path, path[1:], [*path[2:], None], strict=False):
        along = 0 if before[0] == place[0] else 1
        if after is None or after[along] != place[along]:
            yield Run(("xy"[along], place[along]), start[1 - along], place[1 - along])
            start = place


Lanes = dict[tuple[int, int], int]  # of the run of this number of the way of this number


def lanes(ways: Sequence[Sequence[Run]]) -> tuple[Lanes, Mapping[Line, int]]:
    """For each run a lane of its line that no other has there, and how many lanes each line needs."""
    chosen: Lanes = {}
    wide: dict[Line, int] = {}
    on_line: dict[Line, list[tuple[tuple[int, int], Run]]] = defaultdict(list)
    for number, way in enumerate(ways):
        for at, run in enumerate(way):
            on_line[run.line].append(((number, at), run))
    for line, runs in on_line.items():
        ends: list[list[Run]] = []
        for key, run in sorted(runs, key=lambda one: (one[1].span, one[0])):
            lane = next((i for i, those in enumerate(ends) if not any(_meet(run, one) for one in those)), len(ends))
            if lane == len(ends):
                ends.append([])
            ends[lane].append(run)
            chosen[key] = lane
        wide[line] = len(ends)
    return chosen, wide


def _meet(one: Run, other: Run) -> bool:
    (a, b), (c, d) = one.span, other.span
    return a <= d and c <= b


def uncrossed(ways: Sequence[Sequence[Run]], chosen: Lanes, wide: Mapping[Line, int]) -> Lanes:
    """The same lanes, those of each line in the order in which the ways cross least."""
    best = dict(chosen)
    fewest = _crossings(ways, best, wide)
    improved = True
    while improved:
        improved = False
        for line, count in sorted(wide.items()):
            for one in range(count):
                for other in range(one + 1, count):
                    swap = {one: other, other: one}
                    tried = {
                        key: swap.get(lane, lane) if ways[key[0]][key[1]].line == line else lane
                        for key, lane in best.items()
                    }
                    if (found := _crossings(ways, tried, wide)) < fewest:
                        best, fewest, improved = tried, found, True
    return best


def _crossings(ways: Sequence[Sequence[Run]], chosen: Lanes, wide: Mapping[Line, int]) -> float:
    """How often upright and level runs cross, where each line is one wide; jogs between boxes count a little."""
    level: list[tuple[float, float, float, int]] = []
    upright: list[tuple[float, float, float, int]] = []
    jogs = 0.0
    for number, way in enumerate(ways):
        at = [run.line[1] + offset(chosen[number, i], wide[run.line], 0.1) for i, run in enumerate(way)]
        for i, run in enumerate(way):
            start = at[i - 1] if i else float(run.start)
            end = at[i + 1] if i + 1 < len(way) else float(run.end)
            (upright if run.line[0] == "x" else level).append((at[i], min(start, end), max(start, end), number))
        jogs += 0.001 * sum(abs(a - b) for a, b in pairwise(at))
    return jogs + sum(
        1
        for x, top, bottom, one in upright
        for y, left, right, other in level
        if one != other and left < x < right and top < y < bottom
    )


def offset(lane: int, count: int, apart: float) -> float:
    """How far from the middle of its line a lane is."""
    return (lane - (count - 1) / 2) * apart
