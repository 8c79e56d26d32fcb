"""In which numbers a training computes, and whether a device can."""

from functools import cache

import torch

from mner_model.config import ConfigError, TrainingConfig


def precision_of(config: TrainingConfig, device: torch.device | str) -> str:
    """What a recipe's precision comes to on a device: float32 or bfloat16.

    auto is bfloat16 only on a GPU that is made for it, else float32. Raises ConfigError where bfloat16 is asked for
    and the device cannot compute it.
    """
    device = torch.device(device)
    if config.precision == "auto":
        is_made_for_it = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return "bfloat16" if is_made_for_it else "float32"
    if config.precision == "bfloat16" and not computes_bfloat16(device):
        raise ConfigError(
            f"precision: expected float32 or auto, got bfloat16, which this processor cannot compute (device {device})"
        )
    return config.precision


@cache
def computes_bfloat16(device: torch.device) -> bool:
    """Whether a device computes what a tagger needs in bfloat16.

    Tried out on an LSTM: without AVX-512, oneDNN has all other layers in bfloat16, but not this one.
    """
    with torch.random.fork_rng(devices=()):  # the weights that are drawn here must not change a training's
        recurrent = torch.nn.LSTM(2, 2).to(device)
    try:
        with torch.autocast(device.type, torch.bfloat16):
            recurrent(torch.zeros(1, 1, 2, device=device))
    except RuntimeError:
        return False
    return True
