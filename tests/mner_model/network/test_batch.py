from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mner_model.config import ModelConfig
from mner_model.network.batch import Features, collate, rows_by_length
from mner_model.preprocessing import Preprocessing
from mner_model.text.tokenizer import tokenize
from mner_model.text.vocabulary import PADDING, Alphabet, Vocabulary

CONFIG = ModelConfig(image_dimension=2)
ALPHABET = Alphabet("abc")
VOCABULARY = Vocabulary(["a", "b"])


def post(text: str, image: float | None = None) -> Features:
    embedding = None if image is None else np.full(2, image, dtype=np.float32)
    return Preprocessing(CONFIG, VOCABULARY, ALPHABET).features(tokenize(text), embedding)


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


@given(lengths=st.lists(st.integers(0, 40), max_size=60), max_tokens=st.integers(1, 200))
def test_posts_of_like_length_go_together_each_once_and_within_the_limit(lengths: list[int], max_tokens: int) -> None:
    together = list(rows_by_length(lengths, max_tokens))
    order = [i for rows in together for i in rows]
    assert sorted(order) == [i for i, length in enumerate(lengths) if length]
    assert [lengths[i] for i in order] == sorted(length for length in lengths if length)
    assert all(len(rows) == 1 or len(rows) * lengths[rows[-1]] <= max_tokens for rows in together)
    for rows, following in pairwise(together):
        assert (len(rows) + 1) * lengths[following[0]] > max_tokens, "one more would have fitted"
