"""The CRF against every path there is."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mner_model.network.crf import CRF
from mner_model.text.labels import Span, TagSet, spans_strict

TYPES = ("PER", "LOC")
TAGSET = TagSet(TYPES)


def make_crf(seed: int) -> CRF:
    torch.manual_seed(seed)
    crf = CRF(TAGSET).double()
    with torch.no_grad():
        for parameter in crf.parameters():
            parameter.uniform_(-2, 2)
    return crf


def allowed(path: tuple[int, ...]) -> bool:
    tags = [TAGSET.tags[i] for i in path]
    return all(TAGSET.may_follow(a, b) for a, b in zip([None, *tags], tags, strict=False))


def paths_with_scores(crf: CRF, emissions: Tensor) -> dict[tuple[int, ...], float]:
    """Score of every path that BIO allows, straight from the definition."""
    scores = {}
    for path in itertools.product(range(len(TAGSET)), repeat=len(emissions)):
        if allowed(path):
            score = crf.start[path[0]] + crf.end[path[-1]]
            score = score + sum(emissions[t, tag] for t, tag in enumerate(path))
            score = score + sum(crf.transitions[a, b] for a, b in itertools.pairwise(path))
            scores[path] = float(score.detach())
    return scores


def log_sum(scores: list[float]) -> float:
    top = max(scores)
    return top + math.log(sum(math.exp(score - top) for score in scores))


@st.composite
def batches(draw: st.DrawFn) -> tuple[CRF, Tensor, Tensor]:
    lengths = draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    seed = draw(st.integers(0, 10_000))
    crf = make_crf(seed)
    emissions = torch.randn(len(lengths), max(lengths), len(TAGSET), dtype=torch.float64) * 3
    mask = torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
    return crf, emissions, mask


@settings(max_examples=25, deadline=None)
@given(batches())
def test_likelihood_is_a_paths_share_of_all_paths(batch: tuple[CRF, Tensor, Tensor]) -> None:
    crf, emissions, mask = batch
    tags = torch.zeros(mask.shape, dtype=torch.int64)
    expected = []
    for row, length in enumerate(mask.sum(1).tolist()):
        scores = paths_with_scores(crf, emissions[row, :length])
        path = list(scores)[row % len(scores)]
        tags[row, :length] = torch.tensor(path)
        expected.append(scores[path] - log_sum(list(scores.values())))
    found = crf.log_likelihood(emissions, mask, tags).detach()
    assert found.tolist() == pytest.approx(expected, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(batches())
def test_viterbi_finds_the_best_of_all_paths(batch: tuple[CRF, Tensor, Tensor]) -> None:
    crf, emissions, mask = batch
    for row, (path, length) in enumerate(zip(crf.best_path(emissions, mask), mask.sum(1).tolist(), strict=True)):
        scores = paths_with_scores(crf, emissions[row, :length])
        assert scores[tuple(path)] == pytest.approx(max(scores.values()), abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(batches())
def test_marginals_are_the_share_of_paths_through_each_tag(batch: tuple[CRF, Tensor, Tensor]) -> None:
    crf, emissions, mask = batch
    found = crf.marginals(emissions, mask)
    for row, length in enumerate(mask.sum(1).tolist()):
        scores = paths_with_scores(crf, emissions[row, :length])
        total = log_sum(list(scores.values()))
        expected = torch.zeros(mask.shape[1], len(TAGSET), dtype=torch.float64)
        for path, score in scores.items():
            for t, tag in enumerate(path):
                expected[t, tag] += math.exp(score - total)
        assert torch.allclose(found[row], expected, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(batches())
def test_move_marginals_are_the_share_of_paths_with_each_move(batch: tuple[CRF, Tensor, Tensor]) -> None:
    crf, emissions, mask = batch
    found = crf.move_marginals(emissions, mask)
    for row, length in enumerate(mask.sum(1).tolist()):
        scores = paths_with_scores(crf, emissions[row, :length])
        total = log_sum(list(scores.values()))
        expected = torch.zeros(mask.shape[1] - 1, len(TAGSET), len(TAGSET), dtype=torch.float64)
        for path, score in scores.items():
            for t, move in enumerate(itertools.pairwise(path)):
                expected[(t, *move)] += math.exp(score - total)
        assert torch.allclose(found[row], expected, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(batches(), st.integers(0, 10_000))
def test_cross_entropy_is_that_over_all_paths(batch: tuple[CRF, Tensor, Tensor], seed: int) -> None:
    crf, emissions, mask = batch
    teacher = make_crf(seed)
    beliefs = torch.randn(emissions.shape, dtype=torch.float64) * 3
    found = crf.cross_entropy(
        emissions, mask, teacher.marginals(beliefs, mask), teacher.move_marginals(beliefs, mask)
    ).detach()
    for row, length in enumerate(mask.sum(1).tolist()):
        scores = paths_with_scores(crf, emissions[row, :length])
        believed = paths_with_scores(teacher, beliefs[row, :length])
        total, teachers_total = log_sum(list(scores.values())), log_sum(list(believed.values()))
        expected = sum(math.exp(believed[path] - teachers_total) * (total - scores[path]) for path in scores)
        assert float(found[row]) == pytest.approx(expected, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(batches())
def test_a_spans_marginal_is_the_share_of_paths_that_hold_exactly_it(batch: tuple[CRF, Tensor, Tensor]) -> None:
    crf, emissions, mask = batch
    lengths = mask.sum(1).tolist()
    spans = [
        [Span(a, b, type_) for a in range(length) for b in range(a + 1, length + 1) for type_ in TYPES]
        for length in lengths
    ]
    found = crf.span_marginals(emissions, mask, spans)
    for row, length in enumerate(lengths):
        scores = paths_with_scores(crf, emissions[row, :length])
        total = log_sum(list(scores.values()))
        for span, marginal in zip(spans[row], found[row], strict=True):
            share = sum(
                math.exp(score - total)
                for path, score in scores.items()
                if span in spans_strict([TAGSET.tags[i] for i in path])
            )
            assert marginal == pytest.approx(share, abs=1e-6)


def test_a_long_posts_marginals_are_those_of_double_precision() -> None:
    crf, tokens = make_crf(3), 4_000
    emissions = torch.randn(1, tokens, len(TAGSET), dtype=torch.float64) * 3
    mask = torch.ones(1, tokens, dtype=torch.bool)
    spans = [[Span(start, start + 2, "LOC") for start in range(0, tokens - 2, 400)]]
    [exact] = crf.span_marginals(emissions, mask, spans)
    [single] = crf.float().span_marginals(emissions.float(), mask, spans)
    assert single == pytest.approx(exact, abs=1e-4)


def test_cross_entropy_is_not_rounded_under_autocast() -> None:
    torch.manual_seed(4)
    crf = CRF(TAGSET)
    emissions, mask = torch.randn(2, 5, len(TAGSET)), torch.ones(2, 5, dtype=torch.bool)
    beliefs = crf.marginals(emissions, mask).detach(), crf.move_marginals(emissions, mask).detach()
    exact = crf.cross_entropy(emissions, mask, *beliefs)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(crf.cross_entropy(emissions, mask, *beliefs), exact)


def test_padding_changes_nothing() -> None:
    crf = make_crf(1)
    emissions = torch.randn(1, 3, len(TAGSET), dtype=torch.float64)
    mask = torch.ones(1, 3, dtype=torch.bool)
    padded = torch.cat([emissions, torch.full((1, 4, len(TAGSET)), 99.0, dtype=torch.float64)], dim=1)
    padded_mask = torch.cat([mask, torch.zeros(1, 4, dtype=torch.bool)], dim=1)
    span = [[Span(1, 3, "PER")]]
    assert crf.best_path(emissions, mask) == crf.best_path(padded, padded_mask)
    assert torch.allclose(crf.marginals(emissions, mask), crf.marginals(padded, padded_mask)[:, :3])
    marginals = [crf.span_marginals(*padding, span)[0] for padding in ((emissions, mask), (padded, padded_mask))]
    assert marginals[0] == pytest.approx(marginals[1])


def test_gradients_agree_with_finite_differences() -> None:
    crf = make_crf(2)
    emissions = torch.randn(2, 3, len(TAGSET), dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True, True, True], [True, True, False]])
    tags = torch.tensor([[1, 2, 0], [0, 3, 0]])
    assert torch.autograd.gradcheck(lambda e: crf.log_likelihood(e, mask, tags), emissions)


def test_a_wrong_number_of_tags_is_named() -> None:
    with pytest.raises(ValueError, match=r"expected emissions \[batch, tokens, 5\].* got \[1, 2, 7\]"):
        make_crf(0).marginals(torch.zeros(1, 2, 7), torch.ones(1, 2, dtype=torch.bool))


def test_a_post_without_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one token"):
        make_crf(0).best_path(torch.zeros(1, 2, len(TAGSET)), torch.zeros(1, 2, dtype=torch.bool))


@pytest.mark.parametrize(
    ("tags", "moves", "message"),
    [
        ((1, 3, 5), (2, 2, 5, 5), r"expected tags of the shape \[2, 3, 5\], got \[1, 3, 5\]"),
        ((2, 3, 5), (1, 2, 5, 5), r"expected moves of the shape \[2, 2, 5, 5\], got \[1, 2, 5, 5\]"),
    ],
)
def test_targets_of_other_posts_are_refused_and_not_broadcast(
    tags: tuple[int, ...], moves: tuple[int, ...], message: str
) -> None:
    mask = torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match=message):
        make_crf(0).cross_entropy(torch.zeros(2, 3, 5), mask, torch.zeros(tags), torch.zeros(moves))


def test_gold_of_another_length_is_refused() -> None:
    mask = torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"expected tags of the shape \[2, 3\], got \[2, 4\]"):
        make_crf(0).log_likelihood(torch.zeros(2, 3, 5), mask, torch.zeros(2, 4, dtype=torch.int64))


def test_padding_between_tokens_is_refused() -> None:
    mask = torch.tensor([[True, True, True], [True, False, True]])
    with pytest.raises(ValueError, match="expected a left-aligned mask"):
        make_crf(0).best_path(torch.zeros(2, 3, 5), mask)


# Gold that leaves something open


@pytest.mark.parametrize("seed", range(5))
def test_the_likelihood_of_what_is_left_open_is_the_sum_over_its_paths(seed: int) -> None:
    torch.manual_seed(seed)
    crf, tokens = CRF(TagSet(("PER", "LOC"))), 4
    size = len(crf.tagset)
    emissions = torch.randn(1, tokens, size, dtype=torch.float64)
    mask = torch.ones(1, tokens, dtype=torch.bool)
    allowed = torch.rand(1, tokens, size) < 0.6
    allowed[..., 0] = True
    paths = itertools.product(*(row.nonzero().flatten().tolist() for row in allowed[0]))
    each = [crf.log_likelihood(emissions, mask, torch.tensor([path])) for path in paths]
    expected = torch.stack(each).logsumexp(dim=0)
    assert torch.allclose(crf.log_likelihood_of_any(emissions, mask, allowed), expected, atol=1e-9)


def test_a_gold_that_leaves_one_tag_open_is_the_gold() -> None:
    torch.manual_seed(0)
    crf = CRF(TagSet(("PER", "LOC")))
    emissions = torch.randn(2, 3, 5)
    mask = torch.tensor([[True, True, True], [True, True, False]])
    tags = torch.tensor([[0, 1, 2], [3, 4, 0]])
    allowed = torch.nn.functional.one_hot(tags, 5).bool()
    found = crf.log_likelihood_of_any(emissions, mask, allowed)
    assert torch.allclose(found, crf.log_likelihood(emissions, mask, tags), atol=1e-5)
