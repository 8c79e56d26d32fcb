"""The commands as people script them: what comes on stdout, and the exit status."""

import builtins
import gzip
import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from mner_model.commands.hashtags import evaluate_segmenter, segment, train_segmenter
from mner_model.data.conll import read_conll
from mner_model.data.examples import fingerprint

GOLD = "a post\tgoodmorning\tgood morning\na post\tBarackObama\tBarack Obama\nNASA!\tNASA\tNASA\tnasa\n"


@pytest.fixture
def gold(tmp_path: Path) -> Path:
    file = tmp_path / "gold.tsv"
    file.write_text(GOLD)
    return file


def run(command: click.Command, *arguments: object, given: bytes | None = None) -> tuple[int, bytes, str]:
    result = CliRunner().invoke(command, [str(argument) for argument in arguments], input=given)
    return result.exit_code, result.stdout_bytes, result.stderr


def test_a_line_in_is_a_line_out_in_order_and_blank_for_blank() -> None:
    code, out, err = run(segment, "-", given=b"#goodmorning\n\n  BarackObama\r\n#\nNASA")
    assert (code, out, err) == (0, b"good morning\n\nBarack Obama\n\nNASA\n", "")


def test_a_file_reads_like_standard_input(tmp_path: Path) -> None:
    lines = b"".join(b"#goodmorning%d\n" % number for number in range(600))
    (tmp_path / "hashtags.txt").write_bytes(lines)
    code, out, _ = run(segment, tmp_path / "hashtags.txt")
    assert code == 0
    assert out.replace(b" ", b"") == lines.replace(b"#", b"")


def test_bytes_that_are_no_text_leave_as_they_came() -> None:
    code, out, _ = run(segment, "-", given=b"\xff\xfeabc\xc3\n\xe2\x80\xa8x\n")
    assert code == 0
    assert out.replace(b" ", b"") == b"\xff\xfeabc\xc3\nx\n"
    assert "not UTF-8 come out as they went in" in " ".join(run(segment, "--help")[1].decode().split())


def test_a_byte_order_mark_is_no_part_of_the_first_hashtag() -> None:
    code, out, err = run(segment, "-", given=b"\xef\xbb\xbf#goodmorning\r\n#BarackObama\r\n")
    assert (code, out, err) == (0, b"good morning\nBarack Obama\n", "")


def test_all_signs_before_a_hashtag_are_left_out() -> None:
    code, out, err = run(segment, "-", given="##goodmorning\n#＃BarackObama\n##\n".encode())
    assert (code, out, err) == (0, b"good morning\nBarack Obama\n\n", "")


@pytest.mark.parametrize("from_file", [False, True])
def test_a_line_with_white_space_in_it_is_refused_and_the_others_go_on(tmp_path: Path, from_file: bool) -> None:
    lines = b"#goodmorning\n##double word\n\n# double\nx\ry\nNASA\n"
    (tmp_path / "hashtags.txt").write_bytes(lines)
    code, out, err = run(segment, tmp_path / "hashtags.txt" if from_file else "-", given=lines)
    assert (code, out) == (1, b"good morning\n\n\n\n\nNASA\n")
    assert err.splitlines() == [
        "mner-model: line 2: expected a hashtag a line, got '##double word'",
        "mner-model: line 4: expected a hashtag a line, got '# double'",
        "mner-model: line 5: expected a hashtag a line, got 'x\\ry'",
    ]


def test_a_folder_that_is_no_segmenter_fails_in_one_line(tmp_path: Path) -> None:
    code, out, err = run(segment, "--segmenter", tmp_path, "-", given=b"x\n")
    assert (code, out) == (1, b"")
    assert err.startswith(f"mner-model: segmenter {tmp_path}: ")
    assert err.count("\n") == 1


def test_evaluate_prints_one_object(gold: Path) -> None:
    code, out, _ = run(evaluate_segmenter, "--data", gold, "--json")
    result = json.loads(out)
    assert code == 0
    assert result["data"]["hashtags"] == 3
    assert len(result["data"]["fingerprint"]) == 64
    assert result["segmenter"]["exact"] == result["segmenter"]["boundary_f1"] == 1.0
    assert set(result["segmenter"]) == {"exact", "exact_signs_aside", "boundary_f1", "hashtags_per_core_second"}
    assert set(result) == {"data", "segmenter", "characters_alone", "wordsegment"}


def test_evaluate_prints_a_table_for_people(gold: Path) -> None:
    code, out, _ = run(evaluate_segmenter, "--data", gold)
    assert code == 0
    assert all(
        word in out
        for word in (b"exact match", b"signs aside", b"boundary F1", b"100.00%", b"3 hashtags", b"wordsegment")
    )


def test_without_the_peer_ours_is_still_scored(gold: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def without_peer(name: str, *arguments: Any) -> Any:
        if name == "wordsegment":
            raise ImportError(name)
        return real_import(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without_peer)
    code, out, _ = run(evaluate_segmenter, "--data", gold, "--json")
    assert code == 0
    assert json.loads(out)["wordsegment"] is None
    assert b"not installed: pip install 'mner-stream[segmenter]'" in run(evaluate_segmenter, "--data", gold)[1]


def test_broken_gold_fails_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "gold.tsv").write_text("only a post\n")
    code, _, err = run(evaluate_segmenter, "--data", tmp_path / "gold.tsv")
    assert code == 1
    assert "gold.tsv:1: expected a post, a hashtag and a segmentation" in err


def test_what_is_trained_can_segment(gold: Path, tmp_path: Path) -> None:
    gold.write_text(GOLD * 2)
    (tmp_path / "posts.txt").write_text("IMGID:1\nso\tO\ntired\tO\ntoday\tO\n\nIMGID:2\nat\tO\nNASA\tB-ORG\n")
    (tmp_path / "words.txt").write_text("good 0.5\nmorning 0.25\nnasa 0.1\n")
    (tmp_path / "unigrams.txt").write_text("good\t9000000\nmorning\t5000000\n")
    (tmp_path / "bigrams.txt").write_text("good morning\t200000\n")
    (tmp_path / "forums.json.gz").write_bytes(gzip.compress(b'{"lol": -9.5}'))
    sources = ("--train", gold, "--text", tmp_path / "posts.txt", "--words", tmp_path / "words.txt")
    sources += ("--web-counts", tmp_path, "--forum-words", tmp_path / "forums.json.gz")
    out = tmp_path / "segmenter"
    code, stdout, err = run(train_segmenter, *sources, "--out", out, "--made", 256, "--tuning-steps", 2, "--seed", 7)
    assert (code, stdout) == (0, b"")
    assert "6 hashtags, 2 other texts" in err
    assert "held-out exact match" in err
    training = json.loads((out / "segmenter.json").read_text())["training"]
    assert training["recipe"]["seed"] == 7
    assert training["sources"] == {
        "text": {f"{tmp_path.name}/posts": fingerprint(read_conll(tmp_path / "posts.txt"))},
        "words": "words.txt",
        "web_counts": tmp_path.name,
        "forum_words": "forums.json.gz",
    }
    code, stdout, _ = run(segment, "--segmenter", out, "-", given=b"goodmorning\n")
    assert (code, stdout.replace(b" ", b"")) == (0, b"goodmorning\n")


def test_too_little_to_train_on_fails_in_one_line(gold: Path, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("good 0.5\n")
    (tmp_path / "unigrams.txt").write_text("good\t9000000\n")
    (tmp_path / "bigrams.txt").write_text("")
    (tmp_path / "forums.json.gz").write_bytes(gzip.compress(b"{}"))
    sources = ("--train", gold, "--words", tmp_path / "words.txt", "--web-counts", tmp_path)
    sources += ("--forum-words", tmp_path / "forums.json.gz")
    code, _, err = run(train_segmenter, *sources, "--out", tmp_path / "segmenter")
    assert code == 1
    assert err.splitlines()[-1] == "mner-model: expected at least 5 gold hashtags, got 3"
