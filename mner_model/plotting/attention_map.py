"""What `mner-model plot attention` shows of one post, whether as a picture or on a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from torch import Tensor

from mner_model.plotting.figures import PlotError
from mner_model.predictor import Document, ModalityWeights, Predictor
from mner_model.text.labels import Span


@dataclass(frozen=True, slots=True)
class AttentionMap:
    """The weights of a post's tokens, and what they are about.

    mentions  found in the post, in token positions
    image     uint8 [height, width, 3]; None without one
    reading   a sentence on what the tagger reads of the image, or in its place; None where it reads nothing
    """

    weights: ModalityWeights
    mentions: Sequence[Span] = ()
    image: npt.NDArray[np.uint8] | None = None
    reading: str | None = None

    @classmethod
    def of(cls, predictor: Predictor, text: str, image: Tensor | None = None, caption: str | None = None) -> Self:
        """Tags a post and keeps the weights.

        image    uint8 [3, height, width]
        caption  for the tagger to read in place of what the image says

        Raises PlotError for an image or a caption that the model would not read, NoModalityWeights as
        `Predictor.modality_weights` does.
        """
        if image is not None and predictor.image_dimension is None:
            raise PlotError(f"--image: expected a model that reads images, {predictor.name} reads none")
        document, reading = Document(text), None
        if caption is not None:
            document, reading = _captioned(predictor, text, caption), f"caption read: {caption}"
        elif image is not None:
            document = Document(text, predictor.embed_images([image])[0])
            reading = f"read of the image: {predictor.describe_image(image) or 'nothing in words'}"
        weights = predictor.modality_weights(document)
        [prediction] = predictor.predict([document])
        picture = None if image is None else image.permute(1, 2, 0).numpy()
        return cls(weights, prediction.spans(predictor.tokenize(text)), picture, reading)


def _captioned(predictor: Predictor, text: str, caption: str) -> Document:
    if not predictor.reads_captions:
        raise PlotError(f"--caption: expected a model that reads captions, {predictor.name} reads none")
    embedding = predictor.caption_embedding(caption)
    if predictor.reads_image_vectors and embedding is None:
        raise PlotError(f"--caption: expected a word that {predictor.name} knows the vector of, got {caption!r}")
    return Document(text, embedding, caption=caption)
