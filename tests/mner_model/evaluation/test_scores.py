"""F1 against seqeval, which counts as conlleval does by default and by IOB2 in its strict mode."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mner_model.data.examples import judged_tags
from mner_model.evaluation.scores import Evaluation, evaluate, f1_interval
from mner_model.text.labels import ENTITY_TYPES, TagSet

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from seqeval.metrics import f1_score, precision_score, recall_score
    from seqeval.scheme import IOB2

TAG = st.sampled_from(TagSet().tags)
POST = st.integers(1, 8).flatmap(
    lambda n: st.tuples(st.lists(TAG, min_size=n, max_size=n), st.lists(TAG, min_size=n, max_size=n))
)
CORPUS = st.lists(POST, min_size=1, max_size=5)
Tags = Sequence[Sequence[str]]


def scores(gold: Tags, predicted: Tags, words: Tags | None = None, **options: Any) -> Evaluation:
    return evaluate(map(judged_tags, words or gold, gold, predicted), ENTITY_TYPES, **options)


def interval(gold: Tags, predicted: Tags, **options: int) -> tuple[float, float]:
    return f1_interval(map(judged_tags, gold, gold, predicted), **options)


@settings(deadline=None)
@given(CORPUS)
def test_lenient_scores_are_seqevals(corpus: list[tuple[list[str], list[str]]]) -> None:
    gold, predicted = [list(side) for side in zip(*corpus, strict=True)]
    found = scores(gold, predicted).lenient
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert found.precision == pytest.approx(precision_score(gold, predicted, zero_division=0))
        assert found.recall == pytest.approx(recall_score(gold, predicted, zero_division=0))
        assert found.f1 == pytest.approx(f1_score(gold, predicted, zero_division=0))


@settings(deadline=None)
@given(CORPUS)
def test_strict_scores_are_seqevals_in_iob2(corpus: list[tuple[list[str], list[str]]]) -> None:
    gold, predicted = [list(side) for side in zip(*corpus, strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = f1_score(gold, predicted, mode="strict", scheme=IOB2, zero_division=0)
        except ValueError:  # seqeval refuses a corpus without any entity in its strict mode
            expected = 0.0
    assert scores(gold, predicted).strict.f1 == pytest.approx(expected)


def test_a_right_place_with_a_wrong_type_counts_for_segmentation_alone() -> None:
    result = scores([["B-LOC"]], [["B-PER"]])
    assert (result.lenient.f1, result.segmentation.f1) == (0.0, 1.0)
    assert (result.per_type["LOC"].gold, result.per_type["PER"].predicted) == (1, 1)


def test_mentions_are_split_into_seen_and_unseen() -> None:
    words = [["Rio", "and", "Oslo"]]
    gold = [["B-LOC", "O", "B-LOC"]]
    result = scores(gold, [["B-LOC", "O", "O"]], words, is_seen=lambda surface, _: surface == "rio")
    assert (result.seen.recall, result.unseen.recall) == (1.0, 0.0)
    assert (result.seen.gold, result.unseen.gold) == (1, 1)


def test_a_missing_tag_is_refused() -> None:
    with pytest.raises(ValueError, match="2 words, 2 gold and 1 predicted"):
        judged_tags(["a", "b"], ["O", "O"], ["O"])


# How sure a figure is


def test_the_interval_holds_the_f1_and_narrows_with_more_posts() -> None:
    gold = [("B-PER", "O"), ("B-LOC", "O"), ("O", "B-ORG"), ("O", "O")]
    predicted = [("B-PER", "O"), ("B-ORG", "O"), ("O", "B-ORG"), ("B-PER", "O")]
    low, high = interval(gold * 10, predicted * 10)
    closer_low, closer_high = interval(gold * 160, predicted * 160)
    assert low < 4 / 7 < high
    assert closer_low < 4 / 7 < closer_high
    assert 3.0 < (high - low) / (closer_high - closer_low) < 5.0, "by the square root of sixteen"


def test_the_interval_is_that_of_the_bootstrap_written_out() -> None:
    gold = [("B-PER", "O"), ("B-LOC", "B-LOC"), ("O", "B-ORG")]
    predicted = [("B-PER", "O"), ("B-ORG", "B-LOC"), ("O", "O")]
    drawn, f1 = np.random.default_rng(3), []
    for _ in range(50):
        rows = drawn.integers(3, size=3)
        f1.append(scores([gold[i] for i in rows], [predicted[i] for i in rows]).lenient.f1)
    assert interval(gold, predicted, samples=50, seed=3) == pytest.approx(tuple(np.quantile(f1, (0.025, 0.975))))


def test_what_is_always_right_and_what_is_never_there_leave_no_doubt() -> None:
    gold = [("B-PER", "O")] * 5
    assert interval(gold, gold) == (1.0, 1.0)
    assert interval([("O",)] * 5, [("O",)] * 5) == (0.0, 0.0)
