"""The random field against the sum over all segmentations, straight from the definition."""

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mner_model.segmenter.weights import Lattice, WeightFitter

NAMES = ("one", "two", "three")


def random_lattice(generator: random.Random, length: int) -> Lattice:
    candidates = tuple((start, end) for end in range(1, length + 1) for start in range(end))
    features = tuple([(name, generator.uniform(-1, 1)) for name in NAMES] for _ in candidates)
    gold = {tuple(at for at in range(1, length) if generator.random() < 0.5) for _ in range(2)}
    return Lattice(length, candidates, features, tuple(sorted(gold)))


def share_of_gold(lattice: Lattice, weights: dict[str, float]) -> float:
    """Log-probability of the gold segmentations, by adding up every one there is."""
    score = {
        candidate: sum(weights[name] * value for name, value in features)
        for candidate, features in zip(lattice.candidates, lattice.features, strict=True)
    }
    total, gold = 0.0, 0.0
    for marks in itertools.product((False, True), repeat=lattice.length - 1):
        cuts = tuple(at for at, mark in enumerate(marks, start=1) if mark)
        share = math.exp(sum(score[word] for word in itertools.pairwise((0, *cuts, lattice.length))))
        total += share
        gold += share if cuts in lattice.gold else 0.0
    return math.log(gold / total)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), lengths=st.lists(st.integers(1, 7), min_size=1, max_size=5))
def test_likelihood_is_golds_share_of_all_segmentations(seed: int, lengths: list[int]) -> None:
    generator = random.Random(seed)
    lattices = [random_lattice(generator, length) for length in lengths]
    weights = {name: generator.uniform(-2, 2) for name in NAMES}
    found = WeightFitter(lattices).log_likelihood(weights, range(len(lattices)))
    assert found == pytest.approx(sum(share_of_gold(lattice, weights) for lattice in lattices), abs=1e-4)


def test_no_weights_near_the_fitted_ones_are_better() -> None:
    generator = random.Random(1)
    fitter = WeightFitter([random_lattice(generator, 6) for _ in range(12)])
    chosen, penalty = range(12), 0.5

    def objective(weights: dict[str, float]) -> float:
        return fitter.log_likelihood(weights, chosen) - penalty * sum(weight**2 for weight in weights.values())

    fitted = fitter.fit(chosen, penalty, iterations=100)
    for name, step in itertools.product(NAMES, (-0.05, 0.05)):
        assert objective({**fitted, name: fitted[name] + step}) < objective(fitted) + 1e-4


def test_gold_that_no_candidates_make_has_no_say() -> None:
    generator = random.Random(2)
    usual = [random_lattice(generator, 5) for _ in range(4)]
    blind = Lattice(3, ((0, 3),), ([("one", 5.0)],), ((1,),))
    without, with_it = WeightFitter(usual), WeightFitter([*usual, blind])
    assert with_it.fit(range(5), 0.5, 50) == pytest.approx(without.fit(range(4), 0.5, 50), abs=1e-4)


def test_scores_are_weights_times_features() -> None:
    lattice = random_lattice(random.Random(3), 4)
    scores = WeightFitter([lattice]).scores({"two": 2.0}, 0)
    expected = [2.0 * dict(features)["two"] for features in lattice.features]
    assert list(scores) == list(lattice.candidates)
    assert list(scores.values()) == pytest.approx(expected, abs=1e-6)


def test_a_feature_that_a_word_has_twice_is_added_up() -> None:
    twice = Lattice(1, ((0, 1),), ([("one", 1.0), ("two", 0.5), ("one", 2.0)],), ((),))
    assert WeightFitter([twice]).scores({"one": 1.0, "two": 4.0}, 0) == {(0, 1): 5.0}
