import random

import numpy as np
import pytest

from mner_model.text.tokenizer import tokenize
from mner_model.text.vocabulary import WordVectors
from mner_model.training.word_swaps import WordSwaps

FORMS = ["oslo", "bergen", "lima", "dog", "cat", "4", "<url>"]
VECTORS = np.array([[1, 0], [1, 0.1], [1, 0.5], [0, 1], [0.1, 1], [1, 1], [1, 1]], dtype=np.float32)


def swaps(neighbours: int = 1) -> WordSwaps:
    return WordSwaps(WordVectors(FORMS, VECTORS), neighbours)


def test_the_nearest_words_by_cosine_are_found() -> None:
    assert swaps().neighbours("oslo") == ["bergen"]
    assert swaps().neighbours("dog") == ["cat"]
    assert set(swaps(2).neighbours("oslo")) == {"bergen", "lima"}


@pytest.mark.parametrize("form", ["4", "<url>", "unheard-of"])
def test_what_is_no_word_with_a_vector_has_no_neighbours(form: str) -> None:
    assert swaps().neighbours(form) == []


def test_a_swapped_word_is_written_like_the_one_before_it() -> None:
    found = swaps().swapped("Oslo, OSLO & oslo: 4 dogs", 1.0, random.Random(0))
    assert found == "Bergen, BERGEN & bergen: 4 dogs"


def test_without_a_share_nothing_is_swapped() -> None:
    text = " Oslo  and #Lima  "
    assert swaps().swapped(text, 0.0, random.Random(0)) == text


def test_swaps_keep_the_number_of_tokens() -> None:
    text = "a dog in #Oslo @lima http://oslo.example"
    found = swaps(3).swapped(text, 0.5, random.Random(1))
    assert len(tokenize(found)) == len(tokenize(text))
    assert found.endswith("http://oslo.example")
