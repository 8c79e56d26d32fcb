"""Presets are configurations that train, and a command line may change them."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from mner_model.checkpoints.checkpoint import load_checkpoint
from mner_model.cli import main
from mner_model.config import ConfigError
from mner_model.network.text_encoder import TextEncoder
from mner_model.presets import PRESETS, preset
from mner_model.reporting.results import Measured
from mner_model.training.story import EpochReport
from mner_model.training.trainer import Trainer

SMALL = {"word_dimension": 12, "image_dimension": 12, "hidden": 16, "char_hidden": 8, "fused_dimension": 16}
SMALL |= {"word_hidden": 8, "side_hidden": 8}


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_learns(name: str, make_trainer: Callable[..., Trainer], tiny_transformer: Path) -> None:
    one = preset(name)
    text = TextEncoder.pretrained(str(tiny_transformer)) if one.model.text_encoder else None
    changes = {**one.model.choices(), **SMALL}
    reports: list[EpochReport] = []
    make_trainer(replace(one.recipe, epochs=2), text=text, **changes).run(name, reports.append)
    assert reports[1].loss < reports[0].loss


def test_the_list_is_readable_by_people_and_programs() -> None:
    listed = CliRunner().invoke(main, ["presets", "--json"])
    rows = [json.loads(line) for line in listed.stdout.splitlines()]
    assert [row["name"] for row in rows] == list(PRESETS)
    assert rows[0]["recipe"]["epochs"] == 30
    assert "modality attention" in CliRunner().invoke(main, ["presets"]).stdout


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch, make_measured: Callable[..., Measured]) -> None:
    found = [
        make_measured(f1, preset="minilm", seed=seed, data=data)
        for seed, data, f1 in (
            (0, "twitter2015/test", 0.7),
            (1, "twitter2015/test", 0.8),
            (0, "twitter2017/valid", 0.9),
        )
    ]
    found += [make_measured(0.1, preset="minilm", data="twitter2015/test", with_images=True)]
    monkeypatch.setattr("mner_model.reporting.results.read_results", lambda: found)


@pytest.mark.usefixtures("measured")
@pytest.mark.parametrize("columns", ["80", "100", "120", None, "0", "wide"])
def test_the_list_is_whole_at_any_usual_width(columns: str | None) -> None:
    lines = CliRunner(env={"COLUMNS": columns}).invoke(main, ["presets"]).stdout.splitlines()
    width = int(columns) if columns in ("80", "100", "120") else 100
    assert 0.8 * width < max(map(len, lines)) <= width
    assert [line.split() for line in lines[:3]] == [
        ["twitter2015", "twitter2017"],
        ["test", "valid"],
        ["preset", "parameters", "F1", "F1", "posts/s", "MB"],
    ]
    rows = {line.split()[0]: line.split()[1:] for line in lines if line.partition(" ")[0] in PRESETS}
    assert rows.keys() == PRESETS.keys()
    assert rows["minilm"] == ["1,234", "75.00", "(2)", "90.00", "(1)", "100", "2"]
    assert rows["mpnet"] == []
    whole = " ".join(" ".join(lines).split())
    assert [one.summary for one in PRESETS.values() if one.summary not in whole] == []


@pytest.mark.usefixtures("measured")
def test_scores_that_do_not_fit_beside_stand_below() -> None:
    lines = CliRunner(env={"COLUMNS": "60"}).invoke(main, ["presets"]).stdout.splitlines()
    assert max(map(len, lines)) <= 60
    at = lines.index(next(line for line in lines if line.startswith("minilm ")))
    assert lines[at].split() == ["minilm", "1,234", "100", "2"]
    below = " ".join(line.strip() for line in lines[at + 1 : at + 3])
    assert below.startswith("F1 on twitter2015/test: 75.00 (2), F1 on twitter2017/valid: 90.00 (1)")


@pytest.mark.usefixtures("measured")
def test_programs_get_every_seeds_figures() -> None:
    listed = CliRunner().invoke(main, ["presets", "--json"]).stdout.splitlines()
    rows = {row["name"]: row for row in map(json.loads, listed)}
    row = rows["minilm"]
    assert (row["parameters"], row["size_bytes"], row["posts_per_second"]) == (1234, 2_000_000, 100)
    assert row["lenient_f1"] == {"twitter2015/test": 0.75, "twitter2017/valid": 0.9}
    assert [(one["seed"], one["with_images"], one["result"]["lenient"]["f1"]) for one in row["measured"]] == [
        (0, False, 0.7),
        (1, False, 0.8),
        (0, False, 0.9),
        (0, True, 0.1),
    ]
    assert (rows["mpnet"]["parameters"], rows["mpnet"]["lenient_f1"], rows["mpnet"]["measured"]) == (None, {}, [])


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no preset moon: expected one of word-char-image, moon-char, "):
        preset("moon")


def test_a_preset_that_is_taught_asks_for_soft_targets(tmp_path: Path) -> None:
    data = tmp_path / "posts.txt"
    data.write_text("Oslo\tB-LOC\n\n", encoding="utf-8")
    files = ["--train", str(data), "--valid", str(data), "--out", str(tmp_path / "made")]
    for command in (["train", "--preset", "pupil"], ["report", "--preset", "pupil", "--test", str(data)]):
        result = CliRunner().invoke(main, [*command, *files])
        expected = "mner-model: preset pupil: expected --soft-targets, what `mner-model teach` wrote\n"
        assert (result.exit_code, result.stderr) == (1, expected)


def test_a_variant_changes_fields_of_model_and_recipe_and_says_so_in_its_name() -> None:
    variant = preset("moon-word+dropout=0.3+label_smoothing=0.1")
    assert variant.name == "moon-word+dropout=0.3+label_smoothing=0.1"
    assert (variant.model.dropout, variant.recipe.label_smoothing) == (0.3, 0.1)
    assert replace(variant.model, dropout=preset("moon-word").model.dropout) == preset("moon-word").model


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("moon-word+x=1", r"preset moon-word\+x=1: no field x, expected one of types, .*, dropout, seed, epochs"),
        ("moon-word+reads_captions=true", "no field reads_captions, expected one of types"),
        ("moon-word+cnn", r"expected \+FIELD=VALUE"),
        (
            "moon-word+word_dimension=50",
            "^word_dimension: expected nothing said of it, it is the dimension of the v",
        ),
        ("moon-word+hidden=5+hidden=6", r"^preset moon-word\+hidden=5\+hidden=6: expected hidden once, got 5 and 6"),
        ("minilm+hidden=5", "^hidden: would change nothing in preset minilm, expected an entity_encoder with it"),
        (
            "moon-word+char_hidden=5",
            "^char_hidden: would change nothing in preset moon-word, expected the modality char",
        ),
        (
            "moon-char+word_dropout=0.2",
            "^word_dropout: would change nothing in preset moon-char, expected the modality",
        ),
        ("moon-word+decay=0.2", "^decay: would change nothing in preset moon-word, expected the schedule inverse"),
        ("pupil+text_learning_rate=1", "^text_learning_rate: would change nothing in preset pupil, expected the modal"),
    ],
)
def test_a_variant_of_what_is_not_there_is_refused(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        preset(name)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "moon-char+seed=7",
            "preset moon-char: +seed makes no variant; say it behind a colon in `report`, by --seed in",
        ),
        (
            "minilm+text_encoder=/home/ada/minilm",
            "preset minilm: +text_encoder makes no variant; say it by --text-encoder in `report`, by --model",
        ),
    ],
)
def test_what_is_one_trainings_own_makes_no_variant(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{re.escape(said)}"):
        preset(name)


def test_fields_that_need_each_other_may_come_in_any_order() -> None:
    assert preset("minilm+hidden=5+entity_encoder=lstm").model.hidden == 5
    assert preset("moon-word+decay=0.2+schedule=inverse").recipe.decay == 0.2


def test_what_a_preset_is_can_be_read_out_of_order() -> None:
    summaries = [one.summary for one in PRESETS.values()]
    assert len(set(summaries)) == len(summaries)
    assert [text for text in summaries if "the same" in text or re.search("|".join(PRESETS), text)] == []


def test_the_command_line_goes_on_top_of_the_preset(tmp_path: Path) -> None:
    data = tmp_path / "posts.txt"
    data.write_text("hello\tO\nOslo\tB-LOC\n\n" * 12, encoding="utf-8")
    command = ["train", "--preset", "moon-char", "--train", str(data), "--valid", str(data), "--device", "cpu"]
    changes = ["--epochs", "1", "--recipe", "batch_posts=4", "--model", "hidden=7", "--out", str(tmp_path / "made")]
    result = CliRunner().invoke(main, [*command, *changes])
    assert result.exit_code == 0, result.stderr
    made = load_checkpoint(tmp_path / "made")
    assert (made.name, made.model.config.hidden, made.model.config.entity_encoder) == ("moon-char", 7, "coupled_lstm")
    recipe = made.training["config"]
    assert (recipe["batch_posts"], recipe["optimizer"], recipe["epochs"]) == (4, "adagrad", 1)
    assert not (tmp_path / "made.training").exists()


def test_a_preset_that_reads_words_asks_for_vectors(tmp_path: Path) -> None:
    data = tmp_path / "posts.txt"
    data.write_text("Oslo\tB-LOC\n\n", encoding="utf-8")
    command = [
        "train",
        "--preset",
        "moon-word",
        "--train",
        str(data),
        "--valid",
        str(data),
        "--out",
        str(tmp_path / "m"),
    ]
    result = CliRunner().invoke(main, command)
    assert (result.exit_code, result.stderr) == (
        1,
        "mner-model: --vectors: expected word vectors with the modalities word\n",
    )


@pytest.mark.parametrize(
    ("name", "of_model", "of_recipe"),
    [
        ("trimod-no-regularisation", {}, set()),
        ("trimod-l1", {}, {"l1"}),
        ("trimod-l2", {}, {"weight_decay"}),
        ("trimod-batch-norm", {"batch_norm": True}, set()),
    ],
)
def test_each_other_regularisation_stands_in_place_of_dropout_and_alone(
    name: str, of_model: dict[str, bool], of_recipe: set[str]
) -> None:
    plain, other = preset("trimod"), preset(name)
    assert plain.model.dropout == 0.55
    assert other.model == replace(plain.model, dropout=0.0, **of_model)  # type: ignore[arg-type]
    before, after = plain.recipe.to_json(), other.recipe.to_json()
    assert {field for field in before if before[field] != after[field]} == of_recipe


def test_papers_that_always_have_an_image_are_chosen_with_them_and_ours_on_text_alone() -> None:
    with_images = {name for name, one in PRESETS.items() if one.recipe.choose_with_images}
    readers = {name for name, one in PRESETS.items() if one.model.reads_images}
    assert with_images == {name for name in readers if PRESETS[name].source}
    assert {"moon-image", "moon-image-attention", "trimod", "trimod-caption", "trimod-l1"} <= with_images
    assert all(PRESETS[name].recipe.modality_dropout == 0 for name in with_images)
    assert readers - with_images == {
        "word-char-image",
        "pupil",
        "minilm-caption",
        "minilm-multimodal",
    }
