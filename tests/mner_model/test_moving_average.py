import torch
from torch import nn

from mner_model.moving_average import MovingAverage


def test_the_average_lags_behind_the_weights_and_gives_them_back() -> None:
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(0.0)
    average = MovingAverage(model, decay=0.5)
    values = []
    for step in range(1, 4):
        with torch.no_grad():
            model.weight.fill_(float(step))
        average.update()
        decay = min(0.5, (1 + step) / (10 + step))
        values.append(decay * (values[-1] if values else 0.0) + (1 - decay) * step)
    with average.applied():
        assert abs(float(model.weight.detach()) - values[-1]) < 1e-6
    assert float(model.weight.detach()) == 3.0
    assert abs(float(average.weights()["weight"]) - values[-1]) < 1e-6


def test_frozen_weights_are_not_averaged() -> None:
    model = nn.Linear(1, 1)
    model.bias.requires_grad_(False)
    assert set(MovingAverage(model, 0.9).weights()) == {"weight"}


def test_the_statistics_of_batch_norm_are_kept_with_the_weights_of_their_moment() -> None:
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 1))
    average = MovingAverage(model, 0.5)
    model(torch.ones(3, 2))
    kept = average.weights()
    expected = model[0].running_mean.clone()
    model(torch.full((3, 2), 9.0))
    model.load_state_dict(kept, strict=False)
    assert torch.equal(model[0].running_mean, expected)
