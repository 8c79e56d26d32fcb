"""What is done with weights before they are used: read, fingerprinted, folded.

Files are read as tensors alone, so that none can run code.
"""

import hashlib
import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mner_model.errors import Failure, brief


class ImageEncoderError(Failure):
    """No encoder can be made as configured; says what was tried."""


def read_state(path: Path) -> Mapping[str, Tensor]:
    """The tensors of a .safetensors file, or of a .pth that torch saved.

    Raises ImageEncoderError if the file is missing or is anything but tensors by name.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise ImageEncoderError(f"no image encoder weights at {path}") from error
    except Exception as error:  # zip, pickle, safetensors and torch each fail in ways of their own
        raise ImageEncoderError(f"{path} is not a state dict of tensors: {brief(error)}") from error
    if not isinstance(state, Mapping) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise ImageEncoderError(f"{path} is not a state dict of tensors: it holds a {type(state).__name__}")
    return state


def fingerprint(about: Mapping[str, object], tensors: Mapping[str, Tensor]) -> str:
    """sha256 over all that a vector depends on, 64 hex digits; where the weights lay is not part of it."""
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        # as bytes, for numpy knows no bfloat16
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def fold_batch_norm(network: nn.Module) -> None:
    """Multiply every BatchNorm into the convolution registered right before it, in place; for eval mode only."""
    for module in network.modules():
        children = list(module.named_children())
        for (conv_name, conv), (norm_name, norm) in pairwise(children):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, nn.Identity())
