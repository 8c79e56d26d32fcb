"""The mean of a model's weights over the last steps of training, which scores better than the last ones alone."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


class MovingAverage:
    """Exponential moving average of the trained weights (Polyak averaging), with a warm start."""

    def __init__(self, model: torch.nn.Module, decay: float) -> None:
        self._parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._average = {name: p.detach().clone() for name, p in self._parameters.items()}
        # the statistics of batch norm move by themselves, and belong to the weights of their moment
        self._statistics = {
            f"{path}.{name}": buffer
            for path, module in model.named_modules()
            if isinstance(module, torch.nn.BatchNorm1d)
            for name, buffer in module.named_buffers()
        }
        self._decay = decay
        self._steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Takes one step's weights in."""
        self._steps += 1
        decay = min(self._decay, (1 + self._steps) / (10 + self._steps))
        averages = list(self._average.values())
        torch._foreach_lerp_(averages, [p.detach() for p in self._parameters.values()], 1 - decay)

    def weights(self) -> dict[str, Tensor]:
        """A copy of the averaged weights, with the statistics of batch norm as they are now."""
        return {name: value.clone() for name, value in (self._average | self._statistics).items()}

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
        own = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}
        self._put(self._average)
        try:
            yield
        finally:
            self._put(own)

    @torch.no_grad()
    def _put(self, weights: Mapping[str, Tensor]) -> None:
        for name, parameter in self._parameters.items():
            parameter.copy_(weights[name])
