"""The door to the model: images to vectors, texts to mentions.

Blocking and thread-safe; run it in an executor thread (torch releases the GIL while it computes).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mner_model.captioning.image_reader import ImageReader, load_image_reader
from mner_model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from mner_model.errors import CheckpointError, DeviceUnavailable, Failure
from mner_model.imaging.weights import ImageEncoderError
from mner_model.imaging.words import caption_words, words_vector
from mner_model.network.batch import BATCH_MAX_TOKENS, Features, features_fingerprint, rows_by_length
from mner_model.network.encoders import WordEncoder
from mner_model.network.model import TaggedPost
from mner_model.posts.predicted_entity import PredictedEntity
from mner_model.text.labels import Span
from mner_model.text.tokenizer import Tokens, tokenize
from mner_model.text.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class Document:
    """What one post gives the model.

    image_embedding  float32 [image_dimension] of `Predictor.embed_images`, None without an image
    tokens           of `Predictor.tokenize`, where the caller has them already
    caption          of the image, for a tagger that reads captions; None for what the embedding says, if it says one
    """

    text: str
    image_embedding: npt.NDArray[np.float32] | None = None
    tokens: Tokens | None = None
    caption: str | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """The mentions of one post, in the order of their start; they never overlap."""

    entities: tuple[PredictedEntity, ...]

    def spans(self, tokens: Tokens) -> list[Span]:
        """Its mentions in token positions of the tokens that it was made for."""
        first = {start: position for position, start in enumerate(tokens.starts)}
        last = {end: position for position, end in enumerate(tokens.ends)}
        return [Span(first[found.start], last[found.end] + 1, found.type) for found in self.entities]


class NoModalityWeights(Failure, ValueError):
    """There are no weights to show; the message says whether for want of tokens or by the model's nature."""


@dataclass(frozen=True, slots=True)
class ModalityWeights:
    """How much each modality counted for each token.

    tokens      [tokens]  as they stand in the text
    modalities  [modalities]
    weights     float32 [tokens, modalities], each token's summing to 1
    """

    tokens: tuple[str, ...]
    modalities: tuple[str, ...]
    weights: npt.NDArray[np.float32]


class Predictor:
    """A checkpoint and what reads images for it, ready to serve.

    To a tagger with the modality image an image is its embedding; to another that reads captions, what its embedding
    says as one. A tagger with both gets no captions but those that a document brings.
    """

    def __init__(self, checkpoint: Checkpoint, images: ImageReader | None, device: torch.device) -> None:
        """Takes a loaded checkpoint; `images` None leaves every image out."""
        self._checkpoint = checkpoint
        self._model = checkpoint.model
        self._images = images
        self.device = device

    @classmethod
    def load(cls, checkpoint: str | Path | None = None, device: str = "auto") -> Self:
        """Reads a checkpoint folder (None: the shipped one) and the image encoder or captioner that it names.

        device  auto (CUDA where there is one), cpu, cuda or cuda:N

        Raises CheckpointError in one sentence for anything that is missing or does not fit.
        """
        chosen = device_of(device)
        loaded = load_checkpoint(checkpoint, chosen)
        images = None
        if loaded.image_encoder is not None:
            try:
                images = load_image_reader(loaded.image_encoder, loaded.label_vectors, chosen)
                _check_dimension(images, loaded)
            except (CheckpointError, ImageEncoderError, TypeError, ValueError) as error:
                raise CheckpointError(f"checkpoint {checkpoint or 'of the package'}: image encoder: {error}") from error
        return cls(loaded, images, chosen)

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
        """Trained numbers of the tagger; frozen word vectors and what reads images and hashtags are not counted."""
        return sum(parameter.numel() for parameter in self._model.parameters())

    @property
    def choices(self) -> dict[str, Any]:
        """What differs from the defaults in its model's configuration."""
        return self._model.config.choices()

    @property
    def image_fingerprint(self) -> str | None:
        """sha256 of all that an image embedding depends on, None where images are not used."""
        return None if self._images is None else self._images.fingerprint

    @property
    def image_dimension(self) -> int | None:
        """Length of an image embedding, None where images are not used."""
        return None if self._images is None else self._images.dimension

    @property
    def reads_image_vectors(self) -> bool:
        """Whether an image embedding is a modality to it, in the space of its words; not a caption in numbers."""
        return self._images is not None and self._has_image_modality

    @property
    def reads_captions(self) -> bool:
        """Whether the captions of images tell it anything, be it that their words stand for the image."""
        return self.reads_image_vectors or self._checkpoint.preprocessing.config.reads_captions

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
        return self._reader().preprocess(image)

    def encode_images(self, images: Sequence[Tensor]) -> npt.NDArray[np.float32]:
        """Images as `preprocess_image` makes them, one or more → float32 [images, image_dimension]."""
        return self._reader().encode(torch.stack([*images])).numpy()

    def embed_images(self, images: Sequence[Tensor]) -> npt.NDArray[np.float32]:
        """Decoded images, uint8 [3, height, width] each, one or more → float32 [images, image_dimension]."""
        return self.encode_images([self.preprocess_image(image) for image in images])

    def describe_image(self, image: Tensor) -> str | None:
        """What it reads of one decoded image, uint8 [3, height, width], for people; None if that is not in words."""
        return self._reader().describe(image)

    def caption_embedding(self, caption: str) -> npt.NDArray[np.float32] | None:
        """What stands for an image with this caption, as in training: float32 [image_dimension], of unit length.

        None for a tagger that reads no image vectors, and where no word of the caption has a vector.
        """
        if not self.reads_image_vectors:
            return None
        return words_vector(caption_words(caption), self.vocabulary, self.word_encoder)

    def predict(
        self, posts: Sequence[Document | str], max_tokens: int = BATCH_MAX_TOKENS, image_effect: bool = False
    ) -> list[Prediction]:
        """The mentions of each post, in order; a text without tokens has none. A string is a post of text alone.

        max_tokens    token places (posts × longest) of one forward pass; further posts go into further passes
        image_effect  whether to tell each mention's; every forward pass is then followed by one over those of its
                      posts that have an image and a mention, if there are any

        Raises ValueError for an image embedding of another size than the encoder's, or of numbers that are not finite.
        """
        documents = [Document(post) if isinstance(post, str) else post for post in posts]
        for number, document in enumerate(documents, start=1):
            _check_finite(document, f" of post {number} of {len(documents)}")
        tokens = [_tokens(document) for document in documents]
        predictions = [Prediction(())] * len(documents)
        for rows in rows_by_length([len(of_post) for of_post in tokens], max_tokens):
            batch = self._checkpoint.preprocessing.collate([self._features(documents[i], tokens[i]) for i in rows])
            found = dict(zip(rows, self._model.tag(batch.to(self.device)), strict=True))
            effects = self._image_effects(documents, tokens, found) if image_effect else {}
            for i, tagged in found.items():
                predictions[i] = _prediction(documents[i].text, tokens[i], tagged, effects.get(i))
        return predictions

    def _image_effects(
        self, documents: Sequence[Document], tokens: Sequence[Tokens], found: Mapping[int, TaggedPost]
    ) -> dict[int, list[float]]:
        """Of each post with an image and a mention: every mention's confidence minus that without the image."""
        seen = {i: tagged for i, tagged in found.items() if tagged.spans and self._has_image(documents[i])}
        if not seen:
            return {}
        preprocessing = self._checkpoint.preprocessing
        batch = preprocessing.collate([preprocessing.features(tokens[i]) for i in seen])
        blind = self._model.confidences(batch.to(self.device), [tagged.spans for tagged in seen.values()])
        return {
            i: [sighted - without for sighted, without in zip(tagged.confidences, confidences, strict=True)]
            for (i, tagged), confidences in zip(seen.items(), blind, strict=True)
        }

    def features_fingerprint(self, posts: Iterable[Document]) -> str:
        """sha256 over all that it reads of these posts: with the same, the same checkpoint finds the same mentions."""
        return features_fingerprint(self._features(post, _tokens(post)) for post in posts)

    def modality_weights(self, post: Document) -> ModalityWeights:
        """How much each modality counted for each token of one post.

        Raises NoModalityWeights for a text without tokens, and for a model whose fusion weighs nothing; ValueError as
        `predict` does.
        """
        _check_finite(post)
        tokens = _tokens(post)
        if not len(tokens):
            raise NoModalityWeights("expected a text with at least one token, got one without")
        batch = self._checkpoint.preprocessing.collate([self._features(post, tokens)])
        with torch.inference_mode():
            _, weights = self._model(batch.to(self.device))
        if weights is None:
            raise NoModalityWeights(f"model {self.name} puts its modalities side by side and gives them no weights")
        return ModalityWeights(tokens.surfaces, tuple(self._model.fusion.dimensions), weights[0].float().cpu().numpy())

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

    @property
    def _has_image_modality(self) -> bool:
        return "image" in self._model.config.modalities

    def _features(self, document: Document, tokens: Tokens) -> Features:
        preprocessing, embedding, caption = self._checkpoint.preprocessing, document.image_embedding, document.caption
        if self._has_image_modality:
            return preprocessing.features(tokens, embedding, caption)
        if caption is None and embedding is not None and self._images is not None:
            caption = self._images.caption(embedding)
        return preprocessing.features(tokens, caption=caption)

    def _has_image(self, document: Document) -> bool:
        """Whether an image is here that the tagger looks at, though it may say nothing to it, or a caption to read."""
        reads_captions = self._checkpoint.preprocessing.config.reads_captions
        looks = self._has_image_modality or (reads_captions and self._images is not None)
        return (looks and document.image_embedding is not None) or (reads_captions and bool(document.caption))

    def _reader(self) -> ImageReader:
        if self._images is None:
            raise ValueError(f"model {self.name} does not use images")
        return self._images


def _tokens(document: Document) -> Tokens:
    return document.tokens if document.tokens is not None else tokenize(document.text)


def _check_finite(document: Document, where: str = "") -> None:
    """A number that is none would spread to all that is computed from it, and the post be without mentions."""
    embedding = document.image_embedding
    if embedding is None or np.isfinite(embedding).all():
        return
    first = int(np.isfinite(embedding).argmin())
    raise ValueError(f"image_embedding{where}: expected finite numbers, got {embedding.flat[first]} at {first}")


def _check_dimension(images: ImageReader, checkpoint: Checkpoint) -> None:
    """Raises ValueError where the tagger has images as a modality, and of another dimension than they come in."""
    config = checkpoint.model.config
    if "image" in config.modalities and images.dimension != config.image_dimension:
        raise ValueError(f"expected vectors of {config.image_dimension} numbers, its vectors have {images.dimension}")


def _prediction(
    text: str, tokens: Tokens, tagged: TaggedPost, image_effects: Sequence[float] | None = None
) -> Prediction:
    entities = []
    effects = image_effects if image_effects is not None else [None] * len(tagged.spans)
    parts = zip(tagged.spans, tagged.confidences, tagged.modality_weights, effects, strict=True)
    for span, confidence, weights, effect in parts:
        start, end = tokens.starts[span.start], tokens.ends[span.end - 1]
        entities.append(PredictedEntity(start, end, span.type, text[start:end], confidence, weights, effect))
    return Prediction(tuple(entities))


def device_of(name: str) -> torch.device:
    """The torch device of a setting: auto, cpu, cuda or cuda:N. Raises DeviceUnavailable if there is none."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise DeviceUnavailable(f"device {name}: expected auto, cpu, cuda or cuda:N")
    if name.startswith("cuda"):
        count = torch.cuda.device_count()
        index = int(name.partition(":")[2] or 0)
        if index >= count:
            raise DeviceUnavailable(f"device {name}: this machine has {count} CUDA devices that torch can use")
    return torch.device(name)
