"""What runs on a GPU does what it does on the CPU. Without one, these are skipped."""

import json
from pathlib import Path

import pytest
import torch

from mner_model.predictor import Predictor
from mner_model.presets import preset
from mner_model.training.run import Sources, train_to

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")]

TEXTS = ["Sunrise over the Golden Gate Bridge", "so tired today", "Angela Merkel meets NATO in Brussels", ""]


def test_a_gpu_finds_the_mentions_that_the_cpu_finds() -> None:
    on_cpu, on_gpu = (Predictor.load(device=device).predict(TEXTS) for device in ("cpu", "cuda"))
    for one, other in zip(on_cpu, on_gpu, strict=True):
        assert [(e.start, e.end, e.type) for e in one.entities] == [(e.start, e.end, e.type) for e in other.entities]
        assert [e.confidence for e in one.entities] == pytest.approx([e.confidence for e in other.entities], abs=1e-3)


def test_images_are_embedded_alike() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (3, 240, 320), generator=generator, dtype=torch.uint8)
    on_cpu, on_gpu = (Predictor.load(device=device).embed_images([image])[0] for device in ("cpu", "cuda"))
    assert on_cpu == pytest.approx(on_gpu, abs=2e-3)


def test_training_on_a_gpu_is_in_bfloat16_if_that_is_made_for_it_and_its_checkpoint_tags_on_the_cpu(
    tmp_path: Path,
) -> None:
    data = tmp_path / "posts.txt"
    data.write_text("flying\tO\nto\tO\nOslo\tB-LOC\n\nhello\tO\nthere\tO\n\n" * 40, encoding="utf-8")
    chosen = preset("moon-char+epochs=5")
    train_to(tmp_path / "made", "made", chosen.model, chosen.recipe, Sources([data], [data]), device="cuda")
    expected = "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    assert json.loads((tmp_path / "made" / "config.json").read_text())["training"]["precision"] == expected
    [found] = Predictor.load(tmp_path / "made", "cpu").predict(["flying to Oslo"])
    assert [(e.type, e.text) for e in found.entities] == [("LOC", "Oslo")]
