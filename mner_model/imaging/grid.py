"""Images to grids of vectors: an ImageEncoder's last feature map, one vector per place, before it is pooled."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

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
        self._network.avgpool = nn.Identity()  # all the backbones pool there, and flatten right after it

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
