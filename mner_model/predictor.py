"""The worker's only door to the model: images to vectors, texts to mentions.

Blocking and thread-safe; run it in an executor thread (torch releases the GIL while it computes).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mner_model.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from mner_model.encoders import WordEncoder
from mner_model.image_encoder import ImageEncoder, ImageEncoderConfig, ImageEncoderError
from mner_model.model import TaggedPost
from mner_model.text import Tokens, tokenize
from mner_model.vocabulary import Vocabulary

_BATCH_MAX_TOKENS = 8192


@dataclass(frozen=True, slots=True)
class Document:
    """What one post gives the model.

    image_embedding  float32 [image_dimension] of `Predictor.embed_images`, None without an image
    tokens           of `Predictor.tokenize`, where the caller has them already
    caption          of the image, for a tagger that reads captions
    """

    text: str
    image_embedding: npt.NDArray[np.float32] | None = None
    tokens: Tokens | None = None
    caption: str | None = None


@dataclass(frozen=True, slots=True)
class PredictedEntity:
    """One mention: [start, end) in code points of the text as received, its probability as a whole span in [0, 1]."""

    start: int
    end: int
    type: str
    text: str
    confidence: float
    modality_weights: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Prediction:
    """The mentions of one post, in the order of their start; they never overlap."""

    entities: tuple[PredictedEntity, ...]


class Predictor:
    """A checkpoint and its image encoder, ready to serve."""

    def __init__(self, checkpoint: Checkpoint, image_encoder: ImageEncoder | None, device: torch.device) -> None:
        """Takes a loaded checkpoint; `image_encoder` None leaves every image out."""
        self._checkpoint = checkpoint
        self._model = checkpoint.model
        self._images = image_encoder
        self.device = device

    @classmethod
    def load(cls, checkpoint: str | Path | None = None, device: str = "auto") -> Self:
        """Reads a checkpoint folder (None: the shipped one) and the image encoder it names.

        device  auto (CUDA where there is one), cpu, cuda or cuda:N

        Raises CheckpointError in one sentence for anything that is missing or does not fit.
        """
        chosen = device_of(device)
        loaded = load_checkpoint(checkpoint, chosen)
        encoder = None
        if loaded.image_encoder is not None:
            try:
                config = ImageEncoderConfig(**loaded.image_encoder)
                encoder = ImageEncoder.load(config, label_vectors=loaded.label_vectors, device=chosen)
            except (ImageEncoderError, TypeError, ValueError) as error:
                raise CheckpointError(f"checkpoint {checkpoint or 'of the package'}: image encoder: {error}") from error
        return cls(loaded, encoder, chosen)

    @property
    def name(self) -> str:
        """The model's name."""
        return self._checkpoint.name

    @property
    def fingerprint(self) -> str:
        """sha256 of the checkpoint's contents."""
        return self._checkpoint.fingerprint

    @property
    def parameters(self) -> int:
        """Trained numbers of the tagger; frozen word vectors and the image encoder are not counted."""
        return sum(parameter.numel() for parameter in self._model.parameters())

    @property
    def image_fingerprint(self) -> str | None:
        """sha256 of the image encoder's weights and preprocessing, None where images are not used."""
        return None if self._images is None else self._images.fingerprint

    @property
    def image_dimension(self) -> int | None:
        """Length of an image embedding, None where images are not used."""
        return None if self._images is None else self._images.dimension

    @property
    def types(self) -> tuple[str, ...]:
        """The entity types it tags."""
        return self._model.config.types

    @property
    def vocabulary(self) -> Vocabulary:
        """The words it knows."""
        return self._checkpoint.vocabulary

    @property
    def word_encoder(self) -> WordEncoder:
        """The vectors of those words."""
        return self._model.words

    @property
    def seen_mentions(self) -> list[int]:
        """`data.mention_hash` of each mention in its training data."""
        return self._checkpoint.seen_mentions.tolist()

    def tokenize(self, text: str) -> Tokens:
        """The model's tokens of a text; their number is what a batch is measured by."""
        return tokenize(text)

    def preprocess_image(self, image: Tensor) -> Tensor:
        """One decoded image, uint8 [3, height, width], cut to the encoder's input, uint8 [3, size, size]."""
        return self._encoder().preprocess(image)

    def embed_images(self, images: Sequence[Tensor]) -> npt.NDArray[np.float32]:
        """Decoded images, uint8 [3, height, width] each (preprocessed or not) → float32 [images, image_dimension]."""
        return self._encoder().embed(images).numpy()

    def predict(self, posts: Sequence[Document | str], max_tokens: int = _BATCH_MAX_TOKENS) -> list[Prediction]:
        """The mentions of each post, in order; a text without tokens has none. A string is a post of text alone.

        max_tokens  token places (posts × longest) of one forward pass; further posts go into further passes
        """
        documents = [Document(post) if isinstance(post, str) else post for post in posts]
        tokens = [document.tokens if document.tokens is not None else tokenize(document.text) for document in documents]
        predictions = [Prediction(())] * len(documents)
        order = sorted((i for i in range(len(documents)) if len(tokens[i])), key=lambda i: len(tokens[i]))
        while order:
            rows = order[: _fitting([len(tokens[i]) for i in order], max_tokens)]
            order = order[len(rows) :]
            preprocessing = self._checkpoint.preprocessing
            features = [
                preprocessing.features(tokens[i], self._embedding(documents[i]), documents[i].caption) for i in rows
            ]
            batch = preprocessing.collate(features)
            for i, tagged in zip(rows, self._model.tag(batch.to(self.device)), strict=True):
                predictions[i] = _prediction(documents[i].text, tokens[i], tagged)
        return predictions

    @staticmethod
    def is_broken_by(error: BaseException) -> bool:
        """Whether this error left the device unusable for the whole process, as a failed CUDA kernel does.

        Running out of memory does not: a smaller batch may fit.
        """
        if isinstance(error, torch.OutOfMemoryError):
            return False
        return isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error)

    @property
    def is_on_gpu(self) -> bool:
        """Whether it runs on a CUDA device."""
        return self.device.type == "cuda"

    def gpu_memory_bytes(self) -> float:
        """What the tensors of this process hold of its GPU; only with one."""
        return float(torch.cuda.memory_allocated(self.device))

    def warm(self) -> None:
        """Runs every part once, so that the first post does not pay for it."""
        self.predict([Document("Warm up in Berlin with @everyone : #NBA"), Document("One")])
        if self._images is not None:
            self.embed_images([torch.zeros(3, 64, 64, dtype=torch.uint8)])

    def _embedding(self, document: Document) -> npt.NDArray[np.float32] | None:
        return document.image_embedding if "image" in self._model.config.modalities else None

    def _encoder(self) -> ImageEncoder:
        if self._images is None:
            raise ValueError(f"model {self.name} does not use images")
        return self._images


def _prediction(text: str, tokens: Tokens, tagged: TaggedPost) -> Prediction:
    entities = []
    for span, confidence, weights in zip(tagged.spans, tagged.confidences, tagged.modality_weights, strict=True):
        start, end = tokens.starts[span.start], tokens.ends[span.end - 1]
        entities.append(PredictedEntity(start, end, span.type, text[start:end], confidence, weights))
    return Prediction(tuple(entities))


def _fitting(lengths: Sequence[int], max_tokens: int) -> int:
    """How many of these ascending lengths fit one forward pass; at least one."""
    count = 1
    while count < len(lengths) and (count + 1) * lengths[count] <= max_tokens:
        count += 1
    return count


def device_of(name: str) -> torch.device:
    """The torch device of a setting: auto, cpu, cuda or cuda:N. Raises CheckpointError if there is no such device."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise CheckpointError(f"device {name}: expected auto, cpu, cuda or cuda:N")
    if name.startswith("cuda"):
        count = torch.cuda.device_count()
        index = int(name.partition(":")[2] or 0)
        if index >= count:
            raise CheckpointError(f"device {name}: this machine has {count} CUDA devices that torch can use")
    return torch.device(name)
