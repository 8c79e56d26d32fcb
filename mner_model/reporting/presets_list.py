"""The list of `mner-model presets` for people: a row of figures a preset, and below it what the preset is.

What it is takes the whole width, so that figures stay whole on narrow terminals. Where the columns of the sets do not
fit, their figures stand below as well.
"""

import textwrap
from collections.abc import Sequence

from rich.text import Text

from mner_model.presets import Preset
from mner_model.reporting.results import Measured, Summary, summary

PIPE_WIDTH = 100
_INDENT = "  "
_GAP = "  "
_READING = (
    "F1: lenient, in percent, text alone, mean over (so many) seeds. posts/s: text alone, of one core's time (on a "
    "GPU, of the clock)."
)


def preset_lines(presets: Sequence[Preset], measured: Sequence[Measured], width: int) -> list[Text]:
    """Lines of at most `width` characters, names in bold, notes dim; a name or figure that is longer stays whole."""
    found = {one.name: summary(one.name, measured) for one in presets}
    sets = sorted({name for in_short in found.values() if in_short for name in in_short.lenient_f1})
    columns = _columns(presets, found, sets)
    beside = sum(map(_width, columns)) + len(_GAP) * (len(columns) - 1) <= width
    if not beside:
        columns = _columns(presets, found, [])
    lines = [Text(line) for line in _side_by_side([column[0] for column in columns], columns)] if measured else []
    for row, one in enumerate(presets, start=1):
        [line] = _side_by_side([column[row] for column in columns], columns)
        lines.append(Text(line))
        lines[-1].stylize("bold", 0, len(one.name))
        in_short = found[one.name]
        scores = [] if beside or in_short is None else [f"F1 on {name}: {_score(in_short, name)}" for name in sets]
        notes = [", ".join(scores), one.summary, one.source, _conditions(one, in_short)]
        lines += [Text(line, "dim") for note in notes for line in _wrapped(note, width, _INDENT)]
    return [*lines, Text(), *map(Text, _wrapped(_READING, width))] if measured else lines


def _conditions(one: Preset, in_short: Summary | None) -> str:
    """What it needs, and what differed from the defaults when it was measured."""
    needs = [
        one.extra and f"needs the extra {one.extra}",
        one.taught and "needs soft targets, of `mner-model teach`",
        in_short and in_short.words and f"measured with {in_short.words:,} pretrained words (--words)",
    ]
    return "; ".join(need for need in needs if need)


def _columns(presets: Sequence[Preset], found: dict[str, Summary | None], sets: Sequence[str]) -> list[list[str]]:
    """The cells of each column, its head first; a head may have several lines."""
    shorts = [found[one.name] for one in presets]
    return [
        ["preset", *(one.name for one in presets)],
        ["parameters", *(f"{short.parameters:,}" if short else "" for short in shorts)],
        *(["\n".join([*name.split("/"), "F1"]), *(_score(short, name) for short in shorts)] for name in sets),
        ["posts/s", *(f"{short.posts_per_second:,.0f}" if short else "" for short in shorts)],
        ["MB", *(f"{short.size_bytes / 1e6:.0f}" if short else "" for short in shorts)],
    ]


def _score(in_short: Summary | None, name: str) -> str:
    if in_short is None or name not in in_short.seeds:
        return ""
    return f"{100 * in_short.lenient_f1[name]:.2f} ({in_short.seeds[name]})"


def _side_by_side(cells: Sequence[str], columns: Sequence[Sequence[str]]) -> list[str]:
    """Cells as lines, at the bottom of the highest; the first column on the left, all others on the right."""
    split = [cell.split("\n") for cell in cells]
    high = max(map(len, split))
    padded = [[""] * (high - len(cell)) + cell for cell in split]
    first, *others = map(_width, columns)
    lines = []
    for name, *figures in zip(*padded, strict=True):
        right = [figure.rjust(width) for figure, width in zip(figures, others, strict=True)]
        lines.append(_GAP.join([name.ljust(first), *right]).rstrip())
    return lines


def _width(column: Sequence[str]) -> int:
    return max(len(line) for cell in column for line in cell.split("\n"))


def _wrapped(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(text, max(width, 20), initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
