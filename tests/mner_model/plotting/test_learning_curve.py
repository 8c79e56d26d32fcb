"""The learning curve shows what the checkpoint tells of its training, and refuses what no training tells."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from mner_model.checkpoints.checkpoint import Checkpoint
from mner_model.cli import main
from mner_model.plotting.learning_curve import LearningCurve, Pass, learning_curve_figure, save_learning_curve

NINE = [Pass(9.0 - number, {"twitter2015": 0.5, "twitter2017": 0.6}) for number in range(9)]
ONE = {"loss": 1.0, "validation_lenient_f1": {"a": 0.5}}


def test_a_learning_curve_is_drawn_from_what_a_checkpoint_tells(small_checkpoint: Checkpoint, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    curve = LearningCurve.of(small_checkpoint.training, "made-up")
    best = small_checkpoint.training["validation_lenient_f1"]
    assert len(curve.passes) == 14
    assert max(one.f1["made up"] for one in curve.passes) == best["made up"]
    assert curve.kept is not None
    assert curve.passes[curve.kept - 1].f1 == best
    save_learning_curve(curve, tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as drawn:
        assert drawn.format == "PNG"


def test_the_legend_of_a_learning_curve_covers_no_curve() -> None:
    pytest.importorskip("matplotlib")
    figure = learning_curve_figure(LearningCurve(NINE))
    figure.draw_without_rendering()
    [legend] = figure.legends
    assert len(legend.get_texts()) == 3
    assert not any(legend.get_window_extent().overlaps(axes.get_window_extent()) for axes in figure.axes)


@pytest.mark.parametrize("count", [1, 2, 4, 9])
def test_the_ticks_are_whole_passes(count: int) -> None:
    pytest.importorskip("matplotlib")
    figure = learning_curve_figure(LearningCurve(NINE[:count]))
    figure.draw_without_rendering()
    ticks = figure.axes[0].get_xticks()
    assert [tick for tick in ticks if tick != round(tick)] == []
    assert any(1 <= tick <= count for tick in ticks)


def test_the_pass_that_was_kept_is_marked() -> None:
    pytest.importorskip("matplotlib")
    figure = learning_curve_figure(LearningCurve(NINE, kept=4))
    [mark] = [line for axes in figure.axes for line in axes.lines if line.get_label() == "pass kept: 4"]
    assert list(mark.get_xdata()) == [4, 4]
    assert [text.get_text() for text in figure.legends[0].get_texts()][-1] == "pass kept: 4"


@pytest.mark.parametrize(
    ("training", "wrong"),
    [
        ({}, "does not tell its passes; one trained by this version does"),
        ({"passes": "x"}, "expected training.passes to be a list, got 'x'"),
        (
            {"passes": [ONE, "x"]},
            "training.passes: pass 2: expected an object with loss and validation_lenient_f1, got 'x'",
        ),
        (
            {"passes": [{"validation_lenient_f1": {"a": 0.5}}]},
            "training.passes: pass 1: expected loss to be a number, got nothing",
        ),
        (
            {"passes": [{"loss": 1.0}]},
            "training.passes: pass 1: expected validation_lenient_f1 to be an object of numbers by set, got nothing",
        ),
        (
            {"passes": [{"loss": 1.0, "validation_lenient_f1": {"a": "high"}}]},
            "training.passes: pass 1: expected validation_lenient_f1 to be an object of numbers by set, "
            "got {'a': 'high'}",
        ),
        (
            {"passes": [ONE, {"loss": 1.0, "validation_lenient_f1": {"b": 0.5}}]},
            "training.passes: pass 2: expected scores of a as in pass 1, got b",
        ),
        ({"passes": [ONE], "best_epoch": 2}, "expected training.best_epoch to be a pass from 1 to 1, got 2"),
    ],
)
def test_passes_that_no_training_tells_are_one_line(
    training: dict[str, Any], wrong: str, small_folder: Path, tmp_path: Path
) -> None:
    folder = edited(small_folder, tmp_path, training)
    code, out, err = learning_curve(folder, tmp_path / "c.png")
    assert (code, out, err) == (1, "", f"mner-model: checkpoint {folder}: config.json: {wrong}\n")
    assert not (tmp_path / "c.png").exists()


def test_a_training_that_is_no_object_is_one_line(small_folder: Path, tmp_path: Path) -> None:
    folder = edited(small_folder, tmp_path, "x")
    code, _, err = learning_curve(folder, tmp_path / "c.png")
    wrong = "config.json does not describe a model: training: expected an object, got 'x'"
    assert (code, err) == (1, f"mner-model: checkpoint {folder}: {wrong}\n")


def edited(folder: Path, into: Path, training: object) -> Path:
    copy = Path(shutil.copytree(folder, into / "edited"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "training": training}))
    return copy


def learning_curve(folder: Path, out: Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["plot", "learning-curve", "--checkpoint", str(folder), "--out", str(out)])
    return result.exit_code, result.stdout, result.stderr
