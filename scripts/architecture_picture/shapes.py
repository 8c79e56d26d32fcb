"""Words, discs, arrowheads and rounded lines as SVG."""

from collections.abc import Sequence
from xml.sax.saxutils import escape


def text(x: float, y: float, words: str, size: float, kind: str = "", *, fill: str = "", anchor: str = "") -> str:
    """Words whose baseline begins here; anchor: middle or end where they are to stand about or before it."""
    more = (f' class="{kind}"' if kind else "") + (f' style="fill:{fill}"' if fill else "")
    more += f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}"{more}>{escape(words)}</text>'


def badge(x: float, y: float, number: int, color: str) -> str:
    """A number in a disc, its middle here."""
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="7.8" fill="{color}"/><text class="n" x="{x:.1f}" y="{y + 3.7:.1f}">'
        f"{number}</text>"
    )


def arrowhead(name: str, color: str, size: int) -> str:
    """For the ends of lines, to be named as marker-end."""
    return (
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="{size}" markerHeight="{size}" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path d="M0 0 8 4 0 8z" fill="{color}"/></marker>'
    )


def rounded(points: Sequence[tuple[float, float]], radius: float) -> str:
    """A path along these points, its corners rounded."""
    path = f"M{points[0][0]:.1f} {points[0][1]:.1f}"
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        enter, leave = _towards(corner, before, radius), _towards(corner, after, radius)
        path += f"L{enter[0]:.1f} {enter[1]:.1f}Q{corner[0]:.1f} {corner[1]:.1f} {leave[0]:.1f} {leave[1]:.1f}"
    return path + f"L{points[-1][0]:.1f} {points[-1][1]:.1f}"


def _towards(start: tuple[float, float], end: tuple[float, float], far: float) -> tuple[float, float]:
    length = abs(end[0] - start[0]) + abs(end[1] - start[1])
    share = min(far / length, 0.5) if length else 0.0
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share
