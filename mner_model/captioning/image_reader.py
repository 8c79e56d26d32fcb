"""What an image says as a caption, as a vector of whole numbers that is kept and handed on like any image embedding.

Half precision, in which a cache keeps embeddings, holds whole numbers exactly up to 2,048. Which of the ways an image
reaches a tagger, its checkpoint's `image_encoder` says; `load_image_reader` reads that.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mner_model.captioning.captioner import DEFAULT_BEAM, DEFAULT_MAX_WORDS, Captioner
from mner_model.errors import CheckpointError
from mner_model.imaging.encoder import ImageEncoder, ImageEncoderConfig, imagenet_labels, label_words
from mner_model.imaging.weights import fingerprint

MOST_LABELS = 3
# of EfficientNet-Lite0's labels at least one is as probable on 165 of 166 photos of ImageNet's classes, three on 6
LEAST_PROBABILITY = 0.1
_BASE = 2048
_UNUSED = -1


class ImageReader(Protocol):
    """What a predictor asks about images: a vector of each, and what that says in words.

    dimension    length of a vector
    fingerprint  sha256 of all that a vector depends on
    """

    dimension: int
    fingerprint: str

    def preprocess(self, image: Tensor) -> Tensor:
        """Cuts one image: uint8 [3, height, width] → uint8 [3, size, size]. Safe in any thread."""

    def encode(self, batch: Tensor) -> Tensor:
        """Vectors of preprocessed images: uint8 [images, 3, size, size] → float32 [images, dimension] on the CPU."""

    def caption(self, embedding: npt.NDArray[np.float32]) -> str | None:
        """The caption that a vector [dimension] of `encode` is, in float16 meanwhile or not; None if it says nothing.

        Raises ValueError for a vector of another shape.
        """

    def describe(self, image: Tensor) -> str | None:
        """What it reads of one image, uint8 [3, height, width], for people; None if that is not in words."""


@dataclass(frozen=True, slots=True)
class CaptionerConfig:
    """Which captioner says what an image shows: its folder, and the fingerprint of what lay there in training."""

    captioner: str
    fingerprint: str

    @classmethod
    def of(cls, folder: Path) -> Self:
        """The captioner in a folder as it is now; raises as `Captioner.load` does."""
        return cls(str(folder.resolve()), Captioner.load(folder).fingerprint)


class LabelCaptions:
    """The likeliest labels of an ImageNet classifier as a caption: "golden retriever, tennis ball".

    A vector holds the numbers of up to MOST_LABELS classes, the likeliest first.
    """

    def __init__(self, encoder: ImageEncoder) -> None:
        self._encoder = encoder
        self._labels = [" ".join(label_words(label)) for label in imagenet_labels()]
        self.dimension = MOST_LABELS
        about = {"labels": MOST_LABELS, "least_probability": LEAST_PROBABILITY, "encoder": encoder.fingerprint}
        self.fingerprint = fingerprint(about, {})

    def preprocess(self, image: Tensor) -> Tensor:
        """As `ImageReader.preprocess`."""
        return self._encoder.preprocess(image)

    def encode(self, batch: Tensor) -> Tensor:
        """As `ImageReader.encode`."""
        likeliest = self._encoder.probabilities(batch).topk(MOST_LABELS)
        return likeliest.indices.where(likeliest.values >= LEAST_PROBABILITY, _UNUSED).float()

    def caption(self, embedding: npt.NDArray[np.float32]) -> str | None:
        """As `ImageReader.caption`."""
        numbers = _numbers(embedding, self.dimension)
        return ", ".join(self._labels[number] for number in numbers if number < len(self._labels)) or None

    def describe(self, image: Tensor) -> str | None:
        """As `ImageReader.describe`: the caption."""
        return self.caption(self.encode(self.preprocess(image)[None])[0].numpy())


class CaptionerCaptions:
    """Captions of a `Captioner`, as `mner-model caption` prints them.

    A vector holds the numbers of the caption's words, each in two places: vocabularies are larger than 2,048.
    """

    def __init__(self, captioner: Captioner) -> None:
        self._captioner = captioner
        self.dimension = 2 * DEFAULT_MAX_WORDS
        about = {"captioner": captioner.fingerprint, "beam": DEFAULT_BEAM, "max_words": DEFAULT_MAX_WORDS}
        self.fingerprint = fingerprint(about, {})

    @classmethod
    def load(cls, config: CaptionerConfig, device: torch.device | str = "cpu") -> Self:
        """Reads the captioner's folder; raises as `Captioner.load`, and CheckpointError if it is another by now."""
        captioner = Captioner.load(config.captioner, device)
        if captioner.fingerprint != config.fingerprint:
            raise CheckpointError(
                f"captioner {config.captioner}: expected the one with the fingerprint {config.fingerprint[:12]}, "
                f"got {captioner.fingerprint[:12]}: was it trained again?"
            )
        return cls(captioner)

    def preprocess(self, image: Tensor) -> Tensor:
        """As `ImageReader.preprocess`."""
        return self._captioner.encoder.preprocess(image)

    def encode(self, batch: Tensor) -> Tensor:
        """As `ImageReader.encode`."""
        vectors = torch.full((len(batch), self.dimension), float(_UNUSED))
        said = self._captioner.words(batch, DEFAULT_BEAM, DEFAULT_MAX_WORDS)
        for vector, words in zip(vectors, said, strict=True):
            places = [place for word in words for place in divmod(word, _BASE)]
            vector[: len(places)] = torch.tensor(places)
        return vectors

    def caption(self, embedding: npt.NDArray[np.float32]) -> str | None:
        """As `ImageReader.caption`."""
        places = _numbers(embedding, self.dimension)
        words = [high * _BASE + low for high, low in zip(places[::2], places[1::2], strict=False)]
        return self._captioner.text([word for word in words if word < len(self._captioner.vocabulary)]) or None

    def describe(self, image: Tensor) -> str | None:
        """As `ImageReader.describe`: the caption."""
        return self.caption(self.encode(self.preprocess(image)[None])[0].numpy())


def _numbers(embedding: npt.NDArray[np.float32], dimension: int) -> list[int]:
    """The whole numbers before the first unused place."""
    if embedding.shape != (dimension,):
        raise ValueError(
            f"expected an image embedding of {dimension} numbers, got {list(embedding.shape)}: "
            "is it from another encoder?"
        )
    return list(takewhile(lambda number: number >= 0, map(int, embedding)))


def load_image_reader(
    config: Mapping[str, Any], label_vectors: Tensor | None = None, device: torch.device | str = "cpu"
) -> ImageReader:
    """What a checkpoint names as its `image_encoder`: an ImageEncoderConfig or a CaptionerConfig as plain values.

    label_vectors  as `ImageEncoder.load` takes them

    Raises as `ImageEncoder.load` and `CaptionerCaptions.load` do, and TypeError for values that are neither's.
    """
    if "captioner" in config:
        return CaptionerCaptions.load(CaptionerConfig(**config), device)
    encoder = ImageEncoderConfig(**config)
    if encoder.output == "labels":
        return LabelCaptions(ImageEncoder.load(replace(encoder, output="features"), device=device))
    return ImageEncoder.load(encoder, label_vectors=label_vectors, device=device)
