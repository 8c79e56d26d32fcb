from dataclasses import replace

import numpy as np
import pytest

from mner_model.batch import Features, collate
from mner_model.preprocessing import Preprocessing
from mner_model.text import tokenize
from mner_model.vocabulary import PADDING, Alphabet, Vocabulary

ALPHABET = Alphabet("abc")
VOCABULARY = Vocabulary(["a", "b"])


def post(text: str, image: float | None = None) -> Features:
    embedding = None if image is None else np.full(2, image, dtype=np.float32)
    return Preprocessing(VOCABULARY, ALPHABET, 2).features(tokenize(text), embedding)


def test_each_surface_of_a_batch_is_spelled_once() -> None:
    batch = collate([post("a b a"), post("b")], ALPHABET, 2)
    assert batch.char_ids.shape == (2, 1)
    assert batch.surface_index.tolist() == [[0, 1, 0], [1, 0, 0]]


def test_shorter_posts_are_padded_on_the_right() -> None:
    batch = collate([post("a b a"), post("b")], ALPHABET, 2)
    assert batch.mask.tolist() == [[True, True, True], [True, False, False]]
    assert batch.word_ids[1, 1:].tolist() == [PADDING, PADDING]


def test_a_missing_image_is_zeros_and_said_to_be_missing() -> None:
    batch = collate([post("a", 3.0), post("b")], ALPHABET, 2)
    assert batch.image.tolist() == [[3.0, 3.0], [0.0, 0.0]]
    assert batch.has_image.tolist() == [True, False]


def test_words_beside_posts_are_padded_each_kind_to_its_own_longest() -> None:
    posts = [replace(post("a b a"), caption_ids=(7,)), replace(post("b"), caption_ids=(8, 9)), post("a")]
    batch = collate(posts, ALPHABET, 2).to("cpu")
    assert batch.caption_ids.tolist() == [[7, PADDING], [8, 9], [PADDING, PADDING]]
    assert batch.hashtag_ids.shape == (3, 0)


def test_gold_is_there_only_if_every_post_has_it() -> None:
    tagged = Features(np.array([2]), ("a",), tags=np.array([4]))
    batch = collate([tagged, tagged], ALPHABET, 2)
    assert batch.tags is not None
    assert batch.tags.tolist() == [[4], [4]]
    assert collate([tagged, post("b")], ALPHABET, 2).tags is None


@pytest.mark.parametrize("posts", [[], [""]])
def test_a_batch_of_nothing_is_refused(posts: list[str]) -> None:
    with pytest.raises(ValueError, match="at least one token"):
        collate([post(text) for text in posts], ALPHABET, 2)
