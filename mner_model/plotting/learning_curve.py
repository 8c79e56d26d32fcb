"""How a training went, pass by pass: what a checkpoint tells of it, and that as a PNG."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeGuard

from mner_model.plotting.figures import PlotError, new_figure, save_figure
from mner_model.plotting.glyphs import shortened


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass over the training data: mean loss of a post in nats, lenient F1 in [0, 1] of each validation set."""

    loss: float
    f1: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """All passes of a training in their order; `kept` is the one whose weights the checkpoint has, from 1 on.

    kept  None where the checkpoint does not tell, as older ones do not
    """

    passes: Sequence[Pass]
    kept: int | None = None

    @classmethod
    def of(cls, training: Mapping[str, Any], source: str) -> Self:
        """From what a checkpoint tells of its training.

        source  where that stands, for messages

        Raises PlotError where it tells no passes, and where what it tells is not what `train` writes.
        """
        told = training.get("passes")
        if not told:
            raise PlotError(f"{source}: does not tell its passes; one trained by this version does")
        if not isinstance(told, list):
            raise PlotError(f"{source}: expected training.passes to be a list, got {_brief(told)}")
        passes = [_pass(values, f"{source}: training.passes: pass {number}") for number, values in enumerate(told, 1)]
        for number, one in enumerate(passes, 1):
            if one.f1.keys() != passes[0].f1.keys():
                raise PlotError(
                    f"{source}: training.passes: pass {number}: expected scores of "
                    f"{', '.join(passes[0].f1)} as in pass 1, got {', '.join(one.f1)}"
                )
        kept = training.get("best_epoch")
        if kept is not None and (type(kept) is not int or not 1 <= kept <= len(passes)):
            raise PlotError(
                f"{source}: expected training.best_epoch to be a pass from 1 to {len(passes)}, got {_brief(kept)}"
            )
        return cls(passes, kept)


def _pass(values: Any, where: str) -> Pass:
    if not isinstance(values, dict):
        raise PlotError(f"{where}: expected an object with loss and validation_lenient_f1, got {_brief(values)}")
    loss, f1 = values.get("loss"), values.get("validation_lenient_f1")
    if not _is_number(loss):
        raise PlotError(f"{where}: expected loss to be a number, got {_brief(loss)}")
    if not isinstance(f1, dict) or not f1 or not all(map(_is_number, f1.values())):
        raise PlotError(f"{where}: expected validation_lenient_f1 to be an object of numbers by set, got {_brief(f1)}")
    return Pass(loss, f1)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _brief(value: Any) -> str:
    return "nothing" if value is None else shortened(repr(value), 60)


def save_learning_curve(curve: LearningCurve, path: Path) -> None:
    """Loss and validation F1 by pass. Raises PlotError without matplotlib, and as `save_figure` does."""
    save_figure(learning_curve_figure(curve), path)


def learning_curve_figure(curve: LearningCurve) -> Any:
    """The matplotlib figure: a line a validation set, the loss on an axis of its own, a mark at the pass kept."""
    figure = new_figure(7.0, 4.0)
    scores = figure.add_subplot()
    numbers = range(1, len(curve.passes) + 1)
    for name in curve.passes[0].f1:
        f1 = [100 * one.f1[name] for one in curve.passes]
        scores.plot(numbers, f1, marker="o", markersize=3, label=f"{name}, lenient F1")
    scores.set_xlabel("pass")
    scores.set_ylabel("F1, %")
    # one pass alone would leave an axis around 1 on which no second whole number lies
    scores.locator_params(axis="x", integer=True, min_n_ticks=1)
    losses = scores.twinx()
    losses.plot(numbers, [one.loss for one in curve.passes], color="grey", linestyle="--", label="loss a post")
    losses.set_ylabel("loss a post, nats")
    if curve.kept is not None:
        losses.axvline(curve.kept, color="black", linewidth=1, linestyle=":", label=f"pass kept: {curve.kept}")
    handles = [handle for axes in (scores, losses) for handle in axes.get_legend_handles_labels()[0]]
    # inside the axes it would cover a curve sooner or later
    figure.legend(handles=handles, loc="outside upper center", ncols=2)
    return figure
