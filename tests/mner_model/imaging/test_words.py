import numpy as np
import pytest

from mner_model.imaging.encoder import ImageEncoderConfig
from mner_model.imaging.weights import ImageEncoderError
from mner_model.imaging.words import caption_words, check_image_encoder, label_vectors, words_vector
from mner_model.network.encoders import WordEncoder
from mner_model.text.vocabulary import SPECIAL_FORMS, Vocabulary

VOCABULARY = Vocabulary(["goldfish", "shark", "beach"])
FIRST = len(SPECIAL_FORMS)


@pytest.fixture
def encoder() -> WordEncoder:
    table = np.zeros((len(VOCABULARY), 2), dtype=np.float32)
    table[FIRST:] = [[2, 0], [0, 3], [1, 1]]
    encoder = WordEncoder(len(VOCABULARY), FIRST, 2)
    encoder.set_pretrained(table, unknown_deviation=1.0)
    return encoder


def test_captions_are_read_for_what_is_seen() -> None:
    assert caption_words("Two people standing in front of a Beach, a beach!") == ["people", "standing", "beach"]


def test_words_become_their_mean_at_unit_length(encoder: WordEncoder) -> None:
    vector = words_vector(["goldfish", "shark", "unheard"], VOCABULARY, encoder)
    assert vector is not None
    assert vector.tolist() == pytest.approx([2 / 13**0.5, 3 / 13**0.5], abs=1e-2)
    assert words_vector(["unheard"], VOCABULARY, encoder) is None


def test_what_training_added_to_a_word_does_not_move_an_image(encoder: WordEncoder) -> None:
    before = words_vector(["shark"], VOCABULARY, encoder)
    encoder.correction.weight.data += 1.0
    after = words_vector(["shark"], VOCABULARY, encoder)
    assert before is not None
    assert after is not None
    assert before.tolist() == after.tolist()


def test_every_imagenet_label_has_a_row_and_unknown_ones_are_zero(encoder: WordEncoder) -> None:
    vectors = label_vectors(VOCABULARY, encoder)
    assert vectors.shape == (1000, 2)
    assert vectors[1].tolist() == pytest.approx([1, 0], abs=1e-2)  # class 1 of ImageNet is goldfish
    assert not bool(vectors[0].any())  # class 0 is tench


def test_an_encoder_that_cannot_be_had_is_found_out_early() -> None:
    with pytest.raises(ImageEncoderError, match="unknown backbone 'eye'"):
        check_image_encoder(ImageEncoderConfig("eye", None, "label_words"))
