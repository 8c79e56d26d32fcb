"""What a training was of is told apart from what it was not."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mner_model.network.text_encoder import TextEncoder
from mner_model.text.vocabulary import WordVectors
from mner_model.training.story import text_encoder_story, vectors_story

NUMBERS = np.arange(6, dtype=np.float32).reshape(3, 2)


@pytest.mark.parametrize(
    ("forms", "numbers"),
    [
        (["a", "b", "d"], NUMBERS),
        (["a", "b", "c"], NUMBERS + 1),
        (["a", "b"], NUMBERS[:2]),
        (["ab", "", "c"], NUMBERS),
    ],
)
def test_other_words_and_other_numbers_are_other_vectors(forms: list[str], numbers: np.ndarray) -> None:  # type: ignore[type-arg]
    assert vectors_story(WordVectors(forms, numbers)) != vectors_story(WordVectors(["a", "b", "c"], NUMBERS))


def test_vectors_are_the_same_however_they_lie_in_memory() -> None:
    story = vectors_story(WordVectors(["a", "b", "c"], NUMBERS))
    assert story is not None
    assert story["words"] == 3
    assert story == vectors_story(WordVectors(("a", "b", "c"), np.asfortranarray(NUMBERS)))


def test_a_text_encoder_is_told_by_its_weights(tiny_transformer: Path) -> None:
    first, again = (TextEncoder.pretrained(str(tiny_transformer)) for _ in range(2))
    assert text_encoder_story(first) == text_encoder_story(again)
    with torch.no_grad():
        next(again[0].parameters()).add_(1e-3)
    assert text_encoder_story(first) != text_encoder_story(again)


def test_where_there_is_nothing_there_is_nothing_to_tell() -> None:
    assert (vectors_story(None), text_encoder_story(None)) == (None, None)
