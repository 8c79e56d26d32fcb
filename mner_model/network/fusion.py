"""How the modalities of a token become one vector.

Each fusion takes a mapping modality → [batch, tokens, dimension] and which posts have it, and gives
[batch, tokens, fused] with the weights it used. It works with any subset of the modalities it was made
for: one that is missing, for the whole batch or for a post, takes no part.
"""

from collections.abc import Collection, Mapping
from typing import Literal

import torch
from torch import Tensor, nn


class Concatenation(nn.Module):
    """All modalities side by side, a missing one as zeros. Gives no weights."""

    def __init__(self, dimensions: Mapping[str, int]) -> None:
        super().__init__()
        self.dimensions = dict(dimensions)
        self.dimension = sum(dimensions.values())

    def forward(self, inputs: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> tuple[Tensor, Tensor | None]:
        """Modality → [batch, tokens, its dimension] and modality → bool [batch]; returns [batch, tokens, sum], None."""
        like = next(iter(inputs.values()))
        parts = []
        for modality, dimension in self.dimensions.items():
            if modality in inputs:
                parts.append(inputs[modality] * present[modality].view(-1, 1, 1))
            else:
                parts.append(like.new_zeros(*like.shape[:2], dimension))
        return torch.cat(parts, dim=2), None


class ModalityAttention(nn.Module):
    """One weight per modality and token (Moon et al. 2018, section 3.2).

    Each modality is brought to `dimension` by a transform layer, then
    a = score(W_m·[x_w; x_c; x_v] + b_m), α = softmax(a), x = Σ α_m·x_m.

    score "sigmoid" is the paper's; over three modalities it keeps every weight within [0.155, 0.576], so a
    useless image cannot be switched off. "linear" leaves the sigmoid out, and can.
    """

    def __init__(
        self, dimensions: Mapping[str, int], dimension: int, score: Literal["sigmoid", "linear"] = "sigmoid"
    ) -> None:
        super().__init__()
        self.dimensions = dict(dimensions)
        self.dimension = dimension
        self.score = score
        self.transforms = nn.ModuleDict({name: nn.Linear(size, dimension) for name, size in dimensions.items()})
        self.attention = nn.Linear(dimension * len(dimensions), len(dimensions))

    def forward(self, inputs: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Modality → [batch, tokens, its dimension] and modality → bool [batch].

        returns  fused [batch, tokens, dimension] and weights [batch, tokens, modalities], which sum to 1
                 over the modalities that a post has; a missing one weighs 0
        Raises ValueError if a post has none, or a modality is unknown.
        """
        here = _present(self.dimensions, inputs, present)
        like = next(iter(inputs.values()))
        missing = like.new_zeros(*like.shape[:2], self.dimension)
        vectors = [
            self.transforms[name](inputs[name]) * here[:, position].view(-1, 1, 1) if name in inputs else missing
            for position, name in enumerate(self.dimensions)
        ]
        scores = self.attention(torch.cat(vectors, dim=2))
        if self.score == "sigmoid":
            scores = torch.sigmoid(scores)
        weights = scores.masked_fill(~here.unsqueeze(1), float("-inf")).softmax(dim=2)
        fused = (torch.stack(vectors, dim=3) * weights.unsqueeze(2)).sum(dim=3)
        return fused, weights


class TransformerAttention(nn.Module):
    """One score per modality and token by a shared query (TriMod 2024, eq. 11-12).

    Each modality is brought to `dimension` by a transform layer, giving f; then f' = W₂·f + b, γ = exp(uᵀ·tanh(f')),
    f_s = Σ γ·f / Σ γ. A modality can be switched off: nothing bounds its score from below.
    """

    def __init__(self, dimensions: Mapping[str, int], dimension: int) -> None:
        super().__init__()
        self.dimensions = dict(dimensions)
        self.dimension = dimension
        self.transforms = nn.ModuleDict({name: nn.Linear(size, dimension) for name, size in dimensions.items()})
        self.key = nn.Linear(dimension, dimension)
        self.query = nn.Linear(dimension, 1, bias=False)

    def forward(self, inputs: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """As `ModalityAttention.forward`."""
        here = _present(self.dimensions, inputs, present)
        like = next(iter(inputs.values()))
        missing = like.new_zeros(*like.shape[:2], self.dimension)
        vectors = torch.stack(
            [self.transforms[name](inputs[name]) if name in inputs else missing for name in self.dimensions], dim=2
        )
        scores = self.query(torch.tanh(self.key(vectors))).squeeze(3)
        weights = scores.masked_fill(~here.unsqueeze(1), float("-inf")).softmax(dim=2)
        return (vectors * weights.unsqueeze(3)).sum(dim=2), weights


def _present(modalities: Collection[str], inputs: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> Tensor:
    """Which posts have which modality, bool [batch, modalities]; raises ValueError for a post that has none."""
    unknown = set(inputs) - set(modalities)
    if unknown or not inputs:
        raise ValueError(f"expected some of the modalities {tuple(modalities)}, got {tuple(inputs)}")
    like = next(iter(inputs.values()))
    absent = torch.zeros(like.shape[0], dtype=torch.bool, device=like.device)
    here = torch.stack([present[name] if name in inputs else absent for name in modalities], dim=1)
    if not bool(here.any(dim=1).all()):
        raise ValueError(f"expected every post to have at least one of {tuple(modalities)}")
    return here
