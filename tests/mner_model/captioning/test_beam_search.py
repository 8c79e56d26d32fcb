"""Beam search against all sequences there are, against the same search written plainly, and against greed."""

from itertools import product

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from mner_model.captioning.beam_search import Hypothesis, State, beam_search

START, END = 0, 1
VOCABULARY = 5
MAX_WORDS = 3
WIDE_ENOUGH = VOCABULARY**MAX_WORDS
POWERS = st.sampled_from([0.0, 0.7, 1.0])
SEEDS = st.integers(0, 10_000)


class Tree:
    """A made-up model, its distribution another after every beginning; node n's child by word w is n · 5 + w + 1."""

    def __init__(self, seed: int, items: int = 1, sharpness: float = 2.0) -> None:
        nodes = (VOCABULARY ** (MAX_WORDS + 1) - 1) // (VOCABULARY - 1)
        generator = torch.Generator().manual_seed(seed)
        logits = torch.randn(items, nodes, VOCABULARY, generator=generator, dtype=torch.float64) * sharpness
        logits[:, :, START] = float("-inf")
        self.table = logits.log_softmax(dim=2)
        self.state: State = (torch.arange(items), torch.full((items,), -1))

    def step(self, words: Tensor, state: State) -> tuple[Tensor, State]:
        items, nodes = state
        nodes = torch.where(nodes < 0, 0, nodes * VOCABULARY + words + 1)
        return self.table[items, nodes], (items, nodes)

    def search(self, **changes: float) -> list[Hypothesis]:
        settings = {"start": START, "end": END, "beam": 3, "max_words": MAX_WORDS, **changes}
        return beam_search(self.step, self.state, **settings)  # type: ignore[arg-type]

    def log_probability(self, item: int, words: tuple[int, ...]) -> float:
        node, total = 0, 0.0
        for word in (*words, END):
            total += float(self.table[item, node, word])
            node = node * VOCABULARY + word + 1
        return total


@settings(deadline=None, max_examples=20)
@given(seed=SEEDS, power=POWERS)
def test_a_wide_beam_finds_the_best_of_all_sequences(seed: int, power: float) -> None:
    tree = Tree(seed, items=2)
    sayable = range(END + 1, VOCABULARY)
    everything = [words for length in range(MAX_WORDS + 1) for words in product(sayable, repeat=length)]
    for item, found in enumerate(tree.search(beam=WIDE_ENOUGH, length_power=power)):
        scores = {words: tree.log_probability(item, words) / (len(words) + 1) ** power for words in everything}
        assert found.words == max(scores, key=scores.__getitem__)
        assert found.score == pytest.approx(scores[found.words])
        assert found.log_probability == pytest.approx(tree.log_probability(item, found.words))


def plain_search(tree: Tree, item: int, beam: int, power: float) -> tuple[int, ...]:
    """The search as it is told: lists, one item, no early stop."""
    live: list[tuple[float, tuple[int, ...], int]] = [(0.0, (), 0)]
    finished: list[tuple[float, tuple[int, ...]]] = []
    for length in range(MAX_WORDS + 1):
        words = [END] if length == MAX_WORDS else list(range(END, VOCABULARY))
        longer = [
            (total + float(tree.table[item, node, word]), (*before, word), node * VOCABULARY + word + 1)
            for total, before, node in live
            for word in words
        ]
        kept = sorted(longer, reverse=True)[: beam - len(finished)]
        finished += [(total / (length + 1) ** power, said[:-1]) for total, said, _ in kept if said[-1] == END]
        live = [candidate for candidate in kept if candidate[1][-1] != END]
    return max(finished)[1]


@settings(deadline=None, max_examples=40)
@example(seed=983, beam=4, power=0.7, sharpness=2.0)  # a hopeless sequence in the beam decides which others stay
@given(seed=SEEDS, beam=st.integers(1, 8), power=POWERS, sharpness=st.sampled_from([0.3, 2.0, 5.0]))
def test_a_narrow_beam_finds_what_the_plain_search_finds(seed: int, beam: int, power: float, sharpness: float) -> None:
    tree = Tree(seed, items=3, sharpness=sharpness)
    found = [hypothesis.words for hypothesis in tree.search(beam=beam, length_power=power)]
    assert found == [plain_search(tree, item, beam, power) for item in range(3)]


@settings(deadline=None, max_examples=30)
@given(seed=SEEDS)
def test_a_beam_of_one_is_greedy(seed: int) -> None:
    tree = Tree(seed)
    words: list[int] = []
    node = 0
    while len(words) < MAX_WORDS and (best := int(tree.table[0, node].argmax())) != END:
        words.append(best)
        node = node * VOCABULARY + best + 1
    assert tree.search(beam=1)[0].words == tuple(words)


@settings(deadline=None, max_examples=30)
@given(seed=SEEDS, beam=st.integers(1, 6))
def test_an_item_alone_gets_what_it_gets_among_others(seed: int, beam: int) -> None:
    together = Tree(seed, items=4)
    alone = []
    for item in range(4):
        tree = Tree(seed, items=4)
        tree.state = tuple(part[item : item + 1] for part in tree.state)
        alone += tree.search(beam=beam)
    assert together.search(beam=beam) == alone == together.search(beam=beam)


def test_a_higher_length_power_never_prefers_a_shorter_sequence() -> None:
    for seed in range(20):
        lengths = [
            len(Tree(seed).search(beam=WIDE_ENOUGH, length_power=power)[0].words) for power in (0.0, 0.5, 1.0, 2.0)
        ]
        assert lengths == sorted(lengths)


def test_where_all_are_alike_there_is_still_one_answer() -> None:
    tree = Tree(0, items=2, sharpness=0.0)
    tree.table[:, :, START + 1 :] = torch.tensor(0.25).log()
    assert tree.search() == tree.search()


def test_no_item_is_no_answer() -> None:
    tree = Tree(0)
    tree.state = tuple(part[:0] for part in tree.state)
    assert tree.search() == []


def test_a_model_that_never_ends_is_named() -> None:
    tree = Tree(0)
    tree.table[:, :, END] = float("-inf")
    with pytest.raises(ValueError, match="no sequence of at most 3 words can end"):
        tree.search()


@pytest.mark.parametrize("changes", [{"beam": 0}, {"max_words": 0}, {"length_power": -1.0}])
def test_a_setting_out_of_range_is_named(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected beam ≥ 1, max_words ≥ 1, length_power ≥ 0, got"):
        Tree(0).search(**changes)
