"""The one way from a post to numbers."""

import pytest

from mner_model.config import ModelConfig
from mner_model.preprocessing import Preprocessing
from mner_model.segmenter.hashtag_reader import HashtagReader
from mner_model.segmenter.hashtags import HashtagSegmenter
from mner_model.text.tokenizer import tokenize
from mner_model.text.vocabulary import UNKNOWN, Alphabet, Vocabulary

WORDS = Vocabulary(["good", "morning", "dog", "beach"])
ALPHABET = Alphabet("abc")
CAPTION = "A dog on the sunny Beach with a dog"


@pytest.fixture(scope="module")
def reads_all() -> Preprocessing:
    hashtags = HashtagReader(HashtagSegmenter.load())
    config = ModelConfig(modalities=("word", "caption", "hashtag"))
    return Preprocessing(config, WORDS, ALPHABET, hashtags=hashtags)


def test_captions_give_the_words_that_say_what_is_seen_and_hashtags_theirs(reads_all: Preprocessing) -> None:
    features = reads_all.features(tokenize("hi #GoodMorning"), caption=CAPTION)
    assert features.caption_ids == (WORDS.id_of("dog"), UNKNOWN, WORDS.id_of("beach"))
    assert features.hashtag_ids == (WORDS.id_of("good"), WORDS.id_of("morning"))


@pytest.mark.parametrize("caption", [None, "", "a picture of the"])
def test_a_caption_that_says_nothing_is_none(reads_all: Preprocessing, caption: str | None) -> None:
    features = reads_all.features(tokenize("hi"), caption=caption)
    assert (features.caption_ids, features.hashtag_ids) == ((), ())


def test_what_a_tagger_does_not_read_is_not_in_its_numbers() -> None:
    features = Preprocessing(ModelConfig(), WORDS, ALPHABET).features(tokenize("hi #GoodMorning"), caption=CAPTION)
    assert (features.caption_ids, features.hashtag_ids) == ((), ())


def test_at_most_twenty_four_words_stand_beside_a_post(reads_all: Preprocessing) -> None:
    words = [chr(97 + number // 26) + chr(97 + number % 26) + "q" for number in range(60)]
    features = reads_all.features(tokenize("#GoodMorning " * 20), caption=" ".join(words))
    assert (len(features.caption_ids), len(features.hashtag_ids)) == (24, 24)
