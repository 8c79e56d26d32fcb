"""Training learns, chooses on validation, and is the same for the same seed."""

from collections.abc import Callable

import pytest
import torch

from mner_model.checkpoint import Checkpoint
from mner_model.config import TrainingConfig
from mner_model.data import mention_hash
from mner_model.predictor import Document, Predictor
from mner_model.train import EpochReport, Trainer

# The fixtures of conftest.py hold the made-up posts; they are handed over as callables.
TrainSmall = Callable[..., Checkpoint]


def test_a_tagger_learns_what_its_posts_teach(small_checkpoint: Checkpoint) -> None:
    predictor = Predictor(small_checkpoint, None, torch.device("cpu"))
    texts = ["flying to Cape Town on monday", "meeting Rosa Parks for lunch today", "so tired today"]
    found = predictor.predict([Document(text) for text in texts])
    assert [[(e.type, e.text) for e in prediction.entities] for prediction in found] == [
        [("LOC", "Cape Town")],
        [("PER", "Rosa Parks")],
        [],
    ]


def test_the_same_seed_gives_the_same_weights(train_small: TrainSmall) -> None:
    first, second, other = (train_small(epochs=1, seed=seed) for seed in (5, 5, 6))
    weights = [checkpoint.model.emission.weight for checkpoint in (first, second, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_the_best_pass_on_validation_is_kept(make_trainer: Callable[[TrainingConfig], Trainer]) -> None:
    reports: list[EpochReport] = []
    trainer = make_trainer(TrainingConfig(epochs=6, batch_posts=8, learning_rate=1e-2, average_decay=0.9))
    checkpoint = trainer.run("kept", reports.append)
    best = max(report.f1 for report in reports)
    assert checkpoint.training["validation_lenient_f1"]["made up"] == best
    assert [report.best for report in reports].count(True) >= 1
    assert trainer.score("made up").lenient.f1 == pytest.approx(best)


def test_a_checkpoint_says_what_it_was_trained_on(small_checkpoint: Checkpoint) -> None:
    story = small_checkpoint.training
    assert story["data"]["train"]["posts"] == 160
    assert len(story["data"]["train"]["fingerprint"]) == 64
    assert set(story["data"]["validation"]) == {"made up"}
    assert (story["config"]["seed"], story["precision"]) == (0, "float32")
    assert mention_hash("Oslo", "LOC") in small_checkpoint.seen_mentions.tolist()
    assert mention_hash("Oslo", "PER") not in small_checkpoint.seen_mentions.tolist()


def test_words_beyond_the_training_data_come_along(small_checkpoint: Checkpoint) -> None:
    assert "bergen" in small_checkpoint.vocabulary
    trained = small_checkpoint.model.words.correction.num_embeddings
    assert small_checkpoint.vocabulary.id_of("bergen") >= trained > small_checkpoint.vocabulary.id_of("monday")


def test_empty_data_is_refused(make_trainer: Callable[..., Trainer]) -> None:
    with pytest.raises(ValueError, match="at least one non-empty validation set"):
        make_trainer(TrainingConfig(), validation={})
