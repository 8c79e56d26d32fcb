"""Images to grids of vectors: an ImageEncoder's last feature map, one vector per place, before it is pooled."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from mner_model.imaging.efficientnet_lite import EfficientNetLite0
from mner_model.imaging.encoder import ImageEncoder, ImageEncoderConfig


class GridEncoder(ImageEncoder):
    """An ImageEncoder that also gives the map of which its features are the mean; made by `load`.

    channels  length of each place's vector: 2,048 of ResNet-50 on 7 × 7 places, 1,280 of EfficientNet-Lite0 likewise
    """

    channels: int

    def __init__(
        self,
        config: ImageEncoderConfig,
        state: Mapping[str, Tensor],
        label_vectors: Tensor | None,
        device: torch.device | str,
    ) -> None:
        super().__init__(config, state, label_vectors, device)
        self.channels = self._backbone.dimension
        if isinstance(self._network, EfficientNetLite0):
            self._network = _UnpooledLite0(self._network)
        else:  # torchvision's three all pool in `avgpool` and flatten right after it
            self._network.avgpool = nn.Identity()

    @torch.inference_mode()
    def grid(self, batch: Tensor) -> Tensor:
        """Vectors of the places of preprocessed images, row by row from the top left.

        batch    uint8 [images, 3, size, size]
        returns  float16 [images, places, channels] on the encoder's device; float16 as training keeps them all in
                 memory, and what is captioned must have gone through the same rounding

        Raises ValueError for another shape or type.
        """
        return self._map(batch).to(torch.float16)

    def _map(self, batch: Tensor) -> Tensor:
        return torch.unflatten(super()._features(batch), 1, (self.channels, -1)).transpose(1, 2)

    def _features(self, batch: Tensor) -> Tensor:
        return self._map(batch).mean(dim=1)


class _UnpooledLite0(nn.Module):
    def __init__(self, network: EfficientNetLite0) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        network = self.network
        stem = functional.relu6(network.bn0(network.conv_stem(images)))
        return functional.relu6(network.bn1(network.conv_head(network.blocks(stem)))).flatten(1)
