"""The two commands as people script them: what comes on stdout, and the exit status."""

import json
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from mner_model.commands.captions import caption, train_captioner

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220)}


def run(command: click.Command, *arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for name, colour in COLOURS.items():
        pixels = np.full((90, 120, 3), colour, dtype=np.uint8)
        pixels[30:60, 40:80] = 255 - pixels[30:60, 40:80]
        Image.fromarray(pixels).save(folder / f"{name}.png")
    lines = [f"{name}.png\ta {name} wall with a window" for name in COLOURS]
    (folder / "captions.tsv").write_text("\n".join(lines) + "\n")
    return folder


TRAINING = ("--backbone", "efficientnet-lite0", "--epochs", 25, "--device", "cpu")


@pytest.fixture(scope="module")
def trained(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    captions, out = pictures / "captions.tsv", tmp_path_factory.mktemp("trained") / "captioner"
    code, stdout, stderr = run(train_captioner, "--train", captions, "--valid", captions, "--out", out, *TRAINING)
    assert code == 0, stderr
    return out, stdout, stderr


def test_training_says_each_pass_on_stderr_and_leaves_the_captioner_alone(trained: tuple[Path, str, str]) -> None:
    out, stdout, stderr = trained
    assert stdout == ""
    assert "pass  25" in stderr
    assert f"wrote {out}, fingerprint " in stderr
    assert [path.name for path in out.parent.iterdir()] == ["captioner"]


def test_the_folder_that_one_stands_in_can_be_written_to(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    captions, short = pictures / "captions.tsv", (*TRAINING[:2], "--epochs", 1)
    code, _, stderr = run(train_captioner, "--train", captions, "--valid", captions, "--out", ".", *short)
    assert code == 0, stderr
    assert [path.name for path in tmp_path.iterdir()] == ["here"]
    assert run(caption, "--checkpoint", tmp_path / "here", pictures / "red.png")[0] == 0


def test_captions_come_in_the_order_of_the_files(trained: tuple[Path, str, str], pictures: Path) -> None:
    files = [pictures / f"{name}.png" for name in ("blue", "red", "green", "red")]
    code, stdout, stderr = run(caption, "--checkpoint", trained[0], *files)
    assert (code, stderr) == (0, "")
    assert stdout.splitlines() == [f"{file}\ta {file.stem} wall with a window" for file in files]


def test_json_lines_answer_a_bad_file_in_its_place(
    trained: tuple[Path, str, str], pictures: Path, tmp_path: Path
) -> None:
    letter = tmp_path / "letter.txt"
    letter.write_text("no image")
    code, stdout, stderr = run(caption, "--checkpoint", trained[0], "--json", letter, pictures / "red.png")
    assert code == 1
    assert [json.loads(line) for line in stdout.splitlines()] == [
        {"file": str(letter), "error": "unknown_format"},
        {"file": str(pictures / "red.png"), "caption": "a red wall with a window"},
    ]
    assert stderr == f"mner-model: {letter}: cannot be decoded: unknown_format\n"
    assert run(caption, "--checkpoint", trained[0], letter)[:2] == (1, "")


def test_a_missing_file_is_said_and_the_others_are_captioned(
    trained: tuple[Path, str, str], pictures: Path, tmp_path: Path
) -> None:
    files = [pictures / "red.png", tmp_path / "nowhere.png", tmp_path, pictures / "blue.png"]
    code, stdout, stderr = run(caption, "--checkpoint", trained[0], *files)
    assert code == 1
    assert stdout.splitlines() == [f"{files[at]}\ta {files[at].stem} wall with a window" for at in (0, 3)]
    assert stderr.splitlines() == [
        f"mner-model: {files[1]}: cannot be read: No such file or directory",
        f"mner-model: {tmp_path}: cannot be read: Is a directory",
    ]
    code, stdout, _ = run(caption, "--checkpoint", trained[0], "--json", files[1])
    answer = {"file": str(files[1]), "error": "cannot be read: No such file or directory"}
    assert (code, json.loads(stdout)) == (1, answer)


@pytest.mark.parametrize("arguments", [["--beam", 0], ["--max-words", 0], []])
def test_wrong_usage_is_told_from_failure(trained: tuple[Path, str, str], arguments: list[object]) -> None:
    assert run(caption, "--checkpoint", trained[0], *arguments)[0] == 2


def test_what_is_no_captioner_is_named(pictures: Path, tmp_path: Path) -> None:
    code, stdout, stderr = run(caption, "--checkpoint", tmp_path, pictures / "red.png")
    assert (code, stdout) == (1, "")
    assert "config.json is missing, expected the folder that `train-captioner` wrote" in stderr


def test_a_bad_line_stops_the_training_with_its_place(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.tsv").write_text("no tab here\n")
    good = pictures / "captions.tsv"
    code, _, stderr = run(train_captioner, "--train", good, "--valid", tmp_path / "bad.tsv", "--out", tmp_path / "out")
    assert code == 1
    assert f"{tmp_path / 'bad.tsv'}:1: expected an image file" in stderr


def test_a_place_that_is_taken_is_refused_before_the_training(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    captions = pictures / "captions.tsv"
    code, _, stderr = run(train_captioner, "--train", captions, "--valid", captions, "--out", tmp_path)
    assert code == 1
    assert "holds letter.txt" in stderr
    assert "pass" not in stderr
