from importlib import metadata
from pathlib import Path

import pytest
import torch

from mner_model.checkpoints import provenance
from mner_model.checkpoints.provenance import code_fingerprint, made_with


def test_it_tells_program_libraries_and_device() -> None:
    about = made_with("cpu")
    assert about == {
        "mner_model": metadata.version("mner-stream"),
        "code": code_fingerprint(),
        "torch": torch.__version__,
        "device": "cpu",
        "threads": torch.get_num_threads(),
    }


def test_other_code_has_another_fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = set()
    for text in ("a = 1\n", "a = 2\n"):
        (tmp_path / "one.py").write_text(text)
        monkeypatch.setattr(provenance, "__file__", str(tmp_path / "checkpoints" / "provenance.py"))
        code_fingerprint.cache_clear()
        found.add(code_fingerprint())
    code_fingerprint.cache_clear()
    assert len(found) == 2
