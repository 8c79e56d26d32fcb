"""Where everything is on the page: boxes in the grid, gaps as wide as the lines in them need, lines around boxes."""

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise

from architecture_picture.routes import Place, Router, Run, lanes, offset, uncrossed

Point = tuple[float, float]

BOX_HEIGHT = 50
_GAP, _GUTTER, _BETWEEN_PACKAGES = 14, 20, 44
_LANE = 6.0
_PORT = 13.0  # between two lines that leave a box at one side


class Layout:
    """Boxes and lines in the units of the picture.

    boxes  the place in the grid of each
    steps  pairs of boxes that the strong line joins, in its order
    arrows pairs of boxes, the first of which uses the second
    closed places where no line may be
    """

    def __init__(
        self,
        boxes: Mapping[str, Place],
        steps: Sequence[tuple[str, str]],
        arrows: Sequence[tuple[str, str]],
        closed: set[Place],
        *,
        left: float,
        right: float,
        top: float,
    ) -> None:
        self._boxes = boxes
        rows = max(y for _, y in boxes.values()) // 2 + 1
        router = Router(6, rows, set(boxes.values()), closed)
        short_first = sorted(arrows, key=lambda arrow: (boxes[arrow[1]][1] - boxes[arrow[0]][1], arrow))
        self._joined = [*steps, *short_first]
        self._ways = [router.way(boxes[one], boxes[other], downwards=False) for one, other in steps]
        self._ways += [router.way(boxes[one], boxes[other], downwards=True) for one, other in short_first]
        chosen, self._wide = lanes(self._ways)
        self._lanes = uncrossed(self._ways, chosen, self._wide)
        gutters = [max(_GUTTER, 10 + _LANE * self._wide.get(("x", 2 * i), 0)) for i in range(7)]
        gutters[3] = max(_BETWEEN_PACKAGES, gutters[3])
        self.box_width = (right - left - sum(gutters)) / 6
        gaps = [_GAP + _LANE * self._wide.get(("y", 2 * i), 0) for i in range(rows + 1)]
        self._x = _edges(left, gutters, self.box_width)
        self._y = _edges(top, gaps, BOX_HEIGHT)

    def corner(self, box: str) -> Point:
        """The upper left corner of a box."""
        x, y = self._boxes[box]
        return self._x[x], self._y[y]

    @property
    def bottom(self) -> float:
        """Below all boxes and lines."""
        return self._y[-1]

    def lines(self) -> list[list[Point]]:
        """The corners of each line from box to box: steps in their order, then arrows."""
        return [self._line(number) for number in range(len(self._ways))]

    def _line(self, number: int) -> list[Point]:
        way = self._ways[number]
        start, end = (self._boxes[box] for box in self._joined[number])
        at = [self._position(run, self._lanes[number, i]) for i, run in enumerate(way)]
        points = [self._port(way[0], at[0], start, away=way[0].end > way[0].start)]
        for (before, one), (_, other) in pairwise(zip(way, at, strict=True)):
            points.append((one, other) if before.line[0] == "x" else (other, one))
        points.append(self._port(way[-1], at[-1], end, away=way[-1].end < way[-1].start))
        return points

    def _position(self, run: Run, lane: int) -> float:
        axis, place = run.line
        edges = self._x if axis == "x" else self._y
        middle = (edges[place] + edges[place + 1]) / 2
        return middle + offset(lane, self._wide[run.line], _PORT if place % 2 else _LANE)

    def _port(self, run: Run, at: float, box: Place, *, away: bool) -> Point:
        """Where a line meets the edge of its box; away: on the right or lower side."""
        if run.line[0] == "x":
            return at, self._y[box[1] + away]
        return self._x[box[0] + away], at


def _edges(start: float, gaps: Sequence[float], size: float) -> list[float]:
    """Where each gap and each box begins, in turn, and where the last gap ends."""
    sizes = [each for gap in gaps for each in (gap, size)][:-1]
    return list(accumulate(sizes, initial=start))
