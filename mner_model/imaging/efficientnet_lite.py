"""EfficientNet-Lite0: EfficientNet-B0 without squeeze-and-excite, with ReLU6, and with a fixed stem and head.

Tan & Le 2019, and the TensorFlow team's "lite" variant of 2020. Module names are those of the common PyTorch ports
less their leading underscores, so `rename_ported_keys` makes their state dicts fit exactly.
"""

import re
from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn
from torch.nn import functional

# TensorFlow's epsilon; PyTorch's 1e-5 costs 3 points of top-1.
_NORM_EPSILON = 1e-3

# (blocks, kernel, stride of the first, expansion, channels)
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class EfficientNetLite0(nn.Module):
    """Classifier of 1,000 ImageNet classes; replace `fc` by Identity for the 1,280 pooled features.

    `avgpool` stands where torchvision's networks have theirs, to be replaced likewise for the map that it pools.

    forward  float [batch, 3, 224, 224], (RGB - 127) / 128  →  logits [batch, 1000]
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = _SamePadConv2d(3, 32, 3, stride=2, bias=False)
        self.bn0 = nn.BatchNorm2d(32, eps=_NORM_EPSILON)
        self.blocks = nn.Sequential(*_blocks(in_channels=32))
        self.conv_head = nn.Conv2d(320, 1280, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(1280, eps=_NORM_EPSILON)
        self.avgpool: nn.Module = nn.AdaptiveAvgPool2d(1)
        self.fc: nn.Module = nn.Linear(1280, 1000)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, or whatever `fc` makes of the pooled features."""
        stem = functional.relu6(self.bn0(self.conv_stem(images)))
        head = functional.relu6(self.bn1(self.conv_head(self.blocks(stem))))
        return cast(Tensor, self.fc(self.avgpool(head).flatten(1)))


def _blocks(in_channels: int) -> list[nn.Module]:
    blocks: list[nn.Module] = []
    for count, kernel, first_stride, expansion, channels in _STAGES:
        for position in range(count):
            stride = first_stride if position == 0 else 1
            blocks.append(_InvertedResidual(in_channels, channels, kernel, stride, expansion))
            in_channels = channels
    return blocks


class _InvertedResidual(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        self.residual = stride == 1 and in_channels == out_channels
        self.expands = expansion > 1
        hidden = in_channels * expansion
        if self.expands:
            self.expand_conv = nn.Conv2d(in_channels, hidden, 1, bias=False)
            self.bn0 = nn.BatchNorm2d(hidden, eps=_NORM_EPSILON)
        self.depthwise_conv = _SamePadConv2d(hidden, hidden, kernel, stride=stride, groups=hidden, bias=False)
        self.bn1 = nn.BatchNorm2d(hidden, eps=_NORM_EPSILON)
        self.project_conv = nn.Conv2d(hidden, out_channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels, eps=_NORM_EPSILON)

    def forward(self, images: Tensor) -> Tensor:
        hidden = functional.relu6(self.bn0(self.expand_conv(images))) if self.expands else images
        hidden = functional.relu6(self.bn1(self.depthwise_conv(hidden)))
        projected: Tensor = self.bn2(self.project_conv(hidden))
        return images + projected if self.residual else projected


class _SamePadConv2d(nn.Conv2d):
    """TensorFlow's SAME padding: with an even side and stride 2 the odd pixel goes to the right and the bottom."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int, *, stride: int, groups: int = 1, bias: bool
    ) -> None:
        padding = (kernel - 1) // 2 if stride == 1 else 0
        super().__init__(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=bias)
        before = (kernel - stride) // 2
        self._uneven = (before, kernel - stride - before) * 2

    def forward(self, input: Tensor) -> Tensor:
        if self.stride[0] > 1:
            input = functional.pad(input, self._uneven)
        return super().forward(input)


def rename_ported_keys(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`_blocks.0._bn1.weight` → `blocks.0.bn1.weight`: the names of the PyTorch ports to ours."""
    return {re.sub(r"(^|\.)_", r"\1", name): tensor for name, tensor in state.items()}
