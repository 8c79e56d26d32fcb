"""A report trains what is missing, scores it, and says all that is needed to repeat it."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file

from mner_model.checkpoints.config_file import training_story
from mner_model.checkpoints.provenance import code_fingerprint
from mner_model.cli import main
from mner_model.files.training_state import TrainingStateError
from mner_model.reporting.page import command_line, markdown, scores_table
from mner_model.reporting.results import Measured, merge_results, read_results
from mner_model.reporting.scores import measure, scored_sets
from mner_model.text.piece_vectors import PieceVectors, write_piece_vectors
from mner_model.text.tokenizer import tokenize
from mner_model.training.run import train_to

MakeMeasured = Callable[..., Measured]

POSTS = "flying\tO\nto\tO\nOslo\tB-LOC\n\nwe\tO\nmeet\tO\nAda\tB-PER\nLovelace\tI-PER\n\n"
LEARNED = POSTS.replace("flying", "back").replace("meet", "met")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "made-up"
    folder.mkdir()
    for name, posts in (("train", LEARNED * 30), ("valid", POSTS * 3), ("test", POSTS * 4)):
        (folder / f"{name}.txt").write_text(posts, encoding="utf-8")
    return folder


def run(data: Path, out: Path, *options: str) -> Result:
    command = ["report", "--out", str(out), "--epochs", "2", "--device", "cpu", *options]
    for part in ("train", "valid", "test"):
        command += [f"--{part}", str(data / f"{part}.txt")]
    return CliRunner().invoke(main, command)


def report(data: Path, out: Path, *options: str) -> str:
    ended = run(data, out, *options)
    assert ended.exit_code == 0, ended.stderr
    return ended.stdout


def test_a_report_has_a_row_a_preset_over_its_seeds_and_what_it_rests_on(data: Path, tmp_path: Path) -> None:
    text = report(data, tmp_path / "out", "--seeds", "0,1", "--preset", "moon-char")
    [scores, types] = rows(text, "moon-char")
    assert scores[5] == "0, 1"
    assert types[1] == "made-up/test"
    assert "made-up/test: 8 posts, 8 mentions, data " in text
    assert "Checkpoints: moon-char seed 0 " in text


def test_what_is_done_is_kept(data: Path, tmp_path: Path) -> None:
    first = report(data, tmp_path / "out", "--preset", "moon-char:0")
    made = (tmp_path / "out" / "moon-char-seed0" / "weights.safetensors").stat().st_mtime_ns
    again = report(data, tmp_path / "out", "--preset", "moon-char:0")
    assert (tmp_path / "out" / "moon-char-seed0" / "weights.safetensors").stat().st_mtime_ns == made
    assert again == first


def test_seeds_that_are_no_numbers_are_one_line(data: Path, tmp_path: Path) -> None:
    result = run(data, tmp_path / "out", "--preset", "moon-char", "--seeds", "one")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "mner-model: --seeds: expected whole numbers with commas between, got 'one'\n"


def rows(text: str, label: str) -> list[list[str]]:
    """The cells of the tables' rows whose first is this."""
    tables = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [row for row in tables if row[0] == label]


def trained_to(f1: float) -> dict[str, object]:
    """What is told of a training that reached this on the mean of two validation sets."""
    return {"recipe": {}, "data": {}, "validation_lenient_f1": {"a/valid": f1 + 0.02, "b/valid": f1 - 0.02}}


def test_figures_are_means_over_seeds_with_their_spread(make_measured: MakeMeasured) -> None:
    measured = [
        make_measured(f1, seed=seed, data=name, training=trained_to(0.64 + 0.04 * seed))
        for seed, name, f1 in ((0, "a", 0.70), (1, "a", 0.72), (0, "b", 0.80), (1, "b", 0.80))
    ]
    [scores, of_a, of_b] = rows(markdown(measured, "command"), "word")
    first = ["71.00 (70.00 to 72.00) [69.00 to 73.00]", "70.00", "72.00"]
    second = ["80.00 (80.00 to 80.00) [78.00 to 82.00]", "79.00", "81.00"]
    assert scores == ["word", *first, *second, "66.00", "0, 1", "1,234", "2", "100"]
    assert of_a == ["word", "a", "71.00", "71.00", "81.00", "61.00"]
    assert of_b == ["word", "b", "80.00", "80.00", "90.00", "70.00"]


def test_a_single_seed_shows_its_bootstrap_interval(make_measured: MakeMeasured) -> None:
    scores = rows(markdown([make_measured(0.7)], "command"), "word")[0]
    assert scores[1] == "70.00 [68.00 to 72.00]"


def test_every_row_has_as_many_cells_as_the_head(make_measured: MakeMeasured) -> None:
    text = scores_table([make_measured(data="a"), make_measured(data="b", preset="other")])
    assert {line.count("|") for line in text.splitlines()} == {13}


def test_many_sets_have_a_row_each_and_a_mean_for_each_folder(make_measured: MakeMeasured) -> None:
    figures = {"ner/a": 0.5, "ner/b": 0.6, "other/c": 0.7, "other/d": 0.8}
    measured = [make_measured(f1, data=name) for name, f1 in figures.items()]
    measured.append(make_measured(0.9, data="ner/a", preset="large"))
    text = markdown(measured, "command")
    assert rows(text, "data")[0] == ["data", "word", "large"]
    assert rows(text, "ner/a")[0] == ["ner/a", "50.00 [48.00 to 52.00]", "90.00 [88.00 to 92.00]"]
    assert rows(text, "other/d")[0][1] == "80.00 [78.00 to 82.00]"
    assert rows(text, "mean of ner") == [["mean of ner", "55.00", "90.00"]]
    assert rows(text, "mean of other")[0][1] == "75.00"


def test_vectors_of_pieces_are_asked_for_and_told(data: Path, tmp_path: Path) -> None:
    vectors = PieceVectors(("▁Oslo", "▁Ada"), np.full(2, -1, np.float32), np.eye(2, dtype=np.float32))
    write_piece_vectors(tmp_path / "pieces", vectors)
    write_piece_vectors(tmp_path / "others", replace(vectors, vectors=-vectors.vectors))
    asked = ("--preset", "moon-char+modalities=char,piece:0")
    assert "--piece-vectors: expected vectors" in run(data, tmp_path / "out", *asked).stderr
    text = report(data, tmp_path / "out", *asked, "--piece-vectors", str(tmp_path / "pieces"))
    assert "piece_vectors " in text
    assert report(data, tmp_path / "out", *asked) != "", "what is there is kept where nothing is said of its vectors"
    ended = run(data, tmp_path / "out", *asked, "--piece-vectors", str(tmp_path / "others"))
    folder = tmp_path / "out" / "moon-char+modalities=char,piece-seed0"
    assert (ended.exit_code, ended.stderr) == (1, otherwise(folder, "piece_vectors"))


def test_images_have_a_row_of_their_own(make_measured: MakeMeasured) -> None:
    text = scores_table([make_measured(with_images=images) for images in (False, True)])
    assert [line.split(" | ")[0] for line in text.splitlines()[2:]] == ["| word", "| word, with images' captions"]


def test_vocabularies_have_a_row_each(make_measured: MakeMeasured) -> None:
    text = scores_table([make_measured(words=words) for words in (None, 300_000)])
    assert [line.split(" | ")[0] for line in text.splitlines()[2:]] == ["| word", "| word, 300,000 words"]


def test_a_report_prints_what_it_measured_as_json(data: Path, tmp_path: Path) -> None:
    printed = json.loads(report(data, tmp_path / "out", "--json", "--preset", "moon-char:0"))
    assert [(one["preset"], one["seed"], one["words"], one["data"]) for one in printed] == [
        ("moon-char", 0, None, "made-up/test")
    ]


def test_a_report_puts_what_it_measured_into_a_file_of_results(
    data: Path, tmp_path: Path, make_measured: MakeMeasured
) -> None:
    file = tmp_path / "results.json"
    merge_results(file, [make_measured()])
    report(data, tmp_path / "out", "--results", str(file), "--preset", "moon-char:0")
    assert [(one.preset, one.data) for one in read_results(file)] == [("moon-char", "made-up/test"), ("word", "a/test")]


def test_a_broken_file_of_results_is_told_before_anything_is_trained(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    file.write_text("[", encoding="utf-8")
    ended = run(data, tmp_path / "out", "--results", str(file), "--preset", "moon-char:0")
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"mner-model: {file}: expected results as ")
    assert not (tmp_path / "out").exists()


def test_each_vocabulary_is_trained_and_scored_for_itself(data: Path, tmp_path: Path) -> None:
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("".join(f"{word} {' '.join(['0.1'] * 4)}\n" for word in ("to", "oslo", "we", "ada")))
    options = ["--vectors", str(vectors), "--words", "4", "--words", "2", "--preset", "moon-word:0"]
    printed = json.loads(report(data, tmp_path / "out", "--json", *options))
    assert [(one["words"], one["result"]["model"]["name"]) for one in printed] == [(4, "moon-word"), (2, "moon-word")]
    assert printed[0]["result"]["model"]["fingerprint"] != printed[1]["result"]["model"]["fingerprint"]
    assert {path.name for path in (tmp_path / "out").iterdir() if path.is_dir()} == {
        "moon-word-4-words-seed0",
        "moon-word-2-words-seed0",
    }


def test_scores_are_kept_by_the_fingerprints_of_checkpoint_and_data(data: Path, tmp_path: Path) -> None:
    report(data, tmp_path / "out", "--preset", "moon-char:0")
    kept = json.loads((tmp_path / "out" / "moon-char-seed0.results.json").read_text(encoding="utf-8"))
    [(fingerprint, found)] = kept.items()
    assert len(fingerprint) == 64
    for key, result in found.items():
        about = result["data"]
        assert key == f"fingerprint {about['fingerprint']}, features_fingerprint {about['features_fingerprint']}"


def test_posts_that_are_read_otherwise_than_when_they_were_scored_are_scored_again(
    small_folder: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, said = shutil.copytree(small_folder, tmp_path / "made"), list[str]()
    sets = scored_sets([data / "test.txt"])
    for _ in range(2):
        measure("made", 0, folder, sets, "cpu", said.append)
    assert said == ["made, seed 0: scoring on made-up/test"]
    for module in ("data.conll", "predictor"):
        monkeypatch.setattr(f"mner_model.{module}.tokenize", lambda text: tokenize(text.lower()))
    measure("made", 0, folder, sets, "cpu", said.append)
    assert said == 2 * ["made, seed 0: scoring on made-up/test"]


def test_a_checkpoint_of_other_tokens_is_not_the_one_asked_for(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report(data, tmp_path / "out", "--preset", "moon-char:0")
    monkeypatch.setattr("mner_model.data.conll.tokenize", lambda text: tokenize(text.lower()))
    ended = run(data, tmp_path / "out", "--preset", "moon-char:0")
    assert (ended.exit_code, ended.stderr) == (1, otherwise(tmp_path / "out" / "moon-char-seed0", "tokens"))


def otherwise(folder: Path, what: str) -> str:
    return (
        f"mner-model: {folder}: was trained otherwise than this report asks for, it differs in {what}: "
        "name another --out, or remove that folder\n"
    )


@pytest.mark.parametrize("key", [None, "made-up/test"], ids=["as kept now", "as kept before"])
def test_kept_scores_are_believed_as_long_as_checkpoint_and_data_are_the_same(
    key: str | None, data: Path, tmp_path: Path
) -> None:
    def first_cell() -> str:
        return rows(report(data, tmp_path / "out", "--preset", "moon-char:0"), "moon-char")[0][1]

    first_cell()
    kept = tmp_path / "out" / "moon-char-seed0.results.json"
    [(fingerprint, found)] = json.loads(kept.read_text(encoding="utf-8")).items()
    [(name, scores)] = found.items()
    scores["lenient"]["f1"] = 0.1234
    kept.write_text(json.dumps({fingerprint: {key or name: scores}}), encoding="utf-8")
    assert first_cell().startswith("12.34 ")
    test = data / "test.txt"
    before = test.read_text(encoding="utf-8")
    test.write_text(POSTS * 5, encoding="utf-8")
    assert not first_cell().startswith("12.34 ")
    test.write_text(before, encoding="utf-8")
    assert first_cell().startswith("12.34 ")  # what is scored since stands beside it
    kept.write_text(json.dumps({"other": {name: scores}}), encoding="utf-8")
    assert not first_cell().startswith("12.34 ")


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}'])
def test_damaged_scores_are_one_line(text: str, data: Path, tmp_path: Path) -> None:
    report(data, tmp_path / "out", "--preset", "moon-char:0")
    kept = tmp_path / "out" / "moon-char-seed0.results.json"
    fingerprint = next(iter(json.loads(kept.read_text(encoding="utf-8"))))
    kept.write_text(text.replace("a", fingerprint), encoding="utf-8")
    ended = run(data, tmp_path / "out", "--preset", "moon-char:0")
    assert ended.exit_code == 1
    assert ended.stderr.startswith(f"mner-model: {kept}: damaged: ")


def test_other_captions_are_scored_anew_and_text_alone_is_not(folder_with_images: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(folder_with_images, tmp_path / "made")
    test, said = tmp_path / "test.txt", list[str]()
    test.write_text(f"IMGID:1\n{POSTS}", encoding="utf-8")
    for caption, scorings in (("a dog", 2), ("a dog", 0), ("a cat", 1), ("a dog", 0)):
        (tmp_path / "test.captions.tsv").write_text(f"1\t{caption}\n", encoding="utf-8")
        said.clear()
        sets = scored_sets([test])
        alone, captioned = measure("made", 0, folder, sets, "cpu", said.append)
        assert len(said) == scorings
        assert (alone.with_images, alone.result["data"]["captions_fingerprint"]) == (False, None)
        assert captioned.result["data"]["captions_fingerprint"] == sets[0].captions_fingerprint


def test_a_second_test_set_of_a_name_is_refused(data: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "made-up" / "test.txt"
    other.parent.mkdir(parents=True)
    other.write_text(POSTS, encoding="utf-8")
    ended = run(data, tmp_path / "out", "--preset", "moon-char:0", "--test", str(other))
    assert ended.exit_code == 1
    assert ended.stderr.endswith(": a second one of the name made-up/test; give its folder another\n")
    assert not (tmp_path / "out").exists()


def test_a_report_names_the_data_of_the_training(data: Path, tmp_path: Path) -> None:
    text = report(data, tmp_path / "out", "--preset", "moon-char:0")
    story = training_story(tmp_path / "out" / "moon-char-seed0")["data"]
    train, valid = story["train"]["fingerprint"], story["validation"]["made-up/valid"]["fingerprint"]
    tokens = story["tokens"]["fingerprint"]
    told = f"train {train[:12]}, validation made-up/valid {valid[:12]}, tokens {tokens[:12]}"
    assert f"Trained on {told}: moon-char seed 0." in text


def test_a_report_tells_models_recipes_and_what_they_were_made_with(data: Path, tmp_path: Path) -> None:
    text = report(data, tmp_path / "out", "--preset", "moon-char:0")
    program = (
        rf"mner-model \S+, code {code_fingerprint()[:12]}, torch {re.escape(torch.__version__)}, cpu \(threads: \d+\)"
    )
    assert re.search(rf"Trained with {program}; scored with {program}: moon-char seed 0\.", text)
    [model] = [line for line in text.splitlines() if line.startswith("- moon-char: ")]
    assert {"modalities char", "fusion concatenation", "epochs 2", "optimizer adagrad"} <= {*model[13:].split(", ")}


def test_whatever_a_checkpoint_tells_of_its_data_is_named(make_measured: MakeMeasured) -> None:
    data = {
        "train": {"posts": 5, "fingerprint": "a" * 64, "captions_fingerprint": "b" * 64},
        "vectors": {"words": 7, "fingerprint": "c" * 64},
        "soft_targets": {"fingerprint": "d" * 64, "teachers": [{"name": "large", "fingerprint": "e" * 64}]},
    }
    text = markdown([make_measured(training={"recipe": {}, "data": data}), make_measured(seed=1)], "command")
    names = ("train", "train captions", "vectors", "soft_targets", "soft_targets teachers")
    told = ", ".join(f"{name} {letter * 12}" for name, letter in zip(names, "abcde", strict=True))
    assert f"Trained on {told}: word seed 0.  \nTrained on nothing told: word seed 1.  \n" in text


def test_figures_of_another_training_are_not_overwritten(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    report(data, tmp_path / "out", "--results", str(file), "--preset", "moon-char:0")
    before = file.read_text(encoding="utf-8")
    for part, posts, epochs, what in (
        ("train", LEARNED * 31, "2", "train"),
        ("train", LEARNED * 30, "3", "recipe"),
        ("valid", POSTS * 5, "2", "validation"),
        ("valid", POSTS * 3, "1", "recipe"),
        ("test", POSTS * 5, "2", "the data scored on"),
    ):
        (data / f"{part}.txt").write_text(posts, encoding="utf-8")
        out = tmp_path / "other"
        ended = run(data, out, "--results", str(file), "--preset", "moon-char:0", "--epochs", epochs)
        assert ended.stderr == (
            f"mner-model: {file}: has moon-char, seed 0, on made-up/test already, and it differs in {what}; "
            "remove that entry, or name another file\n"
        )
        assert not out.exists(), "before anything is trained"
    assert file.read_text(encoding="utf-8") == before


def test_the_same_training_again_may_replace_its_figures(data: Path, tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    for out in ("one", "two"):
        report(data, tmp_path / out, "--results", str(file), "--preset", "moon-char:0")
    [entry] = read_results(file)
    assert entry.training is not None
    assert entry.training["recipe"]["epochs"] == 2
    assert entry.training["data"] == training_story(tmp_path / "two" / "moon-char-seed0")["data"]


def test_a_checkpoint_that_was_trained_otherwise_is_refused(data: Path, tmp_path: Path) -> None:
    report(data, tmp_path / "out", "--preset", "moon-char:0")
    (data / "train.txt").write_text(LEARNED, encoding="utf-8")
    ended = run(data, tmp_path / "out", "--preset", "moon-char:0", "--epochs", "3")
    told = otherwise(tmp_path / "out" / "moon-char-seed0", "recipe (epochs 2, asked for 3); train")
    assert (ended.exit_code, ended.stdout, ended.stderr) == (1, "", told)


def test_posts_to_score_on_that_are_learned_from_are_told(data: Path, tmp_path: Path) -> None:
    (data / "train.txt").write_text(LEARNED + POSTS.partition("\n\n")[0] + "\n", encoding="utf-8")
    ended = run(data, tmp_path / "out", "--preset", "moon-char:0")
    said = "posts have a text that is in the training data too"
    assert [line for line in ended.stderr.splitlines() if said in line] == [
        f"--test made-up/test: 4 of 8 {said}",
        f"--valid made-up/valid: 3 of 6 {said}",
    ]


def vectors_file(data: Path, numbers: str = "0.1 0.2", name: str = "vectors.txt") -> Path:
    file = data / name
    file.write_text("".join(f"{word} {numbers}\n" for word in ("to", "oslo", "we", "ada")), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("numbers", "words", "was"),
    [("0.1 0.2", 4, ""), ("0.1 0.2", 2, "4 word vectors"), ("0.1 0.3", 4, "4 word vectors"), ("0.1", 2, "4 word vect")],
    ids=["the same", "fewer words", "other numbers", "another dimension"],
)
def test_a_checkpoint_of_other_vectors_is_not_the_one_asked_for(
    numbers: str, words: int, was: str, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    options = ["--preset", "moon-word:0", "--vectors", str(vectors_file(data))]
    first = json.loads(report(data, out, "--json", *options))
    other = [*options, "--preset", "moon-char:0", "--vectors", str(vectors_file(data, numbers, "other.txt"))]
    ended = run(data, out, "--json", *other, "--words", str(words))
    if was:
        expected = rf"mner-model: {out / 'moon-word-seed0'}: .* it differs in vectors \({was}.*, asked for"
        assert (ended.exit_code, ended.stdout) == (1, "")
        assert re.match(expected, ended.stderr.splitlines()[-1])
        assert ended.stderr.endswith(": name another --out, or remove that folder\n")
        assert not (out / "moon-char-seed0").exists(), "before anything is trained"
    else:
        [kept] = [one for one in json.loads(ended.stdout) if one["preset"] == "moon-word"]
        assert kept["result"] == first[0]["result"]


def test_a_checkpoint_that_tells_no_vectors_and_one_that_is_given_none_are_taken_as_they_are(
    data: Path, tmp_path: Path
) -> None:
    vectors, out = vectors_file(data), tmp_path / "out"
    report(data, out, "--preset", "moon-word:0", "--vectors", str(vectors))
    assert run(data, out, "--preset", "moon-word:0").exit_code == 0
    change_config(out / "moon-word-seed0", lambda config: config["training"]["data"].pop("vectors"))
    ended = run(data, out, "--preset", "moon-word:0", "--vectors", str(vectors), "--words", "2")
    assert ended.exit_code == 0


def change_config(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    change(config)
    file.write_text(json.dumps(config), encoding="utf-8")


def test_a_checkpoint_of_what_the_preset_was_once_is_refused(data: Path, tmp_path: Path) -> None:
    report(data, tmp_path / "out", "--preset", "moon-char+hidden=7:0")
    (tmp_path / "out" / "moon-char+hidden=7-seed0").rename(tmp_path / "out" / "moon-char-seed0")
    ended = run(data, tmp_path / "out", "--preset", "moon-char:0")
    told = otherwise(tmp_path / "out" / "moon-char-seed0", "model (hidden 7, asked for the default)")
    assert (ended.exit_code, ended.stderr) == (1, told)


def test_other_captions_and_another_transformer_are_other_trainings(
    data: Path, tmp_path: Path, tiny_transformer: Path
) -> None:
    for part in ("train", "valid", "test"):
        (data / f"{part}.txt").write_text(f"IMGID:1\n{POSTS}", encoding="utf-8")
        (data / f"{part}.captions.tsv").write_text("1\ta dog\n", encoding="utf-8")
    other = shutil.copytree(tiny_transformer, tmp_path / "other")
    weights = load_file(other / "model.safetensors")
    save_file({name: value + 1 for name, value in weights.items()}, other / "model.safetensors", {"format": "pt"})
    options = ["--preset", "minilm-caption:0", "--text-encoder"]
    report(data, tmp_path / "out", *options, str(tiny_transformer))
    (data / "train.captions.tsv").write_text("1\ta cat\n", encoding="utf-8")
    ended = run(data, tmp_path / "out", *options, str(other))
    told = otherwise(tmp_path / "out" / "minilm-caption-seed0", "train; text_encoder")
    assert (ended.exit_code, ended.stderr.endswith(told)) == (1, True)


def test_epochs_are_said_once(data: Path, tmp_path: Path) -> None:
    ended = run(data, tmp_path / "out", "--preset", "moon-char+epochs=1:0")  # and --epochs 2
    assert (ended.exit_code, ended.stderr) == (
        1,
        "mner-model: --epochs 2: expected none, preset moon-char+epochs=1 says its own\n",
    )


@pytest.mark.parametrize("kept", [False, True], ids=["to be trained", "in the folder"])
def test_figures_of_other_vectors_are_known_before_anything_is_trained(kept: bool, data: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "results.json", tmp_path / "out"
    word = ["--preset", "moon-word:0", "--vectors"]
    report(data, tmp_path / "before", "--results", str(file), *word, str(vectors_file(data)))
    other = [*word, str(vectors_file(data, "0.3 0.4"))]
    if kept:
        report(data, out, *other)
    ended = run(data, out, "--results", str(file), "--preset", "moon-char:0", *other)
    assert ended.exit_code == 1
    assert ended.stderr.endswith(
        f"mner-model: {file}: has moon-word, seed 0, on made-up/test already, and it differs in vectors; "
        "remove that entry, or name another file\n"
    )
    assert not (out / "moon-char-seed0").exists()


def test_a_failure_does_not_cost_what_was_measured_before(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails_second(folder: Path, *rest: object, **named: object) -> str:
        if folder.name == "moon-char-seed1":
            raise TrainingStateError("no more")
        return train_to(folder, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr("mner_model.training.run.train_to", fails_second)
    file = tmp_path / "results.json"
    ended = run(data, tmp_path / "out", "--results", str(file), "--preset", "moon-char:0,1")
    assert (ended.exit_code, ended.stderr.splitlines()[-1]) == (1, "mner-model: no more")
    assert [(one.preset, one.seed) for one in read_results(file)] == [("moon-char", 0)]


BEFORE_TRAINING = {
    "no vectors": (["moon-word"], "--vectors: expected word vectors with the modalities word"),
    "no vectors in the file": (["moon-word", "--vectors", "DATA/train.txt"], "DATA/train.txt:1: expected a word and "),
    "more words than there are": (
        ["moon-word", "--vectors", "DATA/vectors.txt", "--words", "7"],
        "--words 7: expected at most the 1 that DATA/vectors.txt has",
    ),
    "no soft targets": (["pupil"], "preset pupil: expected --soft-targets, what "),
    "soft targets that are none": (
        ["pupil", "--soft-targets", "DATA/test.txt", "--vectors", "DATA/vectors.txt"],
        "DATA/test.txt: damaged, or not soft targets: ",
    ),
    "goals that exclude each other": (
        ["moon-multitask+label_smoothing=0.1", "--vectors", "DATA/vectors.txt"],
        "segmentation_weight: expected 0 with soft targets or label_smoothing",
    ),
    "a folder without a Transformer": (
        ["minilm", "--text-encoder", "DATA"],
        "text encoder DATA: cannot be read from the folder: ",
    ),
    "results that cannot be written": (
        ["moon-char", "--results", "DATA/train.txt/results.json"],
        "DATA/train.txt/results.json: cannot be written: ",
    ),
    "no such device": (["moon-char", "--device", "cuda:99"], "device cuda:99: this machine has "),
    "a seed that is too large": (["moon-char:9223372036854775808"], "seed: expected a whole number of 64 bits, got "),
    "a checkpoint that is none": (["moon-char:7"], "checkpoint OUT/moon-char-seed7: config.json cannot be read: "),
}


@pytest.mark.parametrize(("options", "said"), BEFORE_TRAINING.values(), ids=BEFORE_TRAINING)
def test_what_would_fail_later_is_told_before_the_first_training(
    options: list[str], said: str, data: Path, tmp_path: Path
) -> None:
    (data / "vectors.txt").write_text("oslo 0.1 0.2\n", encoding="utf-8")
    out = tmp_path / "out"
    (out / "moon-char-seed7").mkdir(parents=True)
    words = [word.replace("DATA", str(data)) for word in ["--preset", "moon-char:0", "--preset", *options]]
    ended = run(data, out, *words)
    assert (ended.exit_code, ended.stdout) == (1, "")
    expected = said.replace("DATA", str(data)).replace("OUT", str(out))
    assert ended.stderr.splitlines()[-1].startswith(f"mner-model: {expected}")
    assert [path.name for path in out.iterdir()] == ["moon-char-seed7"]


def test_a_missing_extra_is_told_before_the_first_training(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    ended = run(data, tmp_path / "out", "--preset", "moon-char:0", "--preset", "minilm")
    assert (ended.exit_code, ended.stderr.splitlines()[0].endswith("'mner-stream[transformer]'")) == (1, True)
    assert not (tmp_path / "out").exists()


def test_no_words_at_all_are_wrong_usage(data: Path, tmp_path: Path) -> None:
    assert run(data, tmp_path / "out", "--preset", "moon-word", "--words", "0").exit_code == 2


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--out=/data/d/rep"], "--out=d/rep"),
        (["--out", "/rep"], "--out rep"),
        (["--out", "runs/new/report"], "--out runs/new/report"),
        (["--train", "../../home/ada/t15/train.txt"], "--train t15/train.txt"),
        (["--train", "/data/a=b/t15/train.txt"], "--train t15/train.txt"),
        (["--text-encoder", "minilm=/data/m/minilm"], "--text-encoder minilm=m/minilm"),
        (["--text-encoder=minilm=/data/m/minilm"], "--text-encoder=minilm=m/minilm"),
        (["--text-encoder", "/data/m/a=b"], "--text-encoder m/a=b"),
        (
            ["--preset", "minilm+dropout=0.3:0", "--text-encoder", "minilm+dropout=0.3=/a/b/c"],
            "--preset minilm+dropout=0.3:0 --text-encoder minilm+dropout=0.3=b/c",
        ),
    ],
)
def test_the_command_says_nothing_of_where_things_lie_but_that_it_does_not(words: list[str], shown: str) -> None:
    *told, command = command_line(["report", *words]).splitlines()
    assert command == f"mner-model report {shown}"
    assert bool(told) == (command != f"mner-model report {' '.join(words)}")
