"""Moon et al. 2018, Figure 3 as a PNG: modalities by tokens, in rows like lines of text, beside the image."""

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mner_model.plotting.attention_map import AttentionMap
from mner_model.plotting.figures import new_figure, save_figure
from mner_model.plotting.glyphs import drawable, shortened
from mner_model.text.labels import Span

_MOST_TOKENS_A_ROW = 12
_LONGEST_TOKEN = 16  # characters
_INCHES_A_TOKEN, _INCHES_A_MODALITY = 0.62, 0.32
_INCHES_OF_LABELS = 1.1  # of the tokens below a row and the types above it
_INCHES_BESIDE = 1.6  # names of the modalities, colour bar
_IMAGE_INCHES = 3.4  # across
_LEAST_INCHES_WITH_IMAGE = 3.2
_LETTERS_BELOW_IMAGE = 44  # a line
_MOST_LINES_OF_READING = 4
_COLORS = {"PER": "tab:red", "LOC": "tab:green", "ORG": "tab:purple", "MISC": "tab:brown"}


def save_attention_picture(shown: AttentionMap, path: Path) -> None:
    """Writes the PNG. Raises PlotError without matplotlib, and as `save_figure` does."""
    save_figure(attention_figure(shown), path)


def attention_figure(shown: AttentionMap) -> Any:
    """The matplotlib figure: one of its axes a row of tokens, one for the colour bar and one for the image, if any."""
    rows = _rows(len(shown.weights.tokens))
    width = max(4.0, len(rows[0]) * _INCHES_A_TOKEN) + _INCHES_BESIDE
    height = len(rows) * (len(shown.weights.modalities) * _INCHES_A_MODALITY + _INCHES_OF_LABELS)
    if shown.image is None:
        figure = panels = new_figure(width, height + (0.3 if shown.reading else 0.0))
    else:
        figure = new_figure(_IMAGE_INCHES + width, max(height, _LEAST_INCHES_WITH_IMAGE))
        left, panels = figure.subfigures(1, 2, width_ratios=(_IMAGE_INCHES, width))
    families, labels = drawable([*shown.weights.tokens, shown.reading or ""])
    font = {"fontfamily": families, "parse_math": False}
    letters = _LETTERS_BELOW_IMAGE if shown.image is not None else int(width * 12)
    reading = textwrap.fill(labels.pop(), letters, max_lines=_MOST_LINES_OF_READING, placeholder=" …")
    panels_axes = list(panels.subplots(len(rows), squeeze=False)[:, 0])
    for row, axes in zip(rows, panels_axes, strict=True):
        cells = _draw_cells(axes, shown.weights.weights[row.start : row.stop])
        axes.set_xlim(0, len(rows[0]))
        axes.set_ylim(len(shown.weights.modalities), 0)
        axes.set_yticks([number + 0.5 for number in range(len(shown.weights.modalities))], shown.weights.modalities)
        axes.set_xticks([number + 0.5 for number in range(len(row))], [""] * len(row))
        names = [shortened(labels[token], _LONGEST_TOKEN) for token in row]
        axes.set_xticklabels(names, rotation=30, ha="right", rotation_mode="anchor", **font)
        axes.tick_params(length=0)
        axes.set_frame_on(False)
        for mention in shown.mentions:
            _mark(axes, mention, row)
    panels.colorbar(cells, ax=panels_axes, label="weight", format="{x:.0%}")
    if shown.image is not None:
        _draw_image(left.subplots(), shown.image).set_xlabel(reading, fontsize=9, **font)
    elif reading:
        figure.supxlabel(reading, fontsize=9, **font)
    return figure


def _rows(tokens: int) -> list[range]:
    """As few rows as hold them, about equally long, so that the last is no stump."""
    count = -(-tokens // _MOST_TOKENS_A_ROW)
    longest = -(-tokens // count)
    return [range(start, min(start + longest, tokens)) for start in range(0, tokens, longest)]


def _draw_cells(axes: Any, weights: npt.NDArray[np.float32]) -> Any:
    """A cell a token and modality, the darker the more it counted, with its number. weights: [tokens, modalities]"""
    cells = axes.pcolormesh(weights.T, cmap="Blues", vmin=0.0, vmax=1.0, edgecolors="white", linewidth=1.5)
    for (token, modality), weight in np.ndenumerate(weights):
        ink = "white" if weight > 0.6 else "black"
        axes.text(token + 0.5, modality + 0.5, f"{weight:.0%}", color=ink, fontsize=8, ha="center", va="center")
    return cells


def _mark(axes: Any, mention: Span, row: range) -> None:
    """A bar with the type above the mention's tokens in this row, and these in the type's colour."""
    start, end = max(mention.start, row.start) - row.start, min(mention.end, row.stop) - row.start
    if start >= end:
        return
    color = _COLORS.get(mention.type, "black")
    above = axes.get_xaxis_transform()
    axes.plot([start + 0.06, end - 0.06], [1, 1], color=color, linewidth=4, transform=above, clip_on=False)
    axes.annotate(
        mention.type, ((start + end) / 2, 1), xycoords=above, xytext=(0, 4), textcoords="offset points",
        color=color, fontsize=9, ha="center",
    )  # fmt: skip
    for label in axes.get_xticklabels()[start:end]:
        label.set_color(color)


def _draw_image(axes: Any, image: npt.NDArray[np.uint8]) -> Any:
    axes.imshow(image)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_frame_on(False)
    axes.set_anchor("N")
    return axes
