"""Pictures: what they show is what the tagger did."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from rich.console import Console

from mner_model.checkpoint import Checkpoint
from mner_model.cli import main
from mner_model.plots import PlotError, heat_map_table, save_heat_map
from mner_model.predictor import Document, ModalityWeights, Predictor

SHOWN = ModalityWeights(
    ("Ada", "in", "$x$\x1b[31m"), ("word", "image"), np.array([[1.0, 0.0], [0.25, 0.75], [0.5, 0.5]], dtype=np.float32)
)


def test_weights_of_each_token_are_those_behind_the_mentions(small_checkpoint: Checkpoint) -> None:
    predictor = Predictor(small_checkpoint, None, torch.device("cpu"))
    text = "flying to Cape Town on monday"
    shown = predictor.modality_weights(Document(text))
    [prediction] = predictor.predict([text])
    assert shown.tokens == tuple(text.split())
    assert shown.weights.sum(axis=1) == pytest.approx(np.ones(6), abs=1e-5)
    mean = dict(zip(shown.modalities, shown.weights[2:4].mean(axis=0).tolist(), strict=True))
    assert prediction.entities[0].modality_weights == pytest.approx(mean, abs=1e-5)


def test_a_fusion_without_weights_says_so(train_small: Callable[..., Checkpoint]) -> None:
    predictor = Predictor(train_small(epochs=1, fusion="concatenation"), None, torch.device("cpu"))
    with pytest.raises(ValueError, match="gives them no weights"):
        predictor.modality_weights(Document("Oslo"))


def test_the_terminals_map_has_a_row_a_token_and_lets_no_stranger_move_the_cursor() -> None:
    console = Console(record=True, width=60, color_system=None)
    console.print(heat_map_table(SHOWN))
    lines = console.export_text().splitlines()
    assert [line.split() for line in lines[:3]] == [["word", "image"], ["Ada", "100%", "0%"], ["in", "25%", "75%"]]
    assert "\x1b" not in lines[3]


@pytest.mark.parametrize("image", [None, np.zeros((20, 30, 3), dtype=np.uint8)])
def test_the_picture_is_a_png_whatever_the_tokens_hold(tmp_path: Path, image: np.ndarray | None) -> None:
    pytest.importorskip("matplotlib")
    save_heat_map(SHOWN, tmp_path / "map.png", image)
    with Image.open(tmp_path / "map.png") as drawn:
        assert drawn.format == "PNG"
        assert len(drawn.convert("RGB").getcolors(1 << 24) or []) > 10


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(PlotError, match=r"mner-stream\[plots\]"):
        save_heat_map(SHOWN, tmp_path / "map.png")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("none/q.png", "cannot be written: No such file or directory"), ("q.pdf", "expected a name that ends in .png")],
)
@pytest.mark.parametrize("command", ["attention", "learning-curve"])
def test_a_picture_that_cannot_be_written_there_is_one_line(
    command: str, name: str, wrong: str, small_folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    text = ["Oslo"] if command == "attention" else []
    code, out, err = plot(command, "--checkpoint", small_folder, "--out", tmp_path / name, *text)
    assert (code, out, err) == (1, "", f"mner-model: {tmp_path / name}: {wrong}\n")
    assert list(tmp_path.iterdir()) == []


def test_without_weights_to_show_attention_says_so_in_one_line(
    train_small: Callable[..., Checkpoint], small_folder: Path, tmp_path: Path
) -> None:
    train_small(epochs=1, fusion="concatenation").save(tmp_path / "side by side")
    code, _, err = plot("attention", "--checkpoint", tmp_path / "side by side", "Oslo")
    assert (code, err) == (
        1,
        "mner-model: model made-up puts its modalities side by side and gives them no weights\n",
    )
    code, _, err = plot("attention", "--checkpoint", small_folder, "")
    assert (code, err) == (1, "mner-model: expected a text with at least one token, got one without\n")


def test_an_image_that_nobody_reads_is_refused(small_folder: Path, drawn_picture: bytes, tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(drawn_picture)
    code, _, err = plot("attention", "--checkpoint", small_folder, "--image", tmp_path / "picture.png", "Oslo")
    assert (code, err) == (1, "mner-model: --image: expected a model that reads images, made-up reads none\n")


def plot(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["plot", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_the_commands_draw(folder_with_images: Path, drawn_picture: bytes, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "picture.png").write_bytes(drawn_picture)
    common = ["--checkpoint", str(folder_with_images)]
    attention = ["plot", "attention", *common, "--device", "cpu", "flying to Oslo"]
    shown = CliRunner().invoke(main, attention)
    assert "Oslo" in shown.stdout
    picture = ["--image", str(tmp_path / "picture.png"), "--out", str(tmp_path / "map.png")]
    assert CliRunner().invoke(main, [*attention, *picture]).exit_code == 0
    assert (
        CliRunner().invoke(main, ["plot", "learning-curve", *common, "--out", str(tmp_path / "c.png")]).exit_code == 0
    )
    assert (tmp_path / "map.png").exists()
    assert (tmp_path / "c.png").exists()


def test_an_image_that_is_none_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    image = CliRunner().invoke(main, ["plot", "attention", "--image", str(tmp_path / "broken.png"), "Oslo"])
    assert image.exit_code == 1
    assert image.stderr == f"mner-model: {tmp_path / 'broken.png'}: cannot be decoded: unknown_format\n"
