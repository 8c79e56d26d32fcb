"""Where a training stands, on disk, so that one that is stopped goes on where it was.

One file beside the checkpoint to be, replaced whole every so often; of the training's own machine, not to be shared.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mner_model.config import two_choices
from mner_model.errors import Failure, reason
from mner_model.files.saved_file import saved_file


class TrainingStateError(Failure, ValueError):
    """A state that cannot be gone on from; the message names the file and what would help."""


def save_state(path: Path, run: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Writes tensors and plain values beside their place, then puts them there.

    run  what must be the same to go on: configuration and data

    Raises TrainingStateError where it cannot be written; what was there before stays.
    """
    # torch tells nothing of what the system said where it opens the file by itself
    with saved_file(path, TrainingStateError) as draft, draft.open("wb") as file:
        torch.save({"run": dict(run), "state": dict(state)}, file)


def load_state(path: Path, run: Mapping[str, Any]) -> dict[str, Any] | None:
    """What `save_state` wrote for the same run; None where there is no file.

    What an older version did not write of its run is not known, and taken for the same.
    Raises TrainingStateError for the state of another run, naming what differs, and for a damaged file.
    """
    if not path.exists():
        return None
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        before, state = dict(saved["run"]), dict(saved["state"])
    except Exception as error:  # torch raises whatever its zip reader and its unpickler do
        raise not_the_state(path, error) from error
    different = sorted(key for key in before if before[key] != run.get(key))
    if different:
        raise TrainingStateError(
            f"{path}: the state of a training that differs in "
            f"{', '.join(_apart(key, before[key], run.get(key)) for key in different)}; remove it to begin anew"
        )
    return state


def _apart(name: str, has: Any, wanted: Any) -> str:
    """A part of two runs that is not the same; of choices which, for a word or a number tells more than a name."""
    are_choices = name in ("recipe", "model") and isinstance(has, Mapping) and isinstance(wanted, Mapping)
    return f"{name} ({two_choices(has, wanted)})" if are_choices else name


def not_the_state(path: Path, error: Exception) -> TrainingStateError:
    """What to raise where a file is none that can be gone on from."""
    # torch goes on to advise reading strangers' pickles; of a wrong shape there is only Python's own complaint
    is_told = isinstance(error, OSError | RuntimeError)
    why = reason(error).partition(". ")[0].rstrip(".:") if is_told else "damaged"
    return TrainingStateError(f"{path}: not the state of a training ({why}); remove it to begin anew")


def random_state() -> dict[str, Any]:
    """Of torch's generators, on the CPU and, where they are used, on each GPU."""
    # asking others would take up memory on them
    on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    return {"random": torch.get_rng_state(), "cuda_random": on_gpus}


def set_random_state(state: Mapping[str, Any]) -> None:
    """Goes on where `random_state` was taken; with other GPUs than then, theirs stay as they are."""
    torch.set_rng_state(state["random"])
    on_gpus = state.get("cuda_random", [])  # older versions did not keep it
    if on_gpus and len(on_gpus) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(on_gpus)
