"""A report trains what is missing, scores it, and says all that is needed to repeat it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from mner_model.cli import main
from mner_model.report import markdown, scores_table
from mner_model.results import Measured, merge_results, read_results

MakeMeasured = Callable[..., Measured]

POSTS = "flying\tO\nto\tO\nOslo\tB-LOC\n\nwe\tO\nmeet\tO\nAda\tB-PER\nLovelace\tI-PER\n\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "made-up"
    folder.mkdir()
    for name, times in (("train", 30), ("valid", 3), ("test", 4)):
        (folder / f"{name}.txt").write_text(POSTS * times, encoding="utf-8")
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
    assert scores[4] == "0, 1"
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


def test_figures_are_means_over_seeds_with_their_spread(make_measured: MakeMeasured) -> None:
    measured = [
        make_measured(f1, seed=seed, data=name)
        for seed, name, f1 in ((0, "a", 0.70), (1, "a", 0.72), (0, "b", 0.80), (1, "b", 0.80))
    ]
    [scores, of_a, of_b] = rows(markdown(measured, "command"), "word")
    first = ["71.00 (70.00 to 72.00)", "70.00", "72.00"]
    assert scores == ["word", *first, "80.00 (80.00 to 80.00)", "79.00", "81.00", "0, 1", "1,234", "2", "100"]
    assert of_a == ["word", "a", "71.00", "71.00", "81.00", "61.00"]
    assert of_b == ["word", "b", "80.00", "80.00", "90.00", "70.00"]


def test_a_single_seed_shows_its_bootstrap_interval(make_measured: MakeMeasured) -> None:
    scores = rows(markdown([make_measured(0.7)], "command"), "word")[0]
    assert scores[1] == "70.00 [68.00 to 72.00]"


def test_every_row_has_as_many_cells_as_the_head(make_measured: MakeMeasured) -> None:
    text = scores_table([make_measured(data="a"), make_measured(data="b", preset="other")])
    assert {line.count("|") for line in text.splitlines()} == {12}


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


def test_results_are_kept_by_the_checkpoints_fingerprint(data: Path, tmp_path: Path) -> None:
    report(data, tmp_path / "out", "--preset", "moon-char:0")
    kept = json.loads((tmp_path / "out" / "moon-char-seed0.results.json").read_text(encoding="utf-8"))
    [(fingerprint, found)] = kept.items()
    assert len(fingerprint) == 64
    assert list(found) == ["made-up/test"]


def test_kept_results_are_believed_as_long_as_the_checkpoint_is_the_same(data: Path, tmp_path: Path) -> None:
    report(data, tmp_path / "out", "--preset", "moon-char:0")
    kept = tmp_path / "out" / "moon-char-seed0.results.json"
    [(fingerprint, found)] = json.loads(kept.read_text(encoding="utf-8")).items()
    found["made-up/test"]["lenient"]["f1"] = 0.1234
    kept.write_text(json.dumps({fingerprint: found}), encoding="utf-8")
    assert rows(report(data, tmp_path / "out", "--preset", "moon-char:0"), "moon-char")[0][1].startswith("12.34 ")
    kept.write_text(json.dumps({"other": found}), encoding="utf-8")
    assert not rows(report(data, tmp_path / "out", "--preset", "moon-char:0"), "moon-char")[0][1].startswith("12.34 ")
