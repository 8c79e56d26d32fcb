"""What figures and checkpoints were made with: of two that differ, whether the program did."""

import hashlib
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch


def made_with(device: torch.device | str) -> dict[str, Any]:
    """This package's version and the sha256 over its code, torch's version, and what it computed on."""
    device = torch.device(device)
    return {
        "mner_model": _version(),
        "code": code_fingerprint(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "threads": torch.get_num_threads(),
    }


@cache
def code_fingerprint() -> str:
    """sha256 over names and bytes of this package's Python files: tells apart what has the same version."""
    digest = hashlib.sha256()
    package = Path(__file__).parents[1]
    for file in sorted(package.rglob("*.py")):
        digest.update(f"{file.relative_to(package).as_posix()}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def _version() -> str:
    try:
        return metadata.version("mner-stream")
    except metadata.PackageNotFoundError:  # run from a folder, never installed
        return "not installed"
