"""Training learns, chooses on validation, and is the same for the same seed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mner_model.checkpoints.checkpoint import Checkpoint
from mner_model.config import TrainingConfig
from mner_model.data.conll import example_from_words
from mner_model.data.examples import Example, mention_hash
from mner_model.network.soft_targets import any_path
from mner_model.predictor import Document, Predictor
from mner_model.training.moving_average import MovingAverage
from mner_model.training.step import TrainingDiverged, TrainingStep
from mner_model.training.story import EpochReport
from mner_model.training.trainer import Trainer

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


def test_the_same_seed_gives_the_same_weights_again_with_smoothed_labels(make_trainer: Callable[..., Trainer]) -> None:
    config = TrainingConfig(epochs=1, batch_posts=8, label_smoothing=0.1)
    any_path.cache_clear()  # as in a process that has not trained yet
    first, second = (make_trainer(config).run("smoothed").model.emission.weight for _ in range(2))
    assert torch.equal(first, second)


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
    with pytest.raises(ValueError, match="expected training examples with tokens, got 1 without any"):
        make_trainer(TrainingConfig(), train=[example_from_words([""], ["O"])])


def test_a_pass_is_chosen_and_kept_by_the_averaged_weights(
    make_trainer: Callable[..., Trainer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MovingAverage, "update", lambda self: None)  # the average stays where the weights began
    trainer = make_trainer(TrainingConfig(epochs=4, batch_posts=8, learning_rate=1e-2))
    untrained = trainer.score("made up").lenient.f1
    began = trainer.model.emission.weight.detach().clone()
    reports: list[EpochReport] = []
    checkpoint = trainer.run("averaged", reports.append)
    assert [report.f1 for report in reports] == [untrained] * 4
    assert reports[-1].loss < reports[0].loss / 2, "the weights themselves have learned"
    assert torch.equal(checkpoint.model.emission.weight, began)


@pytest.mark.parametrize("choose_with_images", [True, False])
@pytest.mark.parametrize("modalities", [("word", "image"), ("word", "caption"), ("word", "char")])
def test_the_pass_is_chosen_on_posts_read_as_the_recipe_says(
    make_trainer: Callable[..., Trainer], modalities: tuple[str, ...], choose_with_images: bool
) -> None:
    trainer = make_trainer(TrainingConfig(choose_with_images=choose_with_images), modalities=modalities)
    [validation] = trainer._features_of_validation.values()
    [examples] = trainer._validation.values()
    with_images = choose_with_images and modalities != ("word", "char")
    for example, post in zip(examples, validation, strict=True):
        reads_image = post.image_embedding is not None or bool(post.caption_ids)
        assert reads_image is (with_images and example.caption is not None)
    story = trainer._data["validation"]["made up"]
    assert (story["captions_fingerprint"] is not None) is with_images
    assert (trainer._data["train"]["captions_fingerprint"] is not None) is (modalities != ("word", "char"))


def test_posts_to_choose_by_are_read_as_those_to_learn_from(
    make_trainer: Callable[..., Trainer], make_posts: Callable[..., list[Example]]
) -> None:
    posts = make_posts(30)
    for modalities in (("word", "image"), ("word", "caption")):
        recipe = TrainingConfig(choose_with_images=True, label_smoothing=0.1)
        trainer = make_trainer(recipe, train=posts, validation={"same": posts}, modalities=modalities)
        for chosen_by, learned in zip(trainer._features_of_validation["same"], trainer._train.whole, strict=True):
            assert chosen_by.caption_ids == learned.caption_ids
            assert (chosen_by.image_embedding is None) is (learned.image_embedding is None)
            if chosen_by.image_embedding is not None and learned.image_embedding is not None:
                assert chosen_by.image_embedding.tolist() == learned.image_embedding.tolist()


def test_a_post_to_choose_by_may_be_empty(make_trainer: Callable[..., Trainer]) -> None:
    blank, whole = example_from_words([""], ["O"], caption="a dog"), example_from_words(["hi"], ["O"], caption="a dog")
    for modalities in (("word", "image"), ("word", "caption")):
        recipe = TrainingConfig(choose_with_images=True, label_smoothing=0.1)
        trainer = make_trainer(recipe, validation={"one": [blank, whole]}, modalities=modalities)
        assert trainer.score("one").lenient.f1 == 0


@pytest.mark.parametrize(
    ("poisoned", "what"), [("emission.bias", "loss is nan"), ("the gradient alone", "gradient is (nan|inf)")]
)
def test_a_training_that_diverges_stops_and_says_where(
    make_trainer: Callable[..., Trainer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, poisoned: str, what: str
) -> None:
    config = TrainingConfig(epochs=2, batch_posts=8, accumulated_batches=2, learning_rate=1e-2)
    trainer = make_trainer(config)
    taken, take = 0, TrainingStep.take

    def counted(self: TrainingStep, *arguments: Any) -> float:
        nonlocal taken
        if taken == 12:  # of 10 a pass
            if poisoned == "emission.bias":
                torch.nn.init.constant_(trainer.model.emission.bias, torch.nan)
            else:
                trainer.model.emission.bias.register_hook(lambda gradient: gradient * torch.inf)
        taken += 1
        return take(self, *arguments)

    monkeypatch.setattr(TrainingStep, "take", counted)
    number = 5 if poisoned == "emission.bias" else 6
    rates = r"learning_rate \(now 0.01\), vector_learning_rate \(now 0.001\)$"
    expected = rf"^the training diverged: in pass 2, batch {number}, the {what}.*; lower {rates}"
    with pytest.raises(TrainingDiverged, match=expected):
        trainer.run("diverged", state_file=tmp_path / "state")
    kept = torch.load(tmp_path / "state", weights_only=True)["state"]
    assert kept["progress"]["epoch"] == 2
    assert all(bool(weights.isfinite().all()) for weights in kept["model"].values())
