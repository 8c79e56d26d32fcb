"""The parts of docs/architecture.md that are made: the stops as numbered lists, the rooms as tables.

<!-- stops: post -->
…
<!-- /stops -->
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from rooms import MODULES, ROOT, room_imports

from architecture_picture.places import rows
from architecture_picture.rooms_said import sentence
from architecture_picture.stops import POST, TRAINING, Stop

WAYS = {"post": POST, "training": TRAINING}
_MARKED = re.compile(r"(<!-- (stops|rooms): (\S+) -->\n).*?(<!-- /\2 -->)", re.DOTALL)


def filled(page: str) -> str:
    """The page with what stands between its markers made anew. Raises KeyError for a marker that names nothing."""
    uses = room_imports()
    makers = {"stops": lambda name: stops(WAYS[name]), "rooms": lambda name: table(name, uses)}
    return _MARKED.sub(lambda found: f"{found[1]}{makers[found[2]](found[3])}\n{found[4]}", page)


def stops(way: Sequence[Stop]) -> str:
    """A numbered list: where, and what happens there."""
    return "\n".join(f"{number}. {_line(stop)}" for number, stop in enumerate(way, start=1))


def _line(stop: Stop) -> str:
    file = MODULES[stop.module].relative_to(ROOT)
    line = f"[{file}](../{file}) `{stop.name}`: {stop.what}"
    if stop.over:
        module, name = stop.over.split(":")
        line += f" (Handed over through `{name}` of {MODULES[module].relative_to(ROOT)}.)"
    return line


def table(package: str, uses: Mapping[str, set[str]]) -> str:
    """A line for each room of a package, those that use the others first."""
    row_of = rows(uses)
    mine = sorted((room for room in uses if room.startswith(f"{package}.")), key=lambda room: (row_of[room], room))
    lines = [f"| Room of `{package}` | What it holds | Rooms that it uses |", "| --- | --- | --- |"]
    lines += [f"| {_link(room)} | {sentence(room)} | {_names(uses[room], package)} |" for room in mine]
    return "\n".join(lines)


def _link(room: str) -> str:
    path = MODULES[room].relative_to(ROOT)
    path = path.parent if path.name == "__init__.py" else path
    return f"[`{room.partition('.')[2]}`](../{path})"


def _names(used: Iterable[str], package: str) -> str:
    """Rooms of the same package by their names, those of the other with that in front; none as a dash."""
    names = sorted(used, key=lambda room: (not room.startswith(f"{package}."), room))
    return ", ".join(name.removeprefix(f"{package}.") for name in names) or "–"
