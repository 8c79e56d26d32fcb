"""Learning rates step by step, and which weights learn at which rate."""

from collections.abc import Callable

import pytest
import torch

from mner_model.checkpoints.checkpoint import Checkpoint
from mner_model.config import TrainingConfig
from mner_model.training.optimization import l1_norm, new_optimizer, new_schedule


def rates(steps: int, steps_per_epoch: int = 10, **recipe: object) -> list[float]:
    """Of each step, as shares of the recipe's."""
    config = TrainingConfig(epochs=steps // steps_per_epoch, **recipe)  # type: ignore[arg-type]
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = new_schedule(optimizer, config, steps_per_epoch)
    seen = []
    for _ in range(steps):
        seen.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return seen


def test_linear_rates_fall_towards_zero_and_stay_at_a_twentieth() -> None:
    assert rates(100)[:3] == pytest.approx([1.0, 0.99, 0.98])
    assert rates(100)[-3:] == pytest.approx([0.05, 0.05, 0.05])


def test_rates_rise_over_the_warm_up_and_fall_from_there() -> None:
    seen = rates(100, warmup_share=0.1)
    assert seen[:10] == pytest.approx([share / 10 for share in range(1, 11)])
    assert seen[10:12] == pytest.approx([1.0, 1 - 1 / 90])


def test_inverse_rates_fall_pass_by_pass() -> None:
    seen = rates(30, schedule="inverse", decay=0.05)
    assert seen[::10] == pytest.approx([1.0, 1 / 1.05, 1 / 1.1])
    assert len(set(seen)) == 3


def test_constant_rates_stay() -> None:
    assert set(rates(20, schedule="constant")) == {1.0}


@pytest.mark.parametrize("name", ["adamw", "adagrad", "sgd"])
def test_every_weight_learns_once_and_word_vectors_at_their_own_rate(small_checkpoint: Checkpoint, name: str) -> None:
    config = TrainingConfig(optimizer=name, learning_rate=0.5, vector_learning_rate=0.25)  # type: ignore[arg-type]
    model = small_checkpoint.model
    optimizer = new_optimizer(model, config)
    grouped = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in model.parameters())
    rate_of = {id(parameter): group["lr"] for group in optimizer.param_groups for parameter in group["params"]}
    assert rate_of[id(model.words.correction.weight)] == 0.25
    assert rate_of[id(model.emission.weight)] == 0.5


def test_l1_and_weight_decay_penalise_the_same_weights_and_no_word_vectors(small_checkpoint: Checkpoint) -> None:
    model = small_checkpoint.model
    optimizer = new_optimizer(model, TrainingConfig(optimizer="sgd", weight_decay=1e-3))
    decayed = {id(one) for group in optimizer.param_groups if group["weight_decay"] for one in group["params"]}
    weights = list(model.parameters())
    gradients = torch.autograd.grad(l1_norm(model), weights, allow_unused=True)
    assert {id(weight) for weight, gradient in zip(weights, gradients, strict=True) if gradient is not None} == decayed
    assert {id(weight) for weight in weights} - decayed == {id(model.words.correction.weight)}


@pytest.mark.parametrize(
    "recipe",
    [
        {"optimizer": "adagrad", "learning_rate": 0.05, "schedule": "constant"},
        {"optimizer": "sgd", "learning_rate": 0.1, "schedule": "inverse", "accumulated_batches": 3},
        {"l1": 1e-5},
        {"r_drop": 1.0},
    ],
)
def test_every_recipe_learns(make_trainer: Callable[..., object], recipe: dict[str, object]) -> None:
    check_it_learns(make_trainer, recipe)


@pytest.mark.usefixtures("needs_bfloat16")
def test_a_recipe_in_bfloat16_learns(make_trainer: Callable[..., object]) -> None:
    check_it_learns(make_trainer, {"precision": "bfloat16"})


def check_it_learns(make_trainer: Callable[..., object], recipe: dict[str, object]) -> None:
    config = TrainingConfig(**{"epochs": 2, "batch_posts": 8, "learning_rate": 1e-2, "average_decay": 0.9, **recipe})  # type: ignore[arg-type]
    reports: list[object] = []
    make_trainer(config).run("learns", reports.append)  # type: ignore[attr-defined]
    losses = [report.loss for report in reports]  # type: ignore[attr-defined]
    assert losses[1] < losses[0]
