"""The choice among the best against its definition: gold's share of the short list."""

import itertools
import math
import random

import pytest

from mner_model.segmenter.ranking import RankingFitter, ShortList

NAMES = ("one", "two")


def random_lists(seed: int, count: int) -> list[ShortList]:
    generator = random.Random(seed)
    lists = []
    for _ in range(count):
        size = generator.randint(2, 5)
        features = tuple([(name, generator.uniform(-1, 1)) for name in NAMES] for _ in range(size))
        gold = tuple(place == size - 1 or generator.random() < 0.3 for place in range(size))
        lists.append(ShortList(features, gold))
    return lists


def test_likelihood_is_golds_share_of_the_short_list() -> None:
    lists, weights = random_lists(1, 6), {"one": 0.7, "two": -1.3}
    expected = 0.0
    for one in lists:
        shares = [math.exp(sum(weights[name] * value for name, value in features)) for features in one.features]
        expected += math.log(sum(itertools.compress(shares, one.gold)) / sum(shares))
    assert RankingFitter(lists).log_likelihood(weights, range(6)) == pytest.approx(expected, abs=1e-4)


def test_no_weights_near_the_fitted_ones_are_better() -> None:
    fitter, chosen, penalty = RankingFitter(random_lists(2, 20)), range(20), 0.5

    def objective(weights: dict[str, float]) -> float:
        return fitter.log_likelihood(weights, chosen) - penalty * sum(weight**2 for weight in weights.values())

    fitted = fitter.fit(chosen, penalty, iterations=100)
    for name, step in itertools.product(NAMES, (-0.05, 0.05)):
        assert objective({**fitted, name: fitted[name] + step}) < objective(fitted) + 1e-4


def test_a_list_without_gold_has_no_say() -> None:
    usual = random_lists(3, 8)
    blind = ShortList(([("one", 5.0)], [("two", 5.0)]), (False, False))
    without, with_it = RankingFitter(usual), RankingFitter([*usual, blind])
    assert with_it.fit(range(9), 0.5, 50) == pytest.approx(without.fit(range(8), 0.5, 50), abs=1e-4)


def test_the_best_is_the_one_whose_weighed_features_sum_highest() -> None:
    lists = [ShortList(([("one", 1.0)], [("one", 1.0), ("one", 1.5)], [("two", 1.0)]), (True, False, False))]
    lists += [ShortList(([("one", -1.0)],), (True,))]
    fitter = RankingFitter(lists)
    assert fitter.best({"one": 1.0, "two": 2.0}, 0) == 1
    assert fitter.best({"one": 1.0}, 1) == 0
