"""Pictures of what a tagger does: which modality counted for which token, and how a training went.

PNG by matplotlib, an optional part of the package; the heat map for a terminal needs nothing more.
"""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.style import Style
from rich.table import Table
from rich.text import Text

from mner_model.predictor import ModalityWeights

_INCHES_A_TOKEN = 0.55
_DOTS_PER_INCH = 150


class PlotError(ValueError):
    """A picture that cannot be made; the message says what would help."""


def heat_map_table(shown: ModalityWeights) -> Table:
    """For a terminal: a row a token, a column a modality, the darker the more it counted."""
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for modality in shown.modalities:
        table.add_column(modality, justify="center")
    for token, weights in zip(shown.tokens, shown.weights, strict=True):
        table.add_row(Text(_printable(token)), *(_shade(float(weight)) for weight in weights))
    return table


def _printable(token: str) -> str:
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in token)


def _shade(weight: float) -> Text:
    level = round(255 * (1 - weight))
    ink = "white" if weight > 0.5 else "black"
    return Text(f" {weight:4.0%} ", Style(color=ink, bgcolor=f"rgb({level},{level},255)"))


def save_heat_map(shown: ModalityWeights, path: Path, image: npt.NDArray[np.uint8] | None = None) -> None:
    """Moon et al. 2018, Figure 3: modalities by tokens, beside the image where there is one.

    image  uint8 [height, width, 3]

    Raises PlotError without matplotlib, and where nothing can be written or what is no PNG is asked for.
    """
    width = max(4.0, _INCHES_A_TOKEN * len(shown.tokens))
    figure = new_figure(width + (2.5 if image is not None else 0.0), 2.2)
    if image is None:
        axes = figure.add_subplot()
    else:
        picture, axes = figure.subplots(1, 2, width_ratios=(2.5, width))
        picture.imshow(image)
        picture.set_axis_off()
    drawn = axes.imshow(shown.weights.T, cmap="Blues", vmin=0.0, vmax=1.0, aspect="auto")
    tokens = [_printable(token) for token in shown.tokens]
    axes.set_xticks(range(len(tokens)), tokens, rotation=60, ha="right", parse_math=False)
    axes.set_yticks(range(len(shown.modalities)), shown.modalities)
    figure.colorbar(drawn, ax=axes, label="weight")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # posts have signs that the font has not: boxes then
        save_figure(figure, path)


def save_figure(figure: Any, path: Path) -> None:
    """Writes a PNG. Raises PlotError where nothing can be written or what is no PNG is asked for."""
    if path.suffix.lower() != ".png":  # matplotlib would go by the ending
        raise PlotError(f"{path}: expected a name that ends in .png")
    try:
        figure.savefig(path, dpi=_DOTS_PER_INCH)
    except OSError as error:
        raise PlotError(f"{path}: cannot be written: {error.strerror}") from error


def new_figure(width: float, height: float) -> Any:
    """An empty matplotlib figure of so many inches. Raises PlotError without matplotlib."""
    try:
        from matplotlib.figure import Figure  # no pyplot: nothing is kept, and no display is asked for
    except ImportError:
        raise PlotError("pictures need matplotlib: pip install 'mner-stream[plots]'") from None
    return Figure(figsize=(width, height), layout="constrained")
