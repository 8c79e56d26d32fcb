import itertools

import numpy as np
import pytest
import torch

from mner_model.network.crf import CRF
from mner_model.network.soft_targets import SoftTargets, any_path, believed, collate_soft_targets
from mner_model.text.labels import TagSet
from mner_model.text.tokenizer import Bound

TAGSET = TagSet(("PER", "LOC"))
SIZE = len(TAGSET)


def test_certain_targets_make_the_cross_entropy_the_likelihood() -> None:
    torch.manual_seed(0)
    crf = CRF(TAGSET)
    emissions = torch.randn(2, 3, SIZE)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    tags = np.array([[0, 1, 2], [3, 0, 0]])
    soft = collate_soft_targets([SoftTargets.certain(tags[0], SIZE), SoftTargets.certain(tags[1, :1], SIZE)], 3)
    found = crf.cross_entropy(emissions, mask, soft.tags, soft.moves)
    expected = -crf.log_likelihood(emissions, mask, torch.from_numpy(tags))
    assert torch.allclose(found, expected, atol=1e-5)


def test_any_path_spreads_itself_over_every_sound_path_alike() -> None:
    sound = [
        path
        for path in itertools.product(range(SIZE), repeat=3)
        if all(
            TAGSET.may_follow(a, b)
            for a, b in itertools.pairwise([None, *(TAGSET.tags[i] for i in path)])
            if b is not None
        )
    ]
    found = any_path(TAGSET, (0, 0, 0))
    for t, tag in itertools.product(range(3), range(SIZE)):
        assert found.tags[t, tag] == pytest.approx(sum(path[t] == tag for path in sound) / len(sound), abs=1e-3)
    assert found.moves.sum(axis=(1, 2)) == pytest.approx(1, abs=2e-3)


def test_any_path_keeps_within_the_bounds_of_the_text() -> None:
    found = any_path(TAGSET, (Bound.NONE, Bound.BEFORE, Bound.APART))
    inside = [TAGSET.index(tag) for tag in ("I-PER", "I-LOC")]
    assert found.tags[1, inside].tolist() == [0, 0]
    assert found.tags[1].sum() == pytest.approx(1, abs=1e-3)
    assert found.tags[2].tolist() == [1, 0, 0, 0, 0]


def test_a_mixture_has_the_shares_of_its_parts() -> None:
    first, second = (SoftTargets.certain(np.array(tags), SIZE) for tags in ([0, 0], [0, 1]))
    mixed = SoftTargets.mixed([(0.25, first), (0.75, second)])
    assert mixed.tags[1].tolist() == [0.25, 0.75, 0, 0, 0]
    assert mixed.moves[0, 0].tolist() == [0.25, 0.75, 0, 0, 0]


def test_beliefs_of_a_long_post_are_distributions_too() -> None:
    torch.manual_seed(0)
    crf, tokens = CRF(TAGSET), 3000
    [belief] = believed(crf, 20 * torch.randn(1, tokens, SIZE), torch.ones(1, tokens, dtype=torch.bool))
    assert belief.tags.astype(np.float64).sum(axis=1) == pytest.approx(np.ones(tokens), abs=1e-3)
    assert belief.moves.astype(np.float64).sum(axis=(1, 2)) == pytest.approx(np.ones(tokens - 1), abs=1e-3)


def test_a_belief_is_the_crfs_own_marginals_without_padding() -> None:
    torch.manual_seed(1)
    crf = CRF(TAGSET)
    emissions = torch.randn(2, 3, SIZE)
    mask = torch.tensor([[True, True, True], [True, True, False]])
    beliefs = believed(crf, emissions, mask)
    assert [belief.tags.shape[0] for belief in beliefs] == [3, 2]
    [alone] = believed(crf, emissions[1:, :2], mask[1:, :2])
    assert np.allclose(beliefs[1].moves, alone.moves, atol=1e-3)
    assert np.allclose(beliefs[0].tags, crf.marginals(emissions, mask)[0].detach(), atol=1e-3)
