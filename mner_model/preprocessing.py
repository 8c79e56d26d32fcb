"""From a post to the tagger's numbers: the one way there, in training, evaluation and serving alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mner_model.config import ModelConfig
from mner_model.imaging.words import caption_words
from mner_model.network.batch import Batch, Features, collate
from mner_model.segmenter.hashtag_reader import HashtagReader
from mner_model.text.pieces import PieceTokenizer
from mner_model.text.tokenizer import Tokens
from mner_model.text.vocabulary import Alphabet, Vocabulary
from mner_model.text.word_pieces import WordPieces

_MOST_SIDE_WORDS = 24  # of a caption, and of a post's hashtags


@dataclass(frozen=True)
class Preprocessing:
    """What a model of this configuration needs to know of words, characters and pieces to read a post.

    pieces    of the pretrained text encoder; None for a tagger without one
    hashtags  what finds the words of hashtags; None for a tagger without them
    word_pieces  what cuts tokens to pieces of words; None for a tagger without them
    """

    config: ModelConfig
    vocabulary: Vocabulary
    alphabet: Alphabet
    pieces: PieceTokenizer | None = None
    hashtags: HashtagReader | None = None
    word_pieces: WordPieces | None = None

    def features(
        self,
        tokens: Tokens,
        image_embedding: npt.NDArray[np.float32] | None = None,
        caption: str | None = None,
    ) -> Features:
        """The numbers of one post, with what is known of its image."""
        pieces = None
        if self.pieces is not None:
            pieces = self.pieces.pieces(tokens, caption if self.config.text_reads_captions else None)
        word_ids = np.array(self.vocabulary.ids(tokens), dtype=np.int64)
        beside = caption_words(caption) if "caption" in self.config.modalities and caption else []
        in_hashtags = self.hashtags.words(tokens) if self.hashtags is not None else []
        return Features(
            word_ids,
            tokens.surfaces,
            image_embedding,
            pieces,
            self._side_ids(beside),
            self._side_ids(in_hashtags),
            () if self.word_pieces is None else tuple(self.word_pieces.ids(tokens)),
            np.array(tokens.bounds, dtype=np.int8),
        )

    def _side_ids(self, forms: Sequence[str]) -> tuple[int, ...]:
        return tuple(self.vocabulary.id_of(form) for form in forms[:_MOST_SIDE_WORDS])

    def collate(self, posts: Sequence[Features]) -> Batch:
        """Pads posts into one batch; raises ValueError as `mner_model.network.batch.collate` does."""
        return collate(posts, self.alphabet, self.config.image_dimension)
