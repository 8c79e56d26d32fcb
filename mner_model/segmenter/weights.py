"""The weights of the word and gap features: a semi-Markov conditional random field, fitted to gold segmentations.

Sarawagi and Cohen 2004: the probability of a segmentation is its score's share among all segmentations. Where people
gave several, the sum of theirs is raised. L-BFGS on the whole set, with a Gaussian prior on the weights.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mner_model.segmenter.data import Cuts
from mner_model.segmenter.hashtags import Candidate

IMPOSSIBLE = -10_000.0
_PADDING_SHARE = 1.3


@dataclass(frozen=True)
class Lattice:
    """All words that a hashtag may hold, with their features, and the segmentations that count as right."""

    length: int
    candidates: tuple[Candidate, ...]
    features: tuple[Sequence[tuple[str, float]], ...]
    gold: tuple[Cuts, ...]

    @property
    def paths(self) -> list[list[Candidate]]:
        """The words of each gold segmentation that can be made of the candidates."""
        words = (list(zip((0, *cuts), (*cuts, self.length), strict=True)) for cuts in self.gold)
        candidates = set(self.candidates)
        return [path for path in words if candidates.issuperset(path)]


@dataclass(frozen=True)
class _Bucket:
    """Lattices of like length, padded.

    cells   int64 [words]     where each word's score goes in [hashtags, characters, characters + 1], by start and end
    gold    int64 [words]     rows of the gold segmentations' words, one after the other
    path_of int64 [words]     which segmentation each of them belongs to
    owner   int64 [paths]     which hashtag each segmentation belongs to
    """

    rows: Tensor
    cells: Tensor
    lengths: Tensor
    gold: Tensor
    path_of: Tensor
    owner: Tensor


class WeightFitter:
    """Holds lattices as numbers, to fit weights to some of them again and again."""

    def __init__(self, lattices: Sequence[Lattice]) -> None:
        self.names = sorted({name for lattice in lattices for features in lattice.features for name, _ in features})
        column = {name: index for index, name in enumerate(self.names)}
        sizes = [len(lattice.candidates) for lattice in lattices]
        self._lattices = lattices
        self._offsets = np.cumsum([0, *sizes])
        matrix = np.zeros((sum(sizes), len(self.names)), dtype=np.float32)
        every = (features for lattice in lattices for features in lattice.features)
        for row, features in enumerate(every):
            for name, value in features:
                matrix[row, column[name]] += value
        self._matrix = torch.from_numpy(matrix)

    def fit(self, chosen: Sequence[int], penalty: float, iterations: int) -> dict[str, float]:
        """Weights by feature name that make the gold of the chosen lattices most probable.

        penalty  times the sum of squared weights is taken off the log-likelihood
        """
        buckets = list(self._buckets(chosen))
        weights = fitted(len(self.names), lambda weights: self._log_likelihood(weights, buckets), penalty, iterations)
        return dict(zip(self.names, weights.tolist(), strict=True))

    def log_likelihood(self, weights: dict[str, float], chosen: Sequence[int]) -> float:
        """Log-probability of the gold of the chosen lattices, summed."""
        values = torch.tensor([weights.get(name, 0.0) for name in self.names])
        return float(self._log_likelihood(values, list(self._buckets(chosen))))

    def scores(self, weights: dict[str, float], index: int) -> dict[Candidate, float]:
        """Score of each candidate of one lattice, in their order."""
        values = torch.tensor([weights.get(name, 0.0) for name in self.names])
        rows = self._matrix[self._offsets[index] : self._offsets[index + 1]] @ values
        return dict(zip(self._lattices[index].candidates, rows.tolist(), strict=True))

    def _log_likelihood(self, weights: Tensor, buckets: Sequence[_Bucket]) -> Tensor:
        total = torch.zeros(())
        for bucket in buckets:
            scores = self._matrix[bucket.rows] @ weights
            total = total + (_log_gold(scores, bucket) - _log_partition(scores, bucket)).sum()
        return total

    def _buckets(self, chosen: Sequence[int]) -> Iterator[_Bucket]:
        group: list[int] = []
        chosen = [index for index in chosen if self._lattices[index].paths]
        for index in sorted(chosen, key=lambda index: self._lattices[index].length):
            if group and self._lattices[index].length > _PADDING_SHARE * self._lattices[group[0]].length + 1:
                yield self._bucket(group)
                group = []
            group.append(index)
        if group:
            yield self._bucket(group)

    def _bucket(self, group: Sequence[int]) -> _Bucket:
        lattices = [self._lattices[index] for index in group]
        longest = max(lattice.length for lattice in lattices)
        rows: list[npt.NDArray[np.int64]] = []
        cells: list[int] = []
        gold: list[int] = []
        path_of: list[int] = []
        owner: list[int] = []
        first_row = 0
        for number, (index, lattice) in enumerate(zip(group, lattices, strict=True)):
            rows.append(np.arange(self._offsets[index], self._offsets[index + 1]))
            cells += [(number * longest + start) * (longest + 1) + end for start, end in lattice.candidates]
            row_of = {candidate: row for row, candidate in enumerate(lattice.candidates, start=first_row)}
            first_row += len(lattice.candidates)
            for words in lattice.paths:
                gold += [row_of[word] for word in words]
                path_of += [len(owner)] * len(words)
                owner.append(number)
        lengths = [lattice.length for lattice in lattices]
        return _Bucket(
            torch.from_numpy(np.concatenate(rows)), *map(torch.tensor, (cells, lengths, gold, path_of, owner))
        )


def _log_partition(scores: Tensor, bucket: _Bucket) -> Tensor:
    """Log-sum of the scores of all segmentations, [hashtags]."""
    count, longest = len(bucket.lengths), int(bucket.lengths.max())
    table = torch.full((count * longest * (longest + 1),), IMPOSSIBLE).index_put((bucket.cells,), scores)
    by_end = table.view(count, longest, longest + 1).unbind(2)
    sums = torch.zeros(count, 1)
    for end in range(1, longest + 1):
        ending = torch.logsumexp(sums + by_end[end][:, :end], dim=1, keepdim=True)
        sums = torch.cat([sums, ending], dim=1)
    return sums.gather(1, bucket.lengths.unsqueeze(1)).squeeze(1)


def _log_gold(scores: Tensor, bucket: _Bucket) -> Tensor:
    """Log-sum of the scores of the gold segmentations, [hashtags]."""
    paths = torch.zeros(len(bucket.owner)).index_add(0, bucket.path_of, scores[bucket.gold])
    best = torch.full((len(bucket.lengths),), IMPOSSIBLE).scatter_reduce(0, bucket.owner, paths.detach(), "amax")
    shares = torch.exp(paths - best[bucket.owner])
    return torch.zeros(len(bucket.lengths)).index_add(0, bucket.owner, shares).log() + best


def fitted(size: int, log_likelihood: Callable[[Tensor], Tensor], penalty: float, iterations: int) -> Tensor:
    """The weights [size] where the log-likelihood less `penalty` times the sum of their squares is highest: L-BFGS."""
    weights = torch.zeros(size, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights], max_iter=iterations, history_size=20, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimizer.zero_grad()
        loss = penalty * weights.square().sum() - log_likelihood(weights)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimizer.step(objective)  # type: ignore[no-untyped-call]
    return weights.detach()
