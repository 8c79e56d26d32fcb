"""A precision that a device cannot compute is refused before anything is learned, and never chosen by itself."""

import json
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
# each command in a line, in one process, as each would import torch anew
COMMANDS = """
import json, sys
from click.testing import CliRunner
from mner_model.cli import main
results = [CliRunner().invoke(main, command) for command in json.load(sys.stdin)]
print(json.dumps([(result.exit_code, result.stderr) for result in results]))
"""


def as_on_an_old_processor(*commands: list[str]) -> list[tuple[int, str]]:
    """Exit status and standard error of each command of `mner-model`."""
    ended = subprocess.run(
        [sys.executable, "-c", COMMANDS],
        input=json.dumps(commands),
        env={**os.environ, **OLD_PROCESSOR},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return [(status, said) for status, said in json.loads(ended.stdout)]


def test_on_an_old_processor_what_cannot_be_computed_is_refused_in_one_sentence_and_auto_trains(tmp_path: Path) -> None:
    posts = tmp_path / "posts.txt"
    posts.write_text(POSTS * 4, encoding="utf-8")
    data = ["--train", str(posts), "--valid", str(posts), "--device", "cpu"]
    refused_out, trained_out = tmp_path / "refused", tmp_path / "trained"
    train = ["train", "--preset", "moon-char", "--recipe", "precision=bfloat16", *data, "--out", str(refused_out)]
    presets = ["--preset", "moon-char:0", "--preset", "moon-char+precision=bfloat16:0"]
    report = ["report", *presets, *data, "--test", str(posts), "--out", str(refused_out)]
    by_itself = ["train", "--preset", "moon-char+epochs=1", *data, "--out", str(trained_out)]
    *refused, trained = as_on_an_old_processor(train, report, by_itself)
    expected = "precision: expected float32 or auto, got bfloat16, which this processor cannot compute (device cpu)"
    for status, said in refused:
        assert (status, said.splitlines()[-1]) == (1, f"mner-model: {expected}")
        assert "training\n" not in said
    assert not refused_out.exists()
    assert trained[0] == 0, trained[1]
    assert (trained_out / "config.json").exists()


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
