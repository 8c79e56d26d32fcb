"""Figures as PNG, by matplotlib: an optional part of the package."""

from pathlib import Path
from typing import Any

from mner_model.errors import Failure

_DOTS_PER_INCH = 150


class PlotError(Failure, ValueError):
    """A picture that cannot be made; the message says what would help."""


def new_figure(width: float, height: float) -> Any:
    """An empty matplotlib figure of so many inches. Raises PlotError without matplotlib."""
    try:
        from matplotlib.figure import Figure  # no pyplot: nothing is kept, and no display is asked for
    except ImportError:
        raise PlotError("pictures need matplotlib: pip install 'mner-stream[plots]'") from None
    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Any, path: Path) -> None:
    """Writes a PNG. Raises PlotError where nothing can be written or what is no PNG is asked for."""
    if path.suffix.lower() != ".png":  # matplotlib would go by the ending
        raise PlotError(f"{path}: expected a name that ends in .png")
    try:
        figure.savefig(path, dpi=_DOTS_PER_INCH)
    except OSError as error:
        raise PlotError(f"{path}: cannot be written: {error.strerror}") from error
