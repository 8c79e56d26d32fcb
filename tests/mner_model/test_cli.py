"""The commands as people script them: what comes on stdout, and the exit status."""

import base64
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from mner_model.cli import main
from mner_model.data.conll import read_conll
from mner_model.network.soft_targets import SoftTargets
from mner_model.text.labels import TagSet
from mner_model.text.tokenizer import tokenize
from mner_model.training.soft_target_file import TaughtPosts, write_soft_targets

ROOT = Path(__file__).parents[2]
CONLL = "IMGID:1\nflying\tO\nto\tO\nLima\tB-LOC\non\tO\nmonday\tO\n\nIMGID:2\nat\tO\nNASA\tB-ORG\n!\tO\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "dev.txt").write_text(CONLL)
    (tmp_path / "set" / "dev.captions.tsv").write_text("1\ta dog on the beach\n2\ta cat\n")
    return tmp_path / "set" / "dev.txt"


def run(*arguments: object, given: str | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments], input=given)
    return result.exit_code, result.stdout, result.stderr


def test_evaluate_prints_one_object_with_all_that_the_design_names(small_folder: Path, data: Path) -> None:
    code, out, _ = run("evaluate", "--checkpoint", small_folder, "--data", data, "--json")
    result = json.loads(out)
    assert code == 0
    assert set(result["model"]) == {"name", "fingerprint", "parameters", "choices"}
    assert (result["data"]["posts"], result["data"]["mentions"]) == (2, 2)
    for key in ("strict", "lenient", "segmentation"):
        assert set(result[key]) == {"precision", "recall", "f1"}
    assert set(result["per_type"]["LOC"]) == {"precision", "recall", "f1", "support"}
    assert result["seen"]["support"] + result["unseen"]["support"] == 2
    low, high = result["lenient_f1_interval"]
    assert low <= result["lenient"]["f1"] <= high
    assert "without_images" not in result
    assert min(result["posts_per_second"], result["posts_per_core_second"]) > 0
    assert (result["made_with"]["torch"], result["made_with"]["device"]) == (torch.__version__, "cpu")


def test_evaluate_prints_a_table_for_people(small_folder: Path, data: Path) -> None:
    code, out, _ = run("evaluate", "--checkpoint", small_folder, "--data", data)
    assert code == 0
    assert all(word in out for word in ("strict", "lenient", "PER", "unseen", "2 posts"))


def test_captions_change_the_data_and_are_counted(folder_with_images: Path, data: Path) -> None:
    results = []
    for captions in ([], ["--captions", data.with_suffix(".captions.tsv")]):
        _, out, _ = run("evaluate", "--checkpoint", folder_with_images, "--data", data, "--json", *captions)
        results.append(json.loads(out)["data"])
    assert json.loads(out)["without_images"].keys() == {"strict", "lenient"}
    assert [result["captions"] for result in results] == [0, 2]
    assert results[0]["captions_fingerprint"] is None
    assert len(results[1]["captions_fingerprint"]) == 64
    assert results[0]["fingerprint"] == results[1]["fingerprint"]


def test_captions_for_a_model_that_reads_none_are_neither_counted_nor_scored(small_folder: Path, data: Path) -> None:
    arguments = ["evaluate", "--checkpoint", small_folder, "--data", data, "--json"]
    results = []
    for captions in ([], ["--captions", data.with_suffix(".captions.tsv")]):
        code, out, err = run(*arguments, *captions)
        results.append(json.loads(out))
        del results[-1]["posts_per_second"], results[-1]["posts_per_core_second"]
        assert code == 0
    assert results[0] == results[1]
    assert err == "model made-up reads no images: scored without --captions\n"


def test_what_is_not_sound_in_the_data_is_said_and_the_gold_stays_as_it_is(small_folder: Path, data: Path) -> None:
    arguments = ["evaluate", "--checkpoint", small_folder, "--json", "--data"]
    assert run(*arguments, data)[2] == ""
    data.write_text("\ufeffLima\tI-LOC\nnow\tO\n\nto\tO\nNASA\tI-ORG\n")
    code, out, err = run(*arguments, data)
    assert (
        err
        == "set/dev: not sound, read all the same: 2 × I- that continues nothing (first in line 1), byte-order mark\n"
    )
    result = json.loads(out)
    assert (code, result["data"]["mentions"], result["strict"]["recall"]) == (0, 2, 0.0)


def test_tag_gives_a_record_a_line_in_order(small_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "posts"
    file.write_text('{"id": "a", "text": "flying to Oslo on monday"}\nflying to Lima on monday\n\n')
    code, out, err = run("tag", "--checkpoint", small_folder, file)
    records = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert [(r["post_id"], [e["text"] for e in r["entities"]]) for r in records] == [("a", ["Oslo"]), ("2", ["Lima"])]
    assert all(r["text"][e["start"] : e["end"]] == e["text"] for r in records for e in r["entities"])


def test_tag_reads_standard_input(small_folder: Path) -> None:
    _, out, _ = run("tag", "--checkpoint", small_folder, "-", given="at NASA !\n")
    assert json.loads(out)["text"] == "at NASA !"


def test_a_line_that_is_no_post_is_answered_in_its_place_and_the_exit_status_tells(small_folder: Path) -> None:
    deep = '{"id": ' + "[" * 100_000
    bad = ['{"text": "no id"}', '{"id": "x"', '{"id": "y", "text": 5}', deep, '{"id": "s", "text": "\\ud800"}']
    code, out, err = run("tag", "--checkpoint", small_folder, "-", given="\n".join(["so tired", *bad, "so tired"]))
    answers = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert [answer.get("line") for answer in answers] == [None, 2, 3, 4, 5, 6, None]
    assert {answer["error"] for answer in answers[1:-1]} == {"schema", "not_json"}
    assert "5 lines were no posts" in err


def test_an_image_in_the_line_is_used_or_its_fault_named(folder_with_images: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), "red").save(buffer, "PNG")
    pictures = [base64.b64encode(data).decode() for data in (buffer.getvalue(), b"broken")]
    lines = "".join(json.dumps({"id": "p", "text": "hi", "image_data": data}) + "\n" for data in pictures)
    lines += json.dumps({"id": "u", "text": "hi", "image_url": "https://example.org/a.png"}) + "\nhi\n"
    _, out, _ = run("tag", "--checkpoint", folder_with_images, "-", given=lines)
    statuses = [json.loads(line)["image"]["status"] for line in out.splitlines()]
    assert statuses == ["used", "undecodable", "blocked", "absent"]


def test_tag_says_on_request_what_the_image_did_to_each_mention(folder_with_images: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 20), "red").save(buffer, "PNG")
    picture = base64.b64encode(buffer.getvalue()).decode()
    text = "flying to Oslo on monday"
    lines = json.dumps({"id": "p", "text": text, "image_data": picture}) + f"\n{text}\n"
    answers = []
    for options in ([], ["--image-effect"]):
        code, out, _ = run("tag", "--checkpoint", folder_with_images, *options, "-", given=lines)
        assert code == 0
        answers.append([json.loads(line)["entities"][0] for line in out.splitlines()])
    (_, without), (asked, plain) = answers
    assert ["image_effect" in entity for of_run in answers for entity in of_run] == [False, False, True, False]
    assert plain == without
    assert asked["image_effect"] == pytest.approx(asked["confidence"] - plain["confidence"], abs=2e-4)


def test_fields_that_no_post_has_are_named_once(small_folder: Path) -> None:
    posts = [
        {"id": "a", "text": "so tired"},
        {"id": "b", "text": "hi", "imgae_data": "", "n": 1},
        {"id": "c", "text": "ho", "n": 2},
    ]
    code, out, err = run("tag", "--checkpoint", small_folder, "-", given="plain\n" + "\n".join(map(json.dumps, posts)))
    assert (code, out.count("\n")) == (0, 4)
    assert err == "fields that no post has were ignored, from line 3 on: 'imgae_data', 'n'\n"
    many = {"id": "a", "text": "so tired", **{f"field {number}": 0 for number in range(50)}}
    _, _, err = run("tag", "--checkpoint", small_folder, "-", given=json.dumps(many))
    assert err.endswith("'field 6', 'field 7', …\n")


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("folder_with_images", "no post had an image that could be used"),
        ("small_folder", "model made-up reads no images"),
    ],
)
def test_an_image_effect_without_an_image_is_said(folder: str, why: str, request: pytest.FixtureRequest) -> None:
    line = json.dumps({"id": "u", "text": "hi", "image_url": "https://example.org/a.png"})
    arguments = ["tag", "--checkpoint", request.getfixturevalue(folder), "--image-effect", "-"]
    code, _, err = run(*arguments, given=line)
    assert (code, err) == (0, f"--image-effect: {why}, so no mention tells of one\n")


@pytest.mark.parametrize("place", ["help", "docs/models.md"])
def test_the_example_of_a_post_with_an_image_works(
    folder_with_images: Path, drawn_picture: bytes, tmp_path: Path, place: str
) -> None:
    told = run("tag", "--help")[1] if place == "help" else (ROOT / place).read_text()
    [example] = re.findall(r"printf '.*image_data[^|]*?FILE \| tr -d '\\n'\)\"", told)
    (tmp_path / "a picture.jpg").write_bytes(drawn_picture)
    command = ["sh", "-c", example.replace("FILE", "'a picture.jpg'")]
    line = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    code, out, err = run("tag", "--checkpoint", folder_with_images, "-", given=line)
    assert (code, err) == (0, "")
    assert json.loads(out)["image"]["status"] == "used"


@pytest.mark.parametrize("command", [["presets"], ["presets", "--json"], ["evaluate", "--data", "DATA"]])
def test_output_that_goes_to_a_full_disk_is_one_line(command: list[str], small_folder: Path, data: Path) -> None:
    words = [word.replace("DATA", str(data)) for word in command]
    more = ["--checkpoint", str(small_folder)] if "DATA" in command else []
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "mner_model", *words, *more],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        1,
        "mner-model: standard output cannot be written: No space left on device",
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["evaluate", "tag"])
def test_a_missing_checkpoint_is_one_line(command: str, data: Path) -> None:
    arguments = ["--data", str(data)] if command == "evaluate" else [str(data)]
    code, out, err = run(command, "--checkpoint", "nowhere", *arguments)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "checkpoint nowhere: there is nothing at this path" in err


def test_train_leaves_a_folder_of_somebody_elses_alone(tmp_path: Path, data: Path) -> None:
    (tmp_path / "thesis.doc").touch()
    code, _, err = run("train", "--train", data, "--valid", data, "--vectors", data, "--out", tmp_path)
    assert (code, err.count("\n")) == (1, 1)
    assert "which is no part of a checkpoint" in err


@pytest.mark.parametrize("device", ["tpu", "cuda:x"])
def test_a_device_that_does_not_exist_is_one_line(device: str, data: Path, small_folder: Path) -> None:
    code, _, err = run("evaluate", "--checkpoint", small_folder, "--data", data, "--device", device)
    assert (code, err) == (1, f"mner-model: device {device}: expected auto, cpu, cuda or cuda:N\n")


def test_bad_data_is_one_line_with_its_place(small_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_text("Rio\tB-GPE\n")
    code, _, err = run("evaluate", "--checkpoint", small_folder, "--data", tmp_path / "bad.txt")
    assert code == 1
    assert "bad.txt:1: unknown tag 'B-GPE'" in err


def test_captions_of_other_images_are_refused(folder_with_images: Path, data: Path) -> None:
    captions = data.with_suffix(".captions.tsv")
    captions.write_text("7\ta beach\n")
    for command in (
        ("evaluate", "--checkpoint", folder_with_images, "--data", data, "--captions", captions),
        ("train", "--preset", "moon-char", "--train", data, "--valid", data, "--out", data.parent / "out"),
    ):
        code, _, err = run(*command)
        assert (code, err.count(f"mner-model: {captions}: has no caption of any image of {data}")) == (1, 1)


def test_training_for_images_without_a_caption_is_said(tmp_path: Path, data: Path) -> None:
    data.with_suffix(".captions.tsv").unlink()
    vectors = tmp_path / "v.txt"
    vectors.write_text("lima 0.1 0.2\n")
    arguments = ["--train", data, "--valid", data, "--vectors", vectors, "--epochs", 1, "--device", "cpu"]
    code, _, err = run("train", *arguments, "--out", tmp_path / "one")
    assert code == 0, err
    assert "no post to learn from has a caption" in err
    assert "no post to choose by" not in err
    code, _, err = run("train", "--preset", "moon-image", *arguments, "--out", tmp_path / "other")
    assert code == 0, err
    assert "no post to choose by has a caption" in err


def test_train_writes_a_checkpoint_that_tags(tmp_path: Path, data: Path) -> None:
    vectors = tmp_path / "v.txt"
    vectors.write_text("".join(f"{word} {' '.join(['0.1'] * 6)}\n" for word in ("lima", "dog", "cat", "bergen")))
    out = tmp_path / "out"
    code, _, err = run(
        "train", "--train", data, "--valid", data, "--vectors", vectors, "--out", out, "--epochs", 1, "--device", "cpu"
    )
    assert code == 0, err
    assert "pass   1" in err
    code, tagged, _ = run("tag", "--checkpoint", out, "-", given="hi\n")
    assert (code, json.loads(tagged)["post_id"]) == (0, "1")
    assert json.loads(tagged)["model"]["name"] == "word-char-image"


def test_wrong_usage_is_exit_status_2() -> None:
    assert run("train")[0] == 2


@pytest.mark.parametrize("out", ["file/out", "/proc/out"])
def test_a_place_that_cannot_be_written_is_known_before_data_is_read(data: Path, tmp_path: Path, out: str) -> None:
    (tmp_path / "file").touch()
    arguments = ["--preset", "moon-char", "--train", data, "--valid", data]
    code, _, err = run("train", *arguments, "--out", tmp_path / out, "--device", "cpu")
    assert (code, err.count("\n")) == (1, 1)
    assert f"{out}: cannot be written: " in err


@pytest.mark.parametrize(
    ("preset", "said"),
    [
        ("moon-char", "damaged, or not soft targets"),
        ("moon-multitask", "segmentation_weight: expected 0 with soft targets or label_smoothing"),
    ],
)
def test_soft_targets_that_cannot_be_used_are_refused_before_data_is_read(
    data: Path, tmp_path: Path, preset: str, said: str
) -> None:
    (tmp_path / "bad.txt").write_text("Rio\tB-GPE\n")
    arguments = ["--train", tmp_path / "bad.txt", "--valid", data, "--soft-targets", data]
    if preset != "moon-char":
        arguments += ["--vectors", data]
    code, _, err = run("train", "--preset", preset, *arguments, "--out", tmp_path / "out", "--device", "cpu")
    assert (code, err.count("\n")) == (1, 1)
    assert said in err


def test_a_checkpoint_that_is_there_is_not_trained_over(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ["train", "--preset", "moon-char", "--train", data, "--valid", data, "--epochs", 1, "--out", out]
    assert run(*command, "--device", "cpu")[0] == 0
    made = (out / "weights.safetensors").stat().st_mtime_ns
    said = f"mner-model: --out {out}: holds a checkpoint already; name another folder, or remove it to train again\n"
    assert run(*command, "--device", "cpu") == (1, "", said)
    assert (out / "weights.safetensors").stat().st_mtime_ns == made


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--preset", "moon-char+hidden=5", "--model", "hidden=6"], "--preset moon-char+hidden=5: says hidden already"),
        (["--preset", "moon-char", "--recipe", "seed=3"], "--recipe: expected the seed by --seed"),
        (["--preset", "moon-char", "--recipe", "epochs=3", "--epochs", "2"], "--recipe: expected the seed by --seed"),
        (["--preset", "moon-char", "--recipe", "teacher_share=1"], "teacher_share: would change nothing in preset "),
        (["--preset", "moon-char", "--model", "word_context=bigru"], "word_context: would change nothing in preset"),
        (["--preset", "moon-char", "--vectors", __file__], "--vectors: would change nothing in preset moon-char"),
        (
            ["--preset", "moon-word", "--words", "5"],
            "--words: would change nothing in preset moon-word",
        ),
        (["--preset", "moon-word", "--image-encoder", "resnet50"], "--image-encoder: would change nothing in preset"),
        (["--preset", "moon-word", "--image-weights", __file__], "--image-weights: would change nothing in preset"),
        (["--preset", "moon-char", "--recipe", "passes=3"], "no field passes: expected one of seed, epochs, "),
    ],
)
def test_what_is_said_twice_or_for_nothing_is_refused(
    options: list[str], said: str, data: Path, tmp_path: Path
) -> None:
    code, _, err = run("train", *options, "--train", data, "--valid", data, "--out", tmp_path / "out")
    assert (code, err.startswith(f"mner-model: {said}"), err.count("\n")) == (1, True, 1)


def test_how_far_soft_targets_are_of_posts_with_gold_is_told(data: Path, tmp_path: Path) -> None:
    examples = read_conll(data)
    targets = {text: SoftTargets.certain(np.zeros(len(tokenize(text)), np.int64), 9) for text in ("Rio", "Lima !")}
    targets[examples[0].text] = SoftTargets.certain(np.zeros(len(examples[0].tokens), np.int64), 9)
    write_soft_targets(tmp_path / "targets", TaughtPosts(targets), TagSet())
    command = ["train", "--preset", "moon-char", "--train", data, "--valid", data, "--epochs", 1, "--device", "cpu"]
    code, _, err = run(*command, "--soft-targets", tmp_path / "targets", "--out", tmp_path / "out")
    assert code == 0, err
    assert "soft targets: of 1 of the 2 texts with gold, and of 2 others\n" in err
    assert "--valid set/dev: 2 of 2 posts have a text that is in the training data too\n" in err


def test_a_rate_without_end_is_refused_and_one_too_high_stops_the_training(data: Path, tmp_path: Path) -> None:
    command = ["train", "--preset", "moon-char", "--train", data, "--valid", data, "--out", tmp_path / "out"]
    code, _, err = run(*command, "--recipe", "learning_rate=inf", "--device", "cpu")
    assert (code, err) == (1, "mner-model: learning_rate: expected a finite number, got inf\n")
    code, _, err = run(*command, "--recipe", "learning_rate=1e38", "--device", "cpu")
    assert code == 1
    assert "mner-model: the training diverged: in pass " in err
    assert not (tmp_path / "out").exists()
