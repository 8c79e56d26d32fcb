"""A precision that a device cannot compute is refused before anything is learned, and never chosen by itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mner_model.config import ConfigError, TrainingConfig
from mner_model.training import precision
from mner_model.training.precision import computes_bfloat16, precision_of

# oneDNN, told to be on a processor without AVX-512, cannot compute an LSTM in bfloat16
OLD_PROCESSOR = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
POSTS = "flying\tO\nto\tO\nOslo\tB-LOC\n\nhello\tO\nthere\tO\n\n"


def as_on_an_old_processor(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mner_model", *arguments],
        env={**os.environ, **OLD_PROCESSOR},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def posts(tmp_path: Path) -> str:
    file = tmp_path / "posts.txt"
    file.write_text(POSTS * 4, encoding="utf-8")
    return str(file)


TRAIN = ["train", "--preset", "moon-char", "--recipe", "precision=bfloat16"]
REPORT = ["report", "--preset", "moon-char:0", "--preset", "moon-char+precision=bfloat16:0"]


@pytest.mark.parametrize("command", [TRAIN, REPORT], ids=["train", "report"])
def test_what_an_old_processor_cannot_compute_is_refused_in_one_sentence_before_any_training(
    command: list[str], posts: str, tmp_path: Path
) -> None:
    data = ["--train", posts, "--valid", posts, *(["--test", posts] if command is REPORT else [])]
    ended = as_on_an_old_processor(*command, *data, "--device", "cpu", "--out", str(tmp_path / "out"))
    expected = "precision: expected float32 or auto, got bfloat16, which this processor cannot compute (device cpu)"
    assert (ended.returncode, ended.stderr.splitlines()[-1]) == (1, f"mner-model: {expected}")
    assert "training\n" not in ended.stderr
    assert not (tmp_path / "out").exists()


def test_an_old_processor_trains_by_itself_in_what_it_can(posts: str, tmp_path: Path) -> None:
    data = ["--train", posts, "--valid", posts, "--device", "cpu"]
    ended = as_on_an_old_processor("train", "--preset", "moon-char+epochs=1", *data, "--out", str(tmp_path / "out"))
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(("is_made_for_it", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_auto_is_bfloat16_only_on_a_gpu_that_is_made_for_it(
    is_made_for_it: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: is_made_for_it)
    assert precision_of(TrainingConfig(), "cuda") == expected


def test_what_is_asked_for_is_taken_where_it_can_be_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = TrainingConfig(precision="bfloat16")
    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: True)
    assert precision_of(asked, "cpu") == "bfloat16"
    monkeypatch.setattr(precision, "computes_bfloat16", lambda device: False)
    with pytest.raises(ConfigError, match="expected float32 or auto, got bfloat16"):
        precision_of(asked, "cpu")


def test_trying_it_out_draws_no_random_numbers() -> None:
    before = torch.get_rng_state()
    computes_bfloat16.__wrapped__(torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), before)
