"""A report trains what is missing, scores it, and says all that is needed to repeat it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mner_model.cli import main
from mner_model.report import Measured, markdown

POSTS = "flying\tO\nto\tO\nOslo\tB-LOC\n\nwe\tO\nmeet\tO\nAda\tB-PER\nLovelace\tI-PER\n\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "made-up"
    folder.mkdir()
    for name, times in (("train", 30), ("valid", 3), ("test", 4)):
        (folder / f"{name}.txt").write_text(POSTS * times, encoding="utf-8")
    return folder


def report(data: Path, out: Path, *presets: str, seeds: str = "0,1") -> str:
    command = ["report", "--seeds", seeds, "--out", str(out), "--epochs", "2", "--device", "cpu"]
    for name in presets:
        command += ["--preset", name]
    for part in ("train", "valid", "test"):
        command += [f"--{part}", str(data / f"{part}.txt")]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_a_report_has_a_row_a_preset_over_its_seeds_and_what_it_rests_on(data: Path, tmp_path: Path) -> None:
    text = report(data, tmp_path / "out", "moon-char")
    rows = [line for line in text.splitlines() if line.startswith("| moon-char |")]
    assert len(rows) == 1
    assert rows[0].split(" | ")[2] == "0, 1"
    assert "made-up/test: 8 posts, 8 mentions, data " in text
    assert "Checkpoints: moon-char seed 0 " in text


def test_what_is_done_is_kept_and_a_further_preset_trains_that_one_only(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = report(data, tmp_path / "out", "moon-char", seeds="0")
    made = (tmp_path / "out" / "moon-char-seed0" / "weights.safetensors").stat().st_mtime_ns
    again = report(data, tmp_path / "out", "moon-char", seeds="0")
    assert (tmp_path / "out" / "moon-char-seed0" / "weights.safetensors").stat().st_mtime_ns == made
    assert again == first


def test_seeds_that_are_no_numbers_are_one_line(data: Path, tmp_path: Path) -> None:
    command = ["report", "--preset", "moon-char", "--seeds", "one", "--out", str(tmp_path / "out")]
    for part in ("train", "valid", "test"):
        command += [f"--{part}", str(data / f"{part}.txt")]
    result = CliRunner().invoke(main, command)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "mner-model: --seeds: expected whole numbers with commas between, got 'one'\n"


def result(lenient: float, strict: float, speed: float = 100.0) -> dict[str, object]:
    return {
        "model": {"fingerprint": "f" * 64, "parameters": 1234},
        "data": {"fingerprint": "d" * 64, "posts": 5, "mentions": 6},
        "lenient": {"f1": lenient},
        "strict": {"f1": strict},
        "posts_per_second": speed,
    }


def test_figures_are_means_over_seeds_with_their_spread() -> None:
    measured = [
        Measured("word", seed, name, False, result(f1, f1 - 0.01), 2_000_000)
        for seed, name, f1 in ((0, "a", 0.70), (1, "a", 0.72), (0, "b", 0.80), (1, "b", 0.80))
    ]
    [row] = [line for line in markdown(measured, "command").splitlines() if line.startswith("| word")]
    assert row == (
        "| word | 71.00 / 70.00 (70.00 to 72.00) | 80.00 / 79.00 (80.00 to 80.00) | 0, 1 | 1,234 | 2 | 100 |"
    )


def test_images_have_a_row_of_their_own() -> None:
    measured = [Measured("word", 0, "a", images, result(0.7, 0.7), 10**6) for images in (False, True)]
    rows = [line for line in markdown(measured, "command").splitlines() if line.startswith("| word")]
    assert [row.split(" | ")[0] for row in rows] == ["| word", "| word, with images' captions"]


def test_results_are_kept_by_the_checkpoints_fingerprint(data: Path, tmp_path: Path) -> None:
    report(data, tmp_path / "out", "moon-char", seeds="0")
    kept = json.loads((tmp_path / "out" / "moon-char-seed0.results.json").read_text(encoding="utf-8"))
    [(fingerprint, found)] = kept.items()
    assert len(fingerprint) == 64
    assert list(found) == ["made-up/test"]
