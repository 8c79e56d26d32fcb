"""A training that is stopped goes on where it was, and never from where another one was."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mner_model import train as train_module
from mner_model.config import TrainingConfig
from mner_model.train import EpochReport, Trainer
from mner_model.training_state import TrainingStateError, load_state, save_state

CONFIG = TrainingConfig(epochs=2, batch_posts=8, learning_rate=1e-2, average_decay=0.9)


class Stopped(Exception):
    """As by a kill."""


def stop_after(trainer: Trainer, steps: int) -> None:
    """Stops the training in the middle of a pass, with its state saved after every batch."""
    taken, step = 0, trainer._step

    def counted(batches: Any) -> None:
        nonlocal taken
        if taken == steps:
            raise Stopped
        taken += 1
        step(batches)

    trainer._step = counted  # type: ignore[method-assign]


@pytest.mark.parametrize("steps", [3, 20, 31])
def test_a_training_that_was_stopped_ends_as_one_that_was_not(
    make_trainer: Callable[..., Trainer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr(train_module, "_SAVE_EVERY_S", 0.0)
    reports: list[EpochReport] = []
    whole = make_trainer(CONFIG).run("whole", reports.append)
    stopped = make_trainer(CONFIG)
    stop_after(stopped, steps)
    resumed_reports: list[EpochReport] = []
    with pytest.raises(Stopped):
        stopped.run("stopped", resumed_reports.append, tmp_path / "state")
    resumed = make_trainer(CONFIG).run("resumed", resumed_reports.append, tmp_path / "state")
    assert resumed_reports == reports
    assert resumed.training == whole.training
    after, before = resumed.model.state_dict(), whole.model.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_the_state_of_another_training_is_refused_with_what_differs(
    make_trainer: Callable[..., Trainer], tmp_path: Path
) -> None:
    make_trainer(CONFIG).run("one", state_file=tmp_path / "state")
    other = make_trainer(TrainingConfig(epochs=2, batch_posts=4))
    with pytest.raises(TrainingStateError, match=r"another recipe; remove it"):
        other.run("other", state_file=tmp_path / "state")


def test_a_state_comes_back_as_it_was_and_an_older_one_is_replaced(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        save_state(tmp_path / "new" / "state", {"seed": 0}, {"weights": torch.tensor([value])})
    state = load_state(tmp_path / "new" / "state", {"seed": 0})
    assert state is not None
    assert state["weights"].tolist() == [2.0]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["state"]


def test_where_there_is_no_state_there_is_none(tmp_path: Path) -> None:
    assert load_state(tmp_path / "state", {}) is None


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut"])
def test_a_damaged_state_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state").write_bytes(content)
    with pytest.raises(TrainingStateError, match="remove it to begin anew"):
        load_state(tmp_path / "state", {})
