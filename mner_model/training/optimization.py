"""The optimizer and the learning rates of a recipe."""

from typing import Any

import torch
from torch import Tensor

from mner_model.config import TrainingConfig
from mner_model.network.model import MultimodalTagger

_LEAST_SHARE = 0.05  # of the recipe's learning rate, on its way to 0


def new_optimizer(model: MultimodalTagger, config: TrainingConfig) -> torch.optim.Optimizer:
    """The recipe's optimizer, with rates of their own for the words' vectors and for a pretrained text encoder."""
    tables = _word_tables(model)
    pretrained = [w for w in model.text.parameters() if w.requires_grad] if "text" in model.config.modalities else []
    special = {id(parameter) for parameter in (*tables, *pretrained)}
    others = [parameter for parameter in model.parameters() if parameter.requires_grad and id(parameter) not in special]
    groups: list[dict[str, Any]] = [{"params": others, "lr": config.learning_rate}]
    if tables:
        groups.append({"params": tables, "lr": config.vector_learning_rate, "weight_decay": 0.0})
    if pretrained:
        groups.append({"params": pretrained, "lr": config.text_learning_rate})
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, weight_decay=config.weight_decay)
    if config.optimizer == "adagrad":
        return torch.optim.Adagrad(groups, weight_decay=config.weight_decay)
    return torch.optim.SGD(groups, weight_decay=config.weight_decay)


def learning_rates(model: MultimodalTagger, config: TrainingConfig) -> dict[str, float]:
    """Those of the recipe's that this model learns at, by the names of their fields."""
    rates = {"learning_rate": config.learning_rate}
    if _word_tables(model):
        rates["vector_learning_rate"] = config.vector_learning_rate
    if "text" in model.config.modalities:
        rates["text_learning_rate"] = config.text_learning_rate
    return rates


def l1_norm(model: MultimodalTagger) -> Tensor:
    """Sum of the absolute values of all weights that weight decay concerns too: all but the words' tables."""
    tables = {id(parameter) for parameter in _word_tables(model)}
    return torch.stack([weight.abs().sum() for weight in model.parameters() if id(weight) not in tables]).sum()


def _word_tables(model: MultimodalTagger) -> list[torch.nn.Parameter]:
    """What training adds to the words' vectors. Not penalised: most words are in few batches, and would only shrink."""
    tables = list(model.words.parameters()) if model.config.in_words else []
    return tables + (list(model.pieces.parameters()) if "piece" in model.config.modalities else [])


def new_schedule(
    optimizer: torch.optim.Optimizer, config: TrainingConfig, steps_per_epoch: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """The learning rates of every step, as shares of the recipe's: see `TrainingConfig`."""
    steps = steps_per_epoch * config.epochs
    warmup_steps = round(config.warmup_share * steps)

    def share(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        if config.schedule == "constant":
            return 1.0
        if config.schedule == "inverse":
            return 1.0 / (1.0 + config.decay * (step // steps_per_epoch))
        return max(_LEAST_SHARE, 1.0 - (step - warmup_steps) / max(1, steps - warmup_steps))

    return torch.optim.lr_scheduler.LambdaLR(optimizer, share)
