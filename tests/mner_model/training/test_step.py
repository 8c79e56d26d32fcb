"""One step by hand: averaged gradients, clipping, penalties, rates, and in what precision."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from mner_model.config import TrainingConfig
from mner_model.data.examples import Example
from mner_model.network.batch import Batch
from mner_model.network.model import MultimodalTagger
from mner_model.text.vocabulary import UNKNOWN
from mner_model.training.posts import TrainingReader
from mner_model.training.step import TrainingStep
from mner_model.training.trainer import Trainer

PLAIN_SGD: dict[str, Any] = {
    "optimizer": "sgd",
    "schedule": "constant",
    "learning_rate": 0.1,
    "vector_learning_rate": 0.1,
    "weight_decay": 0.0,
    "word_dropout": 0.0,
    "clip_norm": 1e6,
}


class Lesson:
    """An untrained tagger without dropout, posts to learn from, and steps by recipes that differ in what is said."""

    def __init__(self, trainer: Trainer, posts: Sequence[Example]) -> None:
        self._model = trainer.model
        self._preprocessing = trainer.preprocessing
        reader = TrainingReader(trainer.preprocessing, trainer.model, TrainingConfig())
        self._features = [reader.features(post) for post in posts]

    def batch(self, rows: slice) -> Batch:
        return self._preprocessing.collate(self._features[rows])

    def step(self, batches: Sequence[Batch], **recipe: Any) -> tuple[MultimodalTagger, float]:
        """A copy of the tagger after one step, and the loss that it told."""
        model = copy.deepcopy(self._model).train()
        step = TrainingStep(model, TrainingConfig(**{**PLAIN_SGD, **recipe}), "cpu", batches_per_epoch=10)
        return model, step.take(batches, epoch=1, number=1)

    @torch.no_grad()
    def loss(self, batch: Batch, word_dropout: float = 0.0) -> float:
        return float(self._model.loss(batch, word_dropout))

    def gradients(self, batch: Batch) -> dict[str, torch.Tensor]:
        model = copy.deepcopy(self._model).train()
        model.loss(batch).backward()  # type: ignore[no-untyped-call]
        return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}

    def weights(self) -> dict[str, torch.Tensor]:
        return {name: weight.detach() for name, weight in self._model.named_parameters()}


@pytest.fixture
def lesson(make_trainer: Callable[..., Trainer], make_posts: Callable[..., list[Example]]) -> Lesson:
    return Lesson(make_trainer(TrainingConfig(), dropout=0.0), make_posts(12))


def test_a_step_goes_down_the_gradient_of_the_mean_loss(lesson: Lesson) -> None:
    batch = lesson.batch(slice(0, 12))
    learned, total = lesson.step([batch])
    before, gradients = lesson.weights(), lesson.gradients(batch)
    for name, after in learned.named_parameters():
        torch.testing.assert_close(after, before[name] - 0.1 * gradients[name])
    assert total == pytest.approx(12 * lesson.loss(batch))


def test_batches_together_make_the_step_of_one_batch_of_all_their_posts(lesson: Lesson) -> None:
    together, total = lesson.step([lesson.batch(slice(start, start + 4)) for start in (0, 4, 8)])
    whole, of_all = lesson.step([lesson.batch(slice(0, 12))])
    assert total == pytest.approx(of_all)
    for name, weight in whole.named_parameters():
        torch.testing.assert_close(dict(together.named_parameters())[name], weight, rtol=1e-4, atol=1e-6)


def test_l1_pulls_every_weight_but_the_words_vectors_towards_zero(lesson: Lesson) -> None:
    batch = lesson.batch(slice(0, 12))
    without, _ = lesson.step([batch])
    penalised, total = lesson.step([batch], l1=0.01)
    before = lesson.weights()
    for name, weight in penalised.named_parameters():
        pull = 0.0 if name.startswith("words.") else 0.1 * 0.01 * before[name].sign()
        torch.testing.assert_close(weight, dict(without.named_parameters())[name] - pull, rtol=1e-4, atol=1e-6)
    assert total == pytest.approx(lesson.step([batch])[1]), "the loss that is told is that of the tags alone"


def test_a_long_gradient_is_cut_to_the_norm_that_is_allowed(lesson: Lesson) -> None:
    learned, _ = lesson.step([lesson.batch(slice(0, 12))], clip_norm=0.5)
    moved = [after.detach() - lesson.weights()[name].detach() for name, after in learned.named_parameters()]
    assert float(torch.cat([part.flatten() for part in moved]).norm()) == pytest.approx(0.1 * 0.5, rel=1e-3)


@pytest.mark.usefixtures("needs_bfloat16")
def test_emissions_are_computed_in_bfloat16_where_the_recipe_says_so(lesson: Lesson) -> None:
    assert precisions_of_emissions(lesson, "bfloat16") == [torch.bfloat16]


def test_emissions_are_computed_in_float32_otherwise(lesson: Lesson) -> None:
    assert precisions_of_emissions(lesson, "float32") == precisions_of_emissions(lesson, "auto") == [torch.float32]


def precisions_of_emissions(lesson: Lesson, precision: str) -> list[torch.dtype]:
    seen: list[torch.dtype] = []
    hook = lesson._model.emission.register_forward_hook(lambda *arguments: seen.append(arguments[2].dtype))
    lesson.step([lesson.batch(slice(0, 4))], precision=precision)
    hook.remove()
    return seen


def test_rates_follow_the_steps_that_are_really_taken(make_trainer: Callable[..., Trainer]) -> None:
    rates: list[float] = []
    original = TrainingStep.take

    def watched(self: TrainingStep, *arguments: Any) -> float:
        rates.append(self._optimizer.param_groups[0]["lr"])
        return original(self, *arguments)

    # 160 posts in 20 batches a pass, three batches a step: 7 steps, the last of two
    config = TrainingConfig(epochs=2, batch_posts=8, accumulated_batches=3, learning_rate=1.4, optimizer="sgd")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingStep, "take", watched)
        make_trainer(config).run("watched")
    assert rates == pytest.approx([1.4 - step * 0.1 for step in range(14)])


def test_words_that_are_dropped_are_read_as_unknown(lesson: Lesson) -> None:
    batch = lesson.batch(slice(0, 12))
    dropped = lesson.loss(batch, word_dropout=1.0)
    unknown = replace(batch, word_ids=batch.word_ids.masked_fill(batch.mask, UNKNOWN))
    assert dropped == pytest.approx(lesson.loss(unknown))
    assert dropped != pytest.approx(lesson.loss(batch), rel=1e-3)
