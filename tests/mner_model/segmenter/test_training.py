"""Training on a handful of made-up hashtags: it learns them, and the same seed learns the same."""

import random

import pytest

from mner_model.data import DataError
from mner_model.hashtags import HashtagSegmenter
from mner_model.segmenter.data import GoldHashtag
from mner_model.segmenter.gaps import GapConfig
from mner_model.segmenter.pairs import WebCounts
from mner_model.segmenter.training import SegmenterRecipe, SegmenterTrainer, forum_words_beside, lexicon_words
from mner_model.segmenter.words import Lexicon, word_features

WORDS = "the new red day team happy music monday friday coffee summer winter".split()
WEB = WebCounts(dict.fromkeys(WORDS, 10**9), {("red", "team"): 10**8})
SMALL = GapConfig(char_dimension=8, case_dimension=2, filters=8, widths=(3,), hidden=12, dropout=0.0)
RECIPE = SegmenterRecipe(
    made_hashtags=3_000, batch_hashtags=32, tuning_steps=10, tuning_batch_hashtags=16, folds=2, penalties=(0.3, 30.0)
)


def made_up_gold(count: int, seed: int) -> list[GoldHashtag]:
    generator = random.Random(seed)
    pairs = [generator.sample(WORDS, 2) for _ in range(count)]
    return [GoldHashtag(f"a post with {a} and {b}", a + b, (f"{a} {b}",)) for a, b in pairs]


def train(seed: int = 0, lines: list[str] | None = None) -> HashtagSegmenter:
    recipe = SegmenterRecipe(**{**vars(RECIPE), "seed": seed})
    say = (lambda _: None) if lines is None else lines.append
    texts = ["so happy for the new music"]
    return SegmenterTrainer(made_up_gold(60, 1), texts, WORDS, WEB, {"lol": -9.0}, recipe, say, SMALL).run()


@pytest.fixture(scope="module")
def trained() -> tuple[HashtagSegmenter, list[str]]:
    lines: list[str] = []
    return train(lines=lines), lines


def test_training_learns_to_split_words_it_knows(trained: tuple[HashtagSegmenter, list[str]]) -> None:
    gold = made_up_gold(40, 2)
    answers = trained[0].segment([one.hashtag for one in gold])
    assert sum(one.is_exact(words) for one, words in zip(gold, answers, strict=True)) >= 36


def test_the_same_seed_gives_the_same_segmenter(trained: tuple[HashtagSegmenter, list[str]]) -> None:
    again, other = train(), train(seed=1)
    assert again.weights == trained[0].weights
    assert again.ranking == trained[0].ranking
    assert again.gaps.gap_logits(["redteam"], again.lexicon) == trained[0].gaps.gap_logits(["redteam"], again.lexicon)
    assert other.weights != again.weights


def test_the_penalty_is_the_one_that_held_out_gold_prefers(trained: tuple[HashtagSegmenter, list[str]]) -> None:
    segmenter, lines = trained
    assert segmenter.training["penalty"] == 0.3
    assert segmenter.training["held_out_exact"] > 0.8
    assert sum(line.startswith("penalty 0.3: held-out exact match") for line in lines) == 1
    assert sum("penalty of ranking" in line for line in lines) == len(RECIPE.ranking_penalties)


def test_progress_is_told(trained: tuple[HashtagSegmenter, list[str]]) -> None:
    assert any(line.startswith("step 93 of 93  loss ") for line in trained[1])
    assert "tuning without fold 2 of 2" in trained[1]


def test_a_hashtags_own_post_is_no_evidence_for_its_words() -> None:
    lexicon = Lexicon(["red"], {"team": 2})
    in_use = dict(word_features("redteam", "redteam", 3, 7, lexicon, {}))
    in_training = dict(word_features("redteam", "redteam", 3, 7, lexicon, {"team": 2}))
    assert "only in posts" in in_use
    assert "nowhere" in in_training


def test_the_lexicon_keeps_what_a_hashtag_can_hold() -> None:
    assert lexicon_words(["the", ",", "New", "new", "n't", "x", "mp3", "é" * 3, "a" * 40]) == [
        "a",
        "i",
        "the",
        "new",
        "mp3",
    ]


def test_forum_words_are_those_that_the_list_leaves_out() -> None:
    words = {"red": -5.0, "tweetup": -15.04, "x": -7.0, "n't": -6.0, "rarest": -19.0}
    assert forum_words_beside(["red"], words) == {"tweetup": -15.0}


def test_fewer_hashtags_than_folds_are_refused() -> None:
    with pytest.raises(DataError, match="at least 5 gold hashtags, got 3"):
        SegmenterTrainer(made_up_gold(3, 0), [], WORDS, WEB, {}, SegmenterRecipe(), print)
