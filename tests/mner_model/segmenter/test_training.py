"""Training on a handful of made-up hashtags: it learns them, judges by unseen ones, and the same seed is the same."""

import random
from collections.abc import Collection, Sequence
from typing import Any

import pytest

from mner_model.data.lines import DataError
from mner_model.segmenter import training as hashtag_training
from mner_model.segmenter.data import GoldHashtag
from mner_model.segmenter.gaps import GapConfig, GapModel, Hashtags, in_numbers
from mner_model.segmenter.hashtags import HashtagSegmenter
from mner_model.segmenter.pairs import WebCounts
from mner_model.segmenter.ranking import RankingFitter
from mner_model.segmenter.training import SegmenterRecipe, SegmenterTrainer, forum_words_beside, lexicon_words
from mner_model.segmenter.weights import WeightFitter
from mner_model.segmenter.words import Lexicon, word_features

WORDS = "the new red day team happy music monday friday coffee summer winter".split()
WEB = WebCounts(dict.fromkeys(WORDS, 10**9), {("red", "team"): 10**8})
SMALL = GapConfig(char_dimension=8, case_dimension=2, filters=8, widths=(3,), hidden=12, dropout=0.0)
RECIPE = SegmenterRecipe(
    made_hashtags=3_000, batch_hashtags=32, tuning_steps=10, tuning_batch_hashtags=16, folds=2, penalties=(0.3, 30.0)
)
BRIEF = SegmenterRecipe(
    made_hashtags=16,
    batch_hashtags=8,
    tuning_steps=3,
    tuning_batch_hashtags=8,
    gold_share=1.0,
    folds=2,
    iterations=3,
    ranking_iterations=3,
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


def gold_of(*posts: str) -> list[GoldHashtag]:
    """Of each post a hashtag of all its words."""
    return [GoldHashtag(post, post.replace(" ", ""), (post,)) for post in posts]


def train_briefly(gold: Sequence[GoldHashtag], texts: Sequence[str] = ()) -> HashtagSegmenter:
    return SegmenterTrainer(gold, texts, WORDS, WEB, {}, BRIEF, lambda _: None, SMALL).run()


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


def test_what_the_gap_model_says_of_a_held_out_hashtag_is_the_same_whatever_its_gold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: dict[str, list[float]] = {}

    def listening(gaps: GapModel, hashtags: Sequence[str], lexicon: Lexicon) -> list[list[float]]:
        logits = gap_logits(gaps, hashtags, lexicon)
        said.update(zip(hashtags, logits, strict=True))
        return logits

    gap_logits = GapModel.gap_logits
    monkeypatch.setattr(GapModel, "gap_logits", listening)
    gold = gold_of("monday coffee", "summer friday")  # a fold each
    train_briefly(gold)
    before = dict(said)
    for one, other in (gold, reversed(gold)):
        # two words again, none of them short, so that chance has its way with all else as before
        cut_elsewhere = GoldHashtag(one.post, one.hashtag, (f"{one.hashtag[:5]} {one.hashtag[5:]}",))
        train_briefly([cut_elsewhere if each is one else each for each in gold])
        assert said[one.hashtag] == before[one.hashtag]
        assert said[other.hashtag] != before[other.hashtag]


class Fitted(dict[str, float]):
    """Weights that know which hashtags they were fitted to."""

    fitted_to: frozenset[int]


@pytest.mark.parametrize(
    ("fitter", "judge"),
    [
        (WeightFitter, "log_likelihood"),
        (WeightFitter, "scores"),
        (RankingFitter, "log_likelihood"),
        (RankingFitter, "best"),
    ],
)
def test_each_hashtag_is_judged_once_a_penalty_by_weights_that_were_not_fitted_to_it(
    fitter: type[WeightFitter | RankingFitter], judge: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[int] = []
    fit, judgement = fitter.fit, getattr(fitter, judge)

    def fitting(self: Any, chosen: Sequence[int], penalty: float, iterations: int) -> Fitted:
        weights = Fitted(fit(self, chosen, penalty, iterations))
        weights.fitted_to = frozenset(chosen)
        return weights

    def judging(self: Any, weights: Fitted, chosen: int | Sequence[int]) -> Any:
        indices = [chosen] if isinstance(chosen, int) else chosen
        assert weights.fitted_to.isdisjoint(indices)
        judged.extend(indices)
        return judgement(self, weights, chosen)

    monkeypatch.setattr(fitter, "fit", fitting)
    monkeypatch.setattr(fitter, judge, judging)
    train_briefly(made_up_gold(7, 1))
    assert sorted(judged) == sorted([*range(7)] * len(BRIEF.penalties))


def test_words_of_a_hashtags_own_post_are_not_counted_in_training() -> None:
    gold = gold_of("zorple quandix", "fribba glommet", "snarvel plimbo", "drusk wexley")
    by_posts = {"only in posts", "log count in posts"}
    assert by_posts.isdisjoint(train_briefly(gold).weights)
    assert by_posts.issubset(train_briefly(gold, [gold[0].post]).weights)


def test_pairs_of_a_hashtags_own_post_are_not_counted_in_training() -> None:
    gold = gold_of("new day", "red team", "happy music", "monday coffee")
    assert "pair in posts" not in train_briefly(gold).ranking
    assert "pair in posts" in train_briefly(gold, [gold[0].post]).ranking


def test_an_eighth_of_the_words_is_hidden_while_the_gap_model_learns_and_no_short_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hidden: list[str] = []
    learned: list[str] = []

    def listening(hashtags: Sequence[str], lexicon: Lexicon, unknown: Sequence[Collection[str]]) -> Hashtags:
        for hashtag, of_hashtag in zip(hashtags, unknown, strict=True):
            learned.extend(words.get(hashtag, ()))
            hidden.extend(set(words.get(hashtag, ())).intersection(of_hashtag))
        return in_numbers(hashtags, lexicon, unknown)

    monkeypatch.setattr(hashtag_training, "in_numbers", listening)
    gold = made_up_gold(20, 3)
    words = {one.hashtag: one.segmentations[0].split() for one in gold}
    train_briefly(gold)
    long = sum(len(word) >= 4 for word in learned)
    assert 0.06 < len(hidden) / long < 0.2
    assert min(map(len, hidden)) >= 4


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
