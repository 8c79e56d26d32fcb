"""From a post to the tagger's numbers: the one way there, in training, evaluation and serving alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from mner_model.config import ModelConfig
from mner_model.imaging.words import caption_words
from mner_model.network.batch import Batch, Features, collate
from mner_model.segmenter.hashtags import HashtagSegmenter
from mner_model.segmenter.post_hashtags import HashtagReader
from mner_model.text.pieces import PieceTokenizer
from mner_model.text.tokenizer import Tokens
from mner_model.text.vocabulary import Alphabet, Vocabulary

_MOST_SIDE_WORDS = 24  # of a caption, and of a post's hashtags


@dataclass(frozen=True)
class Preprocessing:
    """What a checkpoint needs to know of words, characters and pieces to read a post.

    image_dimension      length of an image embedding
    pieces               of the pretrained text encoder; None for a tagger without one
    caption_as_segment   whether an image's caption goes to the text encoder behind the text
    caption_as_modality  whether its words are a modality of their own
    hashtags             what finds the words of hashtags; None for a tagger without them
    """

    vocabulary: Vocabulary
    alphabet: Alphabet
    image_dimension: int
    pieces: PieceTokenizer | None = None
    caption_as_segment: bool = False
    caption_as_modality: bool = False
    hashtags: HashtagReader | None = None

    @classmethod
    def of(
        cls,
        config: ModelConfig,
        vocabulary: Vocabulary,
        alphabet: Alphabet,
        pieces: PieceTokenizer | None,
        segmenter: HashtagSegmenter | None,
    ) -> Self:
        """What a model of this configuration reads. segmenter: for the modality hashtag, None without it."""
        return cls(
            vocabulary,
            alphabet,
            config.image_dimension,
            pieces,
            caption_as_segment=config.text_reads_captions,
            caption_as_modality="caption" in config.modalities,
            hashtags=None if segmenter is None else HashtagReader(segmenter),
        )

    @property
    def reads_captions(self) -> bool:
        """Whether `features` makes anything of a caption."""
        return self.caption_as_segment or self.caption_as_modality

    def features(
        self,
        tokens: Tokens,
        image_embedding: npt.NDArray[np.float32] | None = None,
        caption: str | None = None,
    ) -> Features:
        """The numbers of one post, with what is known of its image."""
        pieces = None
        if self.pieces is not None:
            pieces = self.pieces.pieces(tokens, caption if self.caption_as_segment else None)
        word_ids = np.array(self.vocabulary.ids(tokens), dtype=np.int64)
        beside = caption_words(caption) if self.caption_as_modality and caption else []
        in_hashtags = self.hashtags.words(tokens) if self.hashtags is not None else []
        return Features(
            word_ids,
            tokens.surfaces,
            image_embedding,
            pieces,
            self._side_ids(beside),
            self._side_ids(in_hashtags),
        )

    def _side_ids(self, forms: Sequence[str]) -> tuple[int, ...]:
        return tuple(self.vocabulary.id_of(form) for form in forms[:_MOST_SIDE_WORDS])

    def collate(self, posts: Sequence[Features]) -> Batch:
        """Pads posts into one batch; raises ValueError as `mner_model.network.batch.collate` does."""
        return collate(posts, self.alphabet, self.image_dimension)
