"""`mner-model plot attention`: what it shows is what the tagger did, on a terminal and as a picture."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from rich.console import Console

from mner_model.checkpoints.checkpoint import Checkpoint
from mner_model.cli import main
from mner_model.imaging.decoding import decode
from mner_model.plotting import glyphs
from mner_model.plotting.attention_map import AttentionMap
from mner_model.plotting.attention_picture import attention_figure, save_attention_picture
from mner_model.plotting.attention_terminal import half_blocks, heat_map_table, print_attention
from mner_model.plotting.figures import PlotError
from mner_model.predictor import Document, ModalityWeights, Predictor
from mner_model.text.labels import Span

SHOWN = AttentionMap(
    ModalityWeights(
        ("Ada", "in", "$x$\x1b[31m"),
        ("word", "image"),
        np.array([[1.0, 0.0], [0.25, 0.75], [0.5, 0.5]], dtype=np.float32),
    )
)
PICTURE = np.zeros((20, 30, 3), dtype=np.uint8)
PICTURE[:, :, 0] = 200


def post_of(count: int, token: str = "Oslo", **about: object) -> AttentionMap:
    weights = np.full((count, 3), 1 / 3, dtype=np.float32)
    return replace(SHOWN, weights=ModalityWeights((token,) * count, ("word", "char", "image"), weights), **about)  # type: ignore[arg-type]


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


def test_a_posts_map_has_its_mentions_and_the_image_as_it_was_read(
    folder_with_images: Path, drawn_picture: bytes
) -> None:
    predictor = Predictor.load(folder_with_images, "cpu")
    text, image = "flying to Cape Town on monday", decode(drawn_picture)
    shown = AttentionMap.of(predictor, text, image)
    document = Document(text, predictor.embed_images([image])[0])
    assert shown.mentions == [Span(2, 4, "LOC")]
    assert shown.weights.weights.tolist() == predictor.modality_weights(document).weights.tolist()
    assert shown.reading == f"read of the image: {predictor.describe_image(image)}"
    assert shown.image is not None
    assert shown.image.shape == (64, 96, 3)


def test_a_caption_is_read_as_in_training_and_in_place_of_the_image(
    folder_with_images: Path, drawn_picture: bytes
) -> None:
    predictor = Predictor.load(folder_with_images, "cpu")
    shown = AttentionMap.of(predictor, "flying to Oslo", decode(drawn_picture), "a dog on the beach")
    document = Document("flying to Oslo", predictor.caption_embedding("a dog on the beach"))
    assert shown.reading == "caption read: a dog on the beach"
    assert shown.weights.weights.tolist() == predictor.modality_weights(document).weights.tolist()


def test_a_caption_that_cannot_be_read_is_refused(folder_with_images: Path, small_folder: Path) -> None:
    blind, sighted = Predictor.load(small_folder, "cpu"), Predictor.load(folder_with_images, "cpu")
    with pytest.raises(PlotError, match="--caption: expected a model that reads captions, made-up reads none"):
        AttentionMap.of(blind, "Oslo", caption="a dog")
    with pytest.raises(PlotError, match="--caption: expected a word that made-up knows the vector of, got 'xyzzy'"):
        AttentionMap.of(sighted, "Oslo", caption="xyzzy")


# On a terminal


def test_the_terminals_map_has_a_row_a_token_and_lets_no_stranger_move_the_cursor() -> None:
    console = Console(record=True, width=60, color_system=None)
    console.print(heat_map_table(SHOWN))
    lines = console.export_text().splitlines()
    assert [line.split() for line in lines[:3]] == [["word", "image"], ["Ada", "100%", "0%"], ["in", "25%", "75%"]]
    assert "\x1b" not in lines[3]


def test_the_terminals_map_tells_the_mentions_and_keeps_a_long_address_on_its_line() -> None:
    lines = on_terminal(post_of(2, f"https://t.co/{'x' * 80}", mentions=[Span(1, 2, "LOC")]), color_system=None)
    assert [line.split()[1:] for line in lines[1:3]] == [["33%"] * 3, ["33%", "33%", "33%", "LOC"]]
    assert "…" in lines[1]


def test_a_terminal_with_colours_shows_the_image_and_what_was_read_of_it() -> None:
    shown = replace(SHOWN, image=PICTURE, reading="read of the image: tabby 90%")
    lines = on_terminal(shown, color_system="truecolor")
    assert lines[:11] == ["▀" * 32] * 11
    assert lines[11] == "read of the image: tabby 90%"


@pytest.mark.parametrize("console", [{"color_system": None}, {"force_terminal": False}, {"no_color": True}])
def test_where_there_are_no_colours_only_words_tell_of_the_image(console: dict[str, object]) -> None:
    lines = on_terminal(replace(SHOWN, image=PICTURE, reading="read of the image: tabby 90%"), **console)
    assert lines[0] == "read of the image: tabby 90%"
    assert "▀" not in "".join(lines)


def test_half_blocks_are_two_pixels_each_and_never_higher_than_a_screen() -> None:
    image = np.zeros((4, 4, 3), dtype=np.uint8)
    image[:2] = (255, 0, 0)
    image[2:] = (0, 0, 255)
    first, *_, last = half_blocks(image).spans
    assert (str(first.style), str(last.style)) == ("rgb(255,0,0) on rgb(255,0,0)", "rgb(0,0,255) on rgb(0,0,255)")
    assert len(half_blocks(np.zeros((900, 30, 3), dtype=np.uint8)).plain.splitlines()) == 20


def on_terminal(shown: AttentionMap, **console: object) -> list[str]:
    settings: dict[str, object] = {"force_terminal": True, "color_system": "truecolor", "width": 80, "_environ": {}}
    recorder = Console(record=True, file=io.StringIO(), **{**settings, **console})  # type: ignore[arg-type]
    print_attention(shown, recorder)
    return recorder.export_text().splitlines()


# As a picture


@pytest.mark.parametrize("image", [None, PICTURE])
@pytest.mark.parametrize(
    "tokens", [("Ada", "in", "$x$\x1b[31m"), ("東京", "🚑", "👩\u200d🚀", "السلام", "नमस्ते", "\u200b")]
)
def test_the_picture_is_a_png_whatever_the_tokens_hold(
    tmp_path: Path, image: np.ndarray | None, tokens: tuple[str, ...]
) -> None:
    pytest.importorskip("matplotlib")
    weights = ModalityWeights(tokens, ("word", "image"), np.full((len(tokens), 2), 0.5, dtype=np.float32))
    save_attention_picture(AttentionMap(weights, image=image, reading="caption read: $東京"), tmp_path / "map.png")
    with Image.open(tmp_path / "map.png") as drawn:
        assert drawn.format == "PNG"
        assert len(drawn.convert("RGB").getcolors(1 << 24) or []) > 10


def test_without_matplotlib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    with pytest.raises(PlotError, match=r"mner-stream\[plots\]"):
        save_attention_picture(SHOWN, tmp_path / "map.png")


@pytest.mark.parametrize(("tokens", "rows"), [(1, [1]), (12, [12]), (13, [7, 6]), (30, [10, 10, 10])])
def test_a_long_post_goes_on_in_further_rows(tokens: int, rows: list[int]) -> None:
    pytest.importorskip("matplotlib")
    *panels, bar = attention_figure(post_of(tokens)).axes
    assert [len(axes.get_xticklabels()) for axes in panels] == rows
    assert bar.get_ylabel() == "weight"


def test_no_label_covers_another_row_and_a_long_address_is_cut() -> None:
    pytest.importorskip("matplotlib")
    figure = attention_figure(post_of(30, f"https://t.co/{'x' * 80}"))
    figure.draw_without_rendering()
    first, second, *_ = figure.axes
    labels = first.get_xticklabels()
    assert labels[0].get_text() == "https://t.co/xx…"
    assert not any(label.get_window_extent().overlaps(second.get_window_extent()) for label in labels)


def test_a_mention_is_marked_in_every_row_that_it_reaches_into() -> None:
    pytest.importorskip("matplotlib")
    first, second, _ = attention_figure(post_of(14, mentions=[Span(6, 8, "LOC")])).axes
    ends = [[list(line.get_xdata()) for line in axes.lines] for axes in (first, second)]
    assert ends == [[pytest.approx([6, 7], abs=0.1)], [pytest.approx([0, 1], abs=0.1)]]
    assert [axes.texts[-1].get_text() for axes in (first, second)] == ["LOC", "LOC"]
    colors = [label.get_color() for label in first.get_xticklabels()]
    assert colors[6] != colors[5]


def test_the_image_keeps_its_shape_and_says_below_what_was_read_of_it() -> None:
    pytest.importorskip("matplotlib")
    figure = attention_figure(post_of(30, image=PICTURE, reading="read of the image: tabby 90%"))
    figure.draw_without_rendering()
    [axes] = [axes for axes in figure.axes if axes.images]
    box = axes.get_window_extent()
    assert box.width / box.height == pytest.approx(30 / 20, rel=0.01)
    assert box.width > 0.2 * figure.bbox.width
    assert axes.get_xlabel() == "read of the image: tabby 90%"


def test_a_caption_without_end_leaves_the_image_its_room() -> None:
    pytest.importorskip("matplotlib")
    [axes] = [axes for axes in attention_figure(post_of(3, image=PICTURE, reading="sea " * 300)).axes if axes.images]
    assert len(axes.get_xlabel().splitlines()) == 4
    assert axes.get_xlabel().endswith(" …")


# Signs that fonts have not


def test_a_sign_that_no_font_has_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(glyphs, "_fonts", list)
    families, texts = glyphs.drawable(["🚑", "東京", "🇯🇵", "👍🏽", "👩\u200d🚀", "नि", "Oslo 😀"])
    assert families == ["DejaVu Sans"]
    assert texts == [
        ":ambulance:",
        "U+6771 U+4EAC",
        "JP",
        ":thumbs up sign:",
        ":woman::rocket:",
        "U+0928 U+093F",
        "Oslo 😀",
    ]


def test_a_sign_that_another_font_has_is_drawn_by_it() -> None:
    pytest.importorskip("matplotlib")
    families, texts = glyphs.drawable(["ℊ"])  # of STIX, which comes with matplotlib
    assert texts == ["ℊ"]
    assert len(families) == 2


@pytest.mark.parametrize(
    ("token", "shown"),
    [("\u202eevil", "evil"), ("\x1b[2J", "\N{REPLACEMENT CHARACTER}[2J"), ("\u200b", "U+200B"), ("Åse", "Åse")],
)
def test_signs_that_would_turn_or_move_the_text_are_left_out(token: str, shown: str) -> None:
    assert glyphs.printable(token) == shown


# The commands


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
    read = CliRunner().invoke(main, [*attention, "--image", str(tmp_path / "picture.png")])
    assert read.stdout.startswith("read of the image: ")
    told = CliRunner().invoke(main, [*attention, "--caption", "a dog"])
    assert told.stdout.startswith("caption read: a dog\n")
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
