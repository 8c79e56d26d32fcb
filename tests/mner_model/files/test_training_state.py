"""A training that is stopped goes on where it was, and never from where another one was."""

import pickle
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mner_model.config import ModelConfig, TrainingConfig
from mner_model.data.examples import Example
from mner_model.files.training_state import TrainingStateError, load_state, random_state, save_state, set_random_state
from mner_model.text.vocabulary import WordVectors
from mner_model.training import trainer as train_module
from mner_model.training.step import TrainingStep
from mner_model.training.story import EpochReport
from mner_model.training.trainer import Trainer

CONFIG = TrainingConfig(epochs=2, batch_posts=8, learning_rate=1e-2, average_decay=0.9)


class Stopped(Exception):
    """As by a kill."""


def run_until_stopped(trainer: Trainer, steps: int, **arguments: Any) -> None:
    """As a training runs that is killed after so many steps."""
    taken, take = 0, TrainingStep.take

    def counted(self: TrainingStep, *batches: Any) -> float:
        nonlocal taken
        if taken == steps:
            raise Stopped
        taken += 1
        return take(self, *batches)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingStep, "take", counted)
        with pytest.raises(Stopped):
            trainer.run("stopped", **arguments)


@pytest.mark.parametrize("steps", [3, 20, 31])
def test_a_training_that_was_stopped_ends_as_one_that_was_not(
    make_trainer: Callable[..., Trainer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setattr(train_module, "_SAVE_EVERY_S", 0.0)
    reports: list[EpochReport] = []
    whole = make_trainer(CONFIG).run("whole", reports.append)
    resumed_reports: list[EpochReport] = []
    run_until_stopped(make_trainer(CONFIG), steps, on_epoch=resumed_reports.append, state_file=tmp_path / "state")
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
    with pytest.raises(TrainingStateError, match=r"differs in recipe \(batch_posts 8, asked for 4, .*\); remove it"):
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


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04 cut", pickle.dumps(Stopped()), pickle.dumps({})])
def test_a_damaged_state_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state").write_bytes(content)
    with pytest.raises(TrainingStateError, match="remove it to begin anew") as raised:
        load_state(tmp_path / "state", {})
    assert "\n" not in str(raised.value)
    assert "weights_only" not in str(raised.value)


def test_a_state_that_does_not_fit_is_one_line(make_trainer: Callable[..., Trainer], tmp_path: Path) -> None:
    trainer = make_trainer(CONFIG)
    save_state(tmp_path / "state", trainer._run(), {"progress": {"epoch": 2}, "model": {"crf.end": torch.zeros(1)}})
    with pytest.raises(TrainingStateError, match="remove it to begin anew") as raised:
        trainer.run("other", state_file=tmp_path / "state")
    assert "\n" not in str(raised.value)


def test_what_cannot_be_written_is_a_sentence_and_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "state").mkdir()
    for path in (tmp_path / "file" / "state", Path("/proc/state"), tmp_path / "state"):
        with pytest.raises(TrainingStateError, match=r"state: cannot be written: [^\n]+$"):
            save_state(path, {}, {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "state"]


def test_of_a_full_disk_the_system_is_quoted(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**22, before[1]))  # the nearest to a full disk that needs no root
    try:
        with pytest.raises(TrainingStateError, match=r"state: cannot be written: File too large$"):
            save_state(tmp_path / "state", {}, {"weights": torch.zeros(2**21)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def state_of_one_pass(trainer: Trainer, file: Path) -> None:
    """As a training leaves it that was stopped in its second pass."""
    run_until_stopped(trainer, 20, state_file=file)


def test_a_training_that_goes_on_says_so_and_a_new_one_does_not(
    make_trainer: Callable[..., Trainer], tmp_path: Path
) -> None:
    said: list[str] = []
    state_of_one_pass(make_trainer(CONFIG), tmp_path / "state")
    make_trainer(CONFIG).run("anew", state_file=tmp_path / "none", say=said.append)
    assert said == []
    make_trainer(CONFIG).run("resumed", state_file=tmp_path / "state", say=said.append)
    assert said == ["state: going on from pass 2"]


@pytest.mark.parametrize("words", [["lima", "dog"], ["lima", "cat"]])
def test_other_vectors_are_another_training(
    make_trainer: Callable[..., Trainer], make_posts: Callable[..., list[Example]], tmp_path: Path, words: list[str]
) -> None:
    posts = make_posts(20)

    def trainer(vectors: WordVectors) -> Trainer:
        model = ModelConfig(modalities=("word",), word_dimension=2, hidden=4, fused_dimension=4)
        return Trainer(posts, {"same": posts}, vectors, model, CONFIG)

    save_state(tmp_path / "state", trainer(WordVectors(words, np.ones((2, 2), np.float32)))._run(), {})
    other = trainer(WordVectors(["lima", "dog"], np.array([[1, 1], [1, 2]], np.float32)))
    with pytest.raises(TrainingStateError, match="differs in vectors; remove it"):
        other.run("other", state_file=tmp_path / "state")


def test_a_state_from_before_vectors_were_told_is_gone_on_from(
    make_trainer: Callable[..., Trainer], tmp_path: Path
) -> None:
    state_of_one_pass(make_trainer(CONFIG), tmp_path / "state")
    saved = torch.load(tmp_path / "state", weights_only=True)
    assert saved["run"].keys() == {"recipe", "model", "data", "vectors", "text encoder", "tokens"}
    assert saved["run"]["data"].keys() == {"train", "validation"}
    for name in ("vectors", "text encoder", "tokens"):
        del saved["run"][name]
    del saved["state"]["cuda_random"]
    torch.save(saved, tmp_path / "state")
    said: list[str] = []
    make_trainer(CONFIG).run("resumed", state_file=tmp_path / "state", say=said.append)
    assert said == ["state: going on from pass 2"]


@pytest.mark.parametrize(("gpus", "restored"), [(2, [[1, 2]]), (1, []), (0, [])])
def test_random_states_of_gpus_come_back_where_the_same_gpus_are(
    monkeypatch: pytest.MonkeyPatch, gpus: int, restored: list[list[int]]
) -> None:
    given: list[list[int]] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_rng_state_all", lambda: [1, 2])
    monkeypatch.setattr(torch.cuda, "set_rng_state_all", given.append)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    state = random_state()
    drawn = torch.rand(3)
    set_random_state(state)
    assert torch.equal(torch.rand(3), drawn)
    assert given == restored
