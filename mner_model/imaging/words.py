"""Words about an image as one vector in the text's own word space.

In training the words are those of a machine caption; in serving they are the image classifier's labels,
weighted by their probability (`ImageEncoder`, output "label_words"). Both come out at unit length.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mner_model.imaging.encoder import ImageEncoder, ImageEncoderConfig, imagenet_labels, label_words
from mner_model.network.encoders import WordEncoder
from mner_model.text.tokenizer import tokenize
from mner_model.text.vocabulary import Vocabulary

# words of captions that say nothing of what is seen
_EMPTY_WORDS = frozenset(
    "a an the of in on at with and or to for from by is are was be being it its his her their there this that these"
    " those some other two three four one into over under up down out off as has have while who which next front"
    " picture photo image background view close side top group".split()
)


def words_vector(words: Sequence[str], vocabulary: Vocabulary, encoder: WordEncoder) -> npt.NDArray[np.float32] | None:
    """Mean pretrained vector of the known ones among `words`, float32 [dimension] at unit length; None if none is."""
    ids = [vocabulary.id_of(word) for word in words if word in vocabulary]
    if not ids:
        return None
    mean = encoder.pretrained(torch.tensor(ids, device=encoder.codes.device)).mean(dim=0)
    length = float(mean.norm())
    return (mean / length).cpu().numpy() if length > 0 else None


def caption_words(caption: str) -> list[str]:
    """The words of a caption that say what is seen, lower-case, each once."""
    forms = tokenize(caption).forms
    return list(dict.fromkeys(form for form in forms if form.isalpha() and form not in _EMPTY_WORDS))


def label_vectors(vocabulary: Vocabulary, encoder: WordEncoder) -> Tensor:
    """Vectors of the 1,000 ImageNet labels, from their words: float32 [1000, dimension], 0 where none is known."""
    rows = [words_vector(label_words(label), vocabulary, encoder) for label in imagenet_labels()]
    nothing = np.zeros(encoder.dimension, dtype=np.float32)
    return torch.from_numpy(np.stack([nothing if row is None else row for row in rows]))


def check_image_encoder(config: ImageEncoderConfig) -> None:
    """Raises ImageEncoderError if the encoder cannot be had, before anything is built on it."""
    ImageEncoder.load(config, label_vectors=torch.zeros(len(imagenet_labels()), 1))
