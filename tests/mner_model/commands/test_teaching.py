"""`mner-model teach` and what `train` makes of it."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from mner_model.cli import main
from mner_model.text.labels import TagSet
from mner_model.training.soft_target_file import read_soft_targets

CONLL = "flying\tO\nto\tO\nLima\tB-LOC\n\nat\tO\nNASA\tB-ORG\n!\tO\n"
VECTORS = "lima 0.1 0.2\noslo 0.1 0.3\nflying 1.0 0.0\nrunning 1.0 0.1\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.txt").write_text(CONLL)
    (tmp_path / "posts.txt").write_text('{"id": "a", "text": "flying to Oslo"}\n\nso tired today\n')
    (tmp_path / "vectors.txt").write_text(VECTORS)
    return tmp_path


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return result.exit_code, result.stderr


def teach(folder: Path, teacher: Path, *more: object) -> tuple[int, str]:
    sources = ("--train", folder / "train.txt", "--posts", folder / "posts.txt")
    return run("teach", "--teacher", teacher, *sources, "--out", folder / "targets", "--device", "cpu", *more)


def test_teach_writes_targets_of_gold_and_other_posts(folder: Path, small_folder: Path) -> None:
    code, _ = teach(folder, small_folder)
    taught = read_soft_targets(folder / "targets", TagSet())
    assert code == 0
    assert set(taught.targets) == {"flying to Lima", "at NASA!", "flying to Oslo", "so tired today"}
    assert taught.about["teachers"][0]["name"] == "made-up"


def test_copies_have_words_swapped_and_come_on_top(folder: Path, small_folder: Path) -> None:
    code, _ = teach(folder, small_folder, "--swapped-copies", 20, "--vectors", folder / "vectors.txt")
    texts = set(read_soft_targets(folder / "targets", TagSet()).targets)
    assert code == 0
    assert len(texts) > 4
    assert len(texts & {"flying to Oslo", "running to Lima", "running to Oslo"}) >= 2


def test_copies_without_vectors_are_refused(folder: Path, small_folder: Path) -> None:
    assert teach(folder, small_folder, "--swapped-copies", 1)[1].startswith("mner-model: --vectors: expected")


def test_vectors_without_copies_are_refused(folder: Path, small_folder: Path) -> None:
    options = ("--train", folder / "train.txt", "--vectors", folder / "vectors.txt", "--out", folder / "targets")
    code, said = run("teach", "--teacher", small_folder, *options)
    assert (code, said) == (1, "mner-model: --vectors: would change nothing, expected --swapped-copies with it\n")


def test_posts_without_a_word_are_refused(folder: Path, small_folder: Path) -> None:
    (folder / "posts.txt").write_text('{"id": "a", "text": " ", "image_url": "https://a.example/b.jpg"}\n')
    posts = ("--posts", folder / "posts.txt", "--out", folder / "targets", "--device", "cpu")
    code, said = run("teach", "--teacher", small_folder, *posts)
    assert (code, said) == (1, "mner-model: expected posts with a word in them from --train or --posts\n")


def test_where_targets_cannot_be_written_nothing_is_read_for_them(folder: Path) -> None:
    out = folder / "posts.txt" / "targets"
    code, said = teach(folder, folder / "no teacher", "--out", out)
    assert (code, said) == (1, f"mner-model: {out}: cannot be written: File exists\n")


def test_a_line_that_is_no_post_is_named(folder: Path, small_folder: Path) -> None:
    (folder / "posts.txt").write_text('fine\n{"id": 3}\n')
    code, said = teach(folder, small_folder)
    assert code == 1
    assert "posts.txt:2: " in said


def test_a_training_tells_whom_it_learned_from(folder: Path, small_folder: Path) -> None:
    teach(folder, small_folder)
    code, said = run(
        *("train", "--preset", "moon-char", "--train", folder / "train.txt", "--valid", folder / "train.txt"),
        *("--soft-targets", folder / "targets", "--epochs", 1, "--out", folder / "pupil", "--device", "cpu"),
    )
    assert code == 0, said
    story = json.loads((folder / "pupil" / "config.json").read_text())["training"]["data"]["soft_targets"]
    assert story["posts"] == 4
    assert story["teachers"][0]["name"] == "made-up"
    assert story["fingerprint"] == read_soft_targets(folder / "targets", TagSet()).fingerprint
