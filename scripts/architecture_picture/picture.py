"""The picture: rooms as boxes in rows, thin arrows for what uses what, and the way of one post as a strong line."""

from collections.abc import Iterable
from itertools import groupby, pairwise
from xml.sax.saxutils import escape

from rooms import room_imports, room_of

from architecture_picture.layout import BOX_HEIGHT, Layout
from architecture_picture.letters import FONT, width, wrapped
from architecture_picture.places import PictureRefused, boxes, rows
from architecture_picture.rooms_said import heading, sentence
from architecture_picture.shapes import arrowhead, badge, rounded, text
from architecture_picture.stops import POST
from architecture_picture.uses import reduced

# What is outside of the code: beside which room, in which column, and what it is.
OUTSIDE = {
    "posts topic": ("worker.app", 2, "Kafka: posts come in"),
    "entities topics": ("worker.delivery", 0, "Kafka: records go out, also dead letters"),
}

_WIDTH, _MARGIN, _TOP = 984, 6, 88
_INK, _FAINT, _THIN, _WAY = "#1f2933", "#52606d", "#8794a3", "#d9480f"
_GROUNDS = {"worker": ("#eaf2fb", "#3d7cc9"), "mner_model": ("#eaf6ee", "#2f9e57")}
_NAME, _LINE, _STOP = 13.0, 11.5, 12.5
_BADGE = 16.5  # from one to the next in a box
_LEGEND_HEAD, _LEGEND_LINE = 46, 21
_DASHES = ' stroke-dasharray="7 4"'
_THIN_LINE = f'stroke="{_THIN}" stroke-width="1.1" marker-end="url(#thin)"'
_STRONG_LINE = f'stroke="{_WAY}" stroke-width="3" marker-end="url(#way)"'
_DOOR = f'stroke="{_GROUNDS["worker"][1]}" stroke-width="5"'
_KEY = (
    (f'<path d="M0 0h36" {_THIN_LINE}/>', "uses; what other arrows imply is left out"),
    (f'<path d="M18-7v14" {_DOOR}/>', "a door: the worker uses this room directly"),
    (f'<path d="M0 0h36" {_STRONG_LINE}/>', "the way of one post, in the order of its stops"),
    (f'<path d="M0 0h36" {_STRONG_LINE}{_DASHES}/>', "handed over through a protocol or a callback"),
)


class Picture:
    """One drawing of all rooms. Raises PictureRefused where one does not fit."""

    def __init__(self) -> None:
        uses = room_imports()
        row_of = rows(uses)
        places = boxes(row_of)
        self._rooms = list(places)
        self._doors = {used for user, others in uses.items() if _package(user) == "worker" for used in others}
        visits = [(room, next(stops)) for room, stops in groupby(POST, key=lambda stop: room_of(stop.module))]
        first, last = OUTSIDE
        self._handed_over = [*(bool(stop.over) for _, stop in visits), False]
        self._lowest = {
            package: max((room for room in places if _package(room) == package), key=lambda room: row_of[room])
            for package in _GROUNDS
        }
        below_worker = places[self._lowest["worker"]][1] + 2  # the legend's
        self._layout = Layout(
            places | {name: (2 * column + 1, places[room][1]) for name, (room, column, _) in OUTSIDE.items()},
            steps=list(pairwise([first, *(room for room, _ in visits), last])),
            arrows=[(user, used) for user, others in reduced(uses).items() for used in others],
            closed={(x, y) for x in range(6) for y in range(below_worker, 2 * max(row_of.values()) + 3)},
            left=_MARGIN,
            right=_WIDTH - _MARGIN,
            top=_TOP,
        )

    def svg(self) -> str:
        """The file's content."""
        legend_top = self._ground("worker")[3] + 30
        height = max(self._layout.bottom, legend_top + _LEGEND_HEAD + _LEGEND_LINE * len(POST)) + _MARGIN
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" font-family="{FONT}" '
            'role="img"><title>The rooms of worker and mner_model, what uses what, and the way of one post</title>'
            f"<style>text{{fill:{_INK}}}.f{{fill:{_FAINT}}}.b{{font-weight:700}}"
            ".n{fill:#fff;font-weight:700;font-size:10.5px;text-anchor:middle}</style>"
            f"<defs>{arrowhead('thin', _THIN, 5)}{arrowhead('way', _WAY, 9)}</defs>"
            f'<rect width="{_WIDTH}" height="{height:.0f}" rx="10" fill="#fff"/>'
        )
        about = "Each box is a room: a folder, or a single file. A room uses only rooms below it."
        title = text(_MARGIN + 8, 32, "The rooms of the code", 19, "b") + text(_MARGIN + 8, 55, about, _STOP)
        drawn = [head, title, *map(self._grounded, _GROUNDS), self._key(), *self._lines()]
        drawn += [*map(self._room, self._rooms), *map(self._outsider, OUTSIDE), *self._legend(legend_top), "</svg>"]
        return "\n".join(drawn) + "\n"

    def _grounded(self, package: str) -> str:
        fill, stroke = _GROUNDS[package]
        left, top, right, bottom = self._ground(package)
        ground = f'<rect x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}" rx="8" '
        return f'{ground}fill="{fill}"/>' + text(left + 10, top + 20, f"{package}/", 15, "b", fill=stroke)

    def _ground(self, package: str) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of what lies behind all rooms of a package."""
        corners = {room: self._layout.corner(room) for room in self._rooms}
        mine = [y for room, (_, y) in corners.items() if _package(room) == package]
        middle = max(x for room, (x, _) in corners.items() if _package(room) == "worker") + self._layout.box_width + 7
        left, right = (_MARGIN, middle) if package == "worker" else (middle + 3, _WIDTH - _MARGIN)
        return left, min(mine) - 10, right, max(mine) + BOX_HEIGHT + 12

    def _key(self) -> str:
        """Above the model, which begins further down than the worker, as it is used by it."""
        left, bottom, _, _ = self._ground("mner_model")
        drawn = []
        for number, (mark, words) in enumerate(reversed(_KEY)):
            y = bottom - 14 - 19 * number
            drawn.append(
                f'<g transform="translate({left + 8:.1f} {y - 4:.1f})">{mark}</g>{text(left + 52, y, words, 12)}'
            )
        return "".join(drawn)

    def _lines(self) -> Iterable[str]:
        paths = [rounded(points, 5) for points in self._layout.lines()]
        strong, thin = paths[: len(self._handed_over)], paths[len(self._handed_over) :]
        yield '<g fill="none">'
        yield from (f'<path d="{path}" {_THIN_LINE}/>' for path in thin)
        yield from (f'<path d="{path}" stroke="#fff" stroke-width="6" stroke-opacity=".8"/>' for path in strong)
        for path, handed_over in zip(strong, self._handed_over, strict=True):
            yield f'<path d="{path}" {_STRONG_LINE}{_DASHES if handed_over else ""}/>'
        yield "</g>"

    def _room(self, room: str) -> str:
        package, _, name = room.partition(".")
        numbers = [number for number, stop in enumerate(POST, start=1) if room_of(stop.module) == room]
        (x, y), wide = self._layout.corner(room), self._layout.box_width
        if 14 + width(name, _NAME, bold=True) + _BADGE * len(numbers) > wide:
            raise PictureRefused(f"{room} and its {len(numbers)} stops are too wide for a box; name fewer stops there")
        lines = [*wrapped(heading(room), _LINE, wide - 14)]
        if len(lines) > 2 or any(width(line, _LINE) > wide - 12 for line in lines):
            raise PictureRefused(
                f"{room}: {heading(room)!r} is too long for a box; shorten the first sentence of its docstring, "
                "or put a colon where the box may end"
            )
        color, border = (_WAY, 1.8) if numbers else (_GROUNDS[package][1], 1.1)
        is_door = package != "worker" and room in self._doors
        return (
            f'<g id="{room}"><title>{escape(f"{room}: {sentence(room)}")}</title>'
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{BOX_HEIGHT}" rx="6" fill="#fff" '
            f'stroke="{color}" stroke-width="{border}"/>'
            + (f'<path d="M{x:.1f} {y + 8:.1f}v{BOX_HEIGHT - 16}" {_DOOR}/>' if is_door else "")
            + text(x + 8, y + 17, name, _NAME, "b")
            + "".join(text(x + 8, y + 31 + 13 * i, line, _LINE, "f") for i, line in enumerate(lines))
            + "".join(badge(x + wide - 12 - _BADGE * i, y + 13, n, _WAY) for i, n in enumerate(reversed(numbers)))
            + "</g>"
        )

    def _outsider(self, name: str) -> str:
        (x, y), wide = self._layout.corner(name), self._layout.box_width
        lines = wrapped(OUTSIDE[name][2], _LINE, wide - 14)
        return (
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{BOX_HEIGHT}" rx="{BOX_HEIGHT / 2}" '
            'fill="#fff3d6" stroke="#d9a21b"/>'
            + text(x + wide / 2, y + 17, name, _NAME, "b", anchor="middle")
            + "".join(
                text(x + wide / 2, y + 31 + 13 * i, line, _LINE, "f", anchor="middle") for i, line in enumerate(lines)
            )
        )

    def _legend(self, top: float) -> Iterable[str]:
        left, right = _MARGIN + 8, self._ground("worker")[2] - 8
        yield text(left, top + 22, "The way of one post", 15, "b", fill=_WAY)
        for number, stop in enumerate(POST, start=1):
            y = top + _LEGEND_HEAD + _LEGEND_LINE * (number - 1)
            where = f"{stop.module.partition('.')[2]}.{stop.name}"
            if left + 24 + width(stop.short, _STOP) + 8 + width(where, _LINE) > right:
                raise PictureRefused(f"{stop.short!r} and {where} are too long for a line of the legend")
            yield badge(left + 8, y - 4, number, _WAY) + text(left + 24, y, stop.short, _STOP)
            yield text(right, y, where, _LINE, "f", anchor="end")


def _package(room: str) -> str:
    return room.partition(".")[0]
