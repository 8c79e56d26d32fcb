"""The mean of a model's weights over the last steps of training, which scores better than the last ones alone."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class MovingAverage:
    """Exponential moving average of the trained weights (Polyak averaging), with a warm start.

    The statistics of batch norm are averaged with them, as they are of what the weights of their moment make.
    """

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
        statistics = {
            f"{path}.{name}": buffer
            for path, module in model.named_modules()
            if isinstance(module, torch.nn.BatchNorm1d)
            for name, buffer in module.named_buffers()
            if buffer.is_floating_point()
        }
        self._weights = trained | statistics
        self._average = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self._decay = decay
        self._steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Takes one step's weights in."""
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        averages = list(self._average.values())
        torch._foreach_lerp_(averages, [weight.detach() for weight in self._weights.values()], 1 - decay)

    def weights(self) -> dict[str, Tensor]:
        """A copy of the averaged weights."""
        return {name: average.clone() for name, average in self._average.items()}

    def state(self) -> dict[str, Any]:
        """For `restore`."""
        return {"steps": self._steps, "average": self._average}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state` was taken."""
        self._steps = state["steps"]
        for name, value in self._average.items():
            value.copy_(state["average"][name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model carries the averaged weights inside, and its own again afterwards."""
        own = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self._put(self._average)
        try:
            yield
        finally:
            self._put(own)

    @torch.no_grad()
    def _put(self, weights: Mapping[str, Tensor]) -> None:
        for name, weight in self._weights.items():
            weight.copy_(weights[name])
