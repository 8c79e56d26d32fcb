"""The weights that choose among a hashtag's best segmentations: log-linear, fitted to gold.

A segmentation's probability is its score's share among those on the hashtag's short list; where several are gold, the
sum of theirs is raised. L-BFGS on the whole set, with a Gaussian prior on the weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mner_model.segmenter.weights import IMPOSSIBLE, fitted


@dataclass(frozen=True)
class ShortList:
    """The features of a hashtag's best segmentations, and which of these are gold."""

    features: tuple[Sequence[tuple[str, float]], ...]
    gold: tuple[bool, ...]


class RankingFitter:
    """Holds short lists as numbers, to fit weights to some of them again and again."""

    def __init__(self, lists: Sequence[ShortList]) -> None:
        self.names = sorted({name for one in lists for features in one.features for name, _ in features})
        column = {name: index for index, name in enumerate(self.names)}
        size = (len(lists), max(len(one.features) for one in lists))
        self._values = torch.zeros(*size, len(self.names))
        self._there = torch.full(size, IMPOSSIBLE)
        self._gold = torch.full(size, IMPOSSIBLE)
        for row, one in enumerate(lists):
            for place, (features, gold) in enumerate(zip(one.features, one.gold, strict=True)):
                self._there[row, place] = 0.0
                self._gold[row, place] = 0.0 if gold else IMPOSSIBLE
                for name, value in features:
                    self._values[row, place, column[name]] += value

    def fit(self, chosen: Sequence[int], penalty: float, iterations: int) -> dict[str, float]:
        """Weights by feature name that make the gold of the chosen lists most probable.

        penalty  times the sum of squared weights is taken off the log-likelihood
        """
        weights = fitted(len(self.names), lambda weights: self._log_likelihood(weights, chosen), penalty, iterations)
        return dict(zip(self.names, weights.tolist(), strict=True))

    def log_likelihood(self, weights: dict[str, float], chosen: Sequence[int]) -> float:
        """Log-probability of the gold of the chosen lists, summed; a list without any has no say."""
        return float(self._log_likelihood(self._column(weights), chosen))

    def best(self, weights: dict[str, float], index: int) -> int:
        """The place of the segmentation that scores highest in one list; the first of equals."""
        return int((self._values[index] @ self._column(weights) + self._there[index]).argmax())

    def _column(self, weights: dict[str, float]) -> Tensor:
        return torch.tensor([weights.get(name, 0.0) for name in self.names])

    def _log_likelihood(self, weights: Tensor, chosen: Sequence[int]) -> Tensor:
        rows = torch.tensor([index for index in chosen if self._gold[index].max() == 0.0], dtype=torch.long)
        scores = self._values[rows] @ weights
        gold = torch.logsumexp(scores + self._gold[rows], dim=1)
        return (gold - torch.logsumexp(scores + self._there[rows], dim=1)).sum()
