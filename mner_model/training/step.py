"""One step of training: the mean gradient of some batches, clipped, and what the optimizer makes of it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mner_model.config import TrainingConfig
from mner_model.errors import Failure
from mner_model.network.batch import Batch
from mner_model.network.model import MultimodalTagger
from mner_model.training.moving_average import MovingAverage
from mner_model.training.optimization import l1_norm, learning_rates, new_optimizer, new_schedule
from mner_model.training.precision import precision_of


class TrainingDiverged(Failure, ArithmeticError):
    """The loss or its gradient is no finite number any more; the message says where, and which rates to lower."""


class TrainingStep:
    """Learns from batches, at the rates and with the penalties of one recipe.

    average    the moving average of the weights
    precision  float32 or bfloat16, in which emissions are computed; losses and marginals always in float32
    """

    def __init__(self, model: MultimodalTagger, config: TrainingConfig, device: str, batches_per_epoch: int) -> None:
        self._model = model
        self._config = config
        self._device = torch.device(device)
        self.precision = precision_of(config, device)
        self._optimizer = new_optimizer(model, config)
        steps_per_epoch = math.ceil(batches_per_epoch / config.accumulated_batches)
        self._schedule = new_schedule(self._optimizer, config, steps_per_epoch)
        self.average = MovingAverage(model, config.average_decay)

    def take(self, batches: Sequence[Batch], epoch: int, number: int) -> float:
        """Learns from the mean gradient of these batches.

        epoch, number  which pass, and which of its batches the first of these is, for the message of an error
        returns        the sum of the losses of their posts
        Raises TrainingDiverged where the loss or its gradient is no finite number.
        """
        self._optimizer.zero_grad()
        total = 0.0
        for batch in batches:
            with torch.autocast(self._device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
                loss = self._model.loss(batch.to(self._device), self._config.word_dropout, self._config.r_drop)
            value = float(loss.detach())
            self._check_finite(epoch, number, "loss", value)
            total += value * len(batch.mask)
            if self._config.l1:
                loss = loss + self._config.l1 * l1_norm(self._model)
            (loss / len(batches)).backward()  # type: ignore[no-untyped-call]
            number += 1
        norm = torch.nn.utils.clip_grad_norm_(self._model.parameters(), self._config.clip_norm)
        self._check_finite(epoch, number - 1, "gradient", float(norm))
        self._optimizer.step()
        self._schedule.step()
        self.average.update()
        return total

    def state(self) -> dict[str, Any]:
        """For `restore`; the model's own weights are not among it."""
        return {
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "average": self.average.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state` was taken."""
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self.average.restore(state["average"])

    def _check_finite(self, epoch: int, number: int, what: str, value: float) -> None:
        if not math.isfinite(value):
            rates = [f"{name} (now {rate:g})" for name, rate in learning_rates(self._model, self._config).items()]
            raise TrainingDiverged(
                f"the training diverged: in pass {epoch}, batch {number}, the {what} is {value}; "
                f"lower {', '.join(rates)}"
            )
