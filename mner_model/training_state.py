"""Where a training stands, on disk, so that one that is stopped goes on where it was.

One file beside the checkpoint to be, replaced whole every so often; of the training's own machine, not to be shared.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


class TrainingStateError(ValueError):
    """A state that cannot be gone on from; the message names the file and what would help."""


def save_state(path: Path, run: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Writes tensors and plain values beside their place, then puts them there.

    run  what must be the same to go on: configuration and data
    """
    draft = path.with_name(f".{path.name}.draft")
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"run": dict(run), "state": dict(state)}, draft)
    os.replace(draft, path)


def load_state(path: Path, run: Mapping[str, Any]) -> dict[str, Any] | None:
    """What `save_state` wrote for the same run; None where there is no file.

    Raises TrainingStateError for the state of another run, naming what differs, and for a damaged file.
    """
    if not path.exists():
        return None
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        before, state = saved["run"], saved["state"]
    except Exception as error:  # torch raises whatever its zip reader and its unpickler do
        raise TrainingStateError(f"{path}: not the state of a training ({error}); remove it to begin anew") from error
    different = sorted(key for key in before.keys() | run.keys() if before.get(key) != run.get(key))
    if different:
        raise TrainingStateError(
            f"{path}: the state of a training with another {', '.join(different)}; remove it to begin anew"
        )
    return dict(state)
