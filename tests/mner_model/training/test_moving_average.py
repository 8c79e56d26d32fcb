import math

import pytest
import torch
from torch import nn

from mner_model.training.moving_average import MovingAverage


def test_the_average_lags_behind_the_weights_and_gives_them_back() -> None:
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(0.0)
    average = MovingAverage(model, decay=0.5)
    for step in range(1, 4):
        with torch.no_grad():
            model.weight.fill_(float(step))
        average.update()
    # by hand: 9/11 of 1; then 3/12 of that and 9/12 of 2; then 4/13 of that and 9/13 of 3
    expected = (((9 / 11) * 3 / 12 + 9 / 12 * 2) * 4 + 9 * 3) / 13
    with average.applied():
        assert float(model.weight.detach()) == pytest.approx(expected)
    assert float(model.weight.detach()) == 3.0
    assert float(average.weights()["weight"]) == pytest.approx(expected)


def test_a_change_is_half_taken_in_after_the_half_life_of_the_decay() -> None:
    model = nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(model.weight)
    average = MovingAverage(model, decay=0.9)
    for _ in range(100):  # past the warm start
        average.update()
    torch.nn.init.ones_(model.weight)
    for _ in range(round(math.log(0.5) / math.log(0.9))):
        average.update()
    assert float(average.weights()["weight"]) == pytest.approx(0.5, abs=0.03)


def test_frozen_weights_are_not_averaged() -> None:
    model = nn.Linear(1, 1)
    model.bias.requires_grad_(False)
    assert set(MovingAverage(model, 0.9).weights()) == {"weight"}


def test_the_statistics_of_batch_norm_are_averaged_with_the_weights_that_they_are_of() -> None:
    torch.manual_seed(0)
    first, norm = nn.Linear(2, 2), nn.BatchNorm1d(2)
    model = nn.Sequential(first, norm, nn.Linear(2, 1))
    inputs = torch.randn(1_000, 2)
    average = MovingAverage(model, decay=0.99)
    for step in range(1_000):  # the weights swing around their mean, one way and the other
        nn.init.constant_(first.bias, 1.0 if step % 2 else -1.0)
        model(inputs)
        average.update()
    model.eval()
    with torch.no_grad():
        model(inputs)
        before = norm(first(inputs)).mean(dim=0)
        with average.applied():
            normed = norm(first(inputs))
        after = norm(first(inputs)).mean(dim=0)
    assert normed.mean(dim=0).abs().max() < 0.1
    assert torch.equal(before, after)
    assert before.abs().min() > 0.5, "the weights of one moment do not have the mean that the average has"
