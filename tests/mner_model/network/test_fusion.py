import itertools

import pytest
import torch
from torch import Tensor

from mner_model.network.fusion import Concatenation, ModalityAttention, TransformerAttention

SIZES = {"word": 5, "char": 4, "image": 3}


def some_inputs(modalities: tuple[str, ...]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    torch.manual_seed(3)
    inputs = {name: torch.randn(2, 6, SIZES[name]) for name in modalities}
    return inputs, {name: torch.ones(2, dtype=torch.bool) for name in SIZES}


@pytest.mark.parametrize("score", ["sigmoid", "linear"])
def test_attention_is_the_papers_equations_step_by_step(score: str) -> None:
    fusion = ModalityAttention(SIZES, 7, score)  # type: ignore[arg-type]
    inputs, present = some_inputs(tuple(SIZES))
    fused, weights = fusion(inputs, present)
    for row, step in itertools.product(range(2), range(6)):
        transformed = [fusion.transforms[name](inputs[name][row, step]) for name in SIZES]
        a = fusion.attention(torch.cat(transformed))
        alpha = torch.softmax(torch.sigmoid(a) if score == "sigmoid" else a, dim=0)
        expected = sum(weight * x for weight, x in zip(alpha, transformed, strict=True))
        assert torch.allclose(weights[row, step], alpha, atol=1e-6)
        assert torch.allclose(fused[row, step], expected, atol=1e-6)  # type: ignore[arg-type]


def test_transformer_attention_is_the_papers_equations_step_by_step() -> None:
    fusion = TransformerAttention(SIZES, 7)
    inputs, present = some_inputs(tuple(SIZES))
    fused, weights = fusion(inputs, present)
    for row, step in itertools.product(range(2), range(6)):
        f = [fusion.transforms[name](inputs[name][row, step]) for name in SIZES]
        gamma = [torch.exp(fusion.query.weight[0] @ torch.tanh(fusion.key(x))) for x in f]
        expected = sum(g * x for g, x in zip(gamma, f, strict=True)) / sum(gamma)
        assert torch.allclose(weights[row, step], torch.stack(gamma) / sum(gamma), atol=1e-6)
        assert torch.allclose(fused[row, step], expected, atol=1e-6)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [ModalityAttention, TransformerAttention])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_any_subset_of_modalities_shares_all_the_weight(count: int, kind: type[ModalityAttention]) -> None:
    fusion = kind(SIZES, 7)
    for subset in itertools.combinations(SIZES, count):
        _, weights = fusion(*some_inputs(subset))
        missing = [i for i, name in enumerate(SIZES) if name not in subset]
        assert torch.allclose(weights.sum(dim=2), torch.ones(2, 6))
        assert not bool(weights[:, :, missing].any())


@pytest.mark.parametrize("kind", [ModalityAttention, TransformerAttention])
def test_an_image_of_another_post_changes_nothing(kind: type[ModalityAttention]) -> None:
    fusion = kind(SIZES, 7)
    inputs, present = some_inputs(tuple(SIZES))
    present["image"] = torch.tensor([True, False])
    mixed, weights = fusion(inputs, present)
    alone, _ = fusion({n: v[1:] for n, v in inputs.items() if n != "image"}, {n: v[1:] for n, v in present.items()})
    assert torch.allclose(mixed[1:], alone, atol=1e-6)
    assert not bool(weights[1, :, 2].any())


def test_the_papers_sigmoid_keeps_every_weight_in_its_band_and_the_linear_score_does_not() -> None:
    inputs, present = some_inputs(tuple(SIZES))
    extremes = {}
    for score in ("sigmoid", "linear"):
        fusion = ModalityAttention(SIZES, 7, score)  # type: ignore[arg-type]
        with torch.no_grad():
            fusion.attention.weight.zero_()
            fusion.attention.bias.copy_(torch.tensor([50.0, 50.0, -50.0]))
        extremes[score] = float(fusion(inputs, present)[1].detach()[:, :, 2].max())
    assert extremes["sigmoid"] == pytest.approx(0.155, abs=1e-3)
    assert extremes["linear"] < 1e-6


def test_a_post_without_any_modality_is_refused() -> None:
    inputs, present = some_inputs(("image",))
    present["image"] = torch.tensor([True, False])
    with pytest.raises(ValueError, match="at least one of"):
        ModalityAttention(SIZES, 7)(inputs, present)


def test_an_unknown_modality_is_named() -> None:
    with pytest.raises(ValueError, match="sound"):
        ModalityAttention(SIZES, 7)({"sound": torch.zeros(1, 1, 1)}, {})


def test_concatenation_puts_zeros_where_a_modality_is_missing() -> None:
    inputs, present = some_inputs(("word", "image"))
    present["image"] = torch.tensor([True, False])
    fused, weights = Concatenation(SIZES)(inputs, present)
    assert weights is None
    assert torch.equal(fused[0], torch.cat([inputs["word"][0], torch.zeros(6, 4), inputs["image"][0]], dim=1))
    assert not bool(fused[1, :, 5:].any())
