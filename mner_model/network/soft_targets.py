"""What training aims at where it is not one certain answer: a distribution over the tags of a post.

Kept by its marginals, which are all that a linear-chain CRF's cross-entropy to it takes (`CRF.cross_entropy`). The gold
is such a distribution, so is a teacher's belief, and so is any mixture of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mner_model.network.crf import CRF, FORBIDDEN, kept_off
from mner_model.text.labels import TagSet


@dataclass(frozen=True, slots=True)
class SoftTargets:
    """A distribution over the tags of one post.

    tags   float16 [tokens, tags]             probability of each tag at each token
    moves  float16 [tokens − 1, tags, tags]   probability of each tag at a token and each at the next: from, to
    """

    tags: npt.NDArray[np.float16]
    moves: npt.NDArray[np.float16]

    @classmethod
    def certain(cls, tags: npt.NDArray[np.int64], size: int) -> Self:
        """All on one path: tags int64 [tokens] of `size` tags."""
        ones = np.eye(size, dtype=np.float16)[tags]
        return cls(ones, ones[:-1, :, None] * ones[1:, None, :])

    @classmethod
    def mixed(cls, parts: Sequence[tuple[float, "SoftTargets"]]) -> Self:
        """Each with its share; the shares sum to 1."""
        tags = sum(share * part.tags.astype(np.float32) for share, part in parts)
        moves = sum(share * part.moves.astype(np.float32) for share, part in parts)
        return cls(np.asarray(tags, dtype=np.float16), np.asarray(moves, dtype=np.float16))


@lru_cache(maxsize=512)
def any_path(tagset: TagSet, bounds: tuple[int, ...]) -> SoftTargets:
    """Every sound BIO path equally likely that keeps within these bounds: what label smoothing mixes into the gold."""
    # what is drawn here and overwritten would, as it is drawn once a process, make a seed's second training another
    with torch.random.fork_rng(devices=()):
        crf = CRF(tagset).double()
    for parameter in crf.parameters():
        torch.nn.init.zeros_(parameter)
    emissions = kept_off(tagset)[torch.tensor([bounds])].double() * FORBIDDEN
    return believed(crf, emissions, torch.ones(1, len(bounds), dtype=torch.bool))[0]


@torch.inference_mode()
def believed(crf: CRF, emissions: Tensor, mask: Tensor) -> list[SoftTargets]:
    """What a CRF believes of each post; arguments as in `CRF.log_likelihood`."""
    emissions = emissions.double()  # as in `CRF.span_marginals`: in float32 long posts' sums cancel badly
    tags = crf.marginals(emissions, mask).half().cpu().numpy()
    moves = crf.move_marginals(emissions, mask).half().cpu().numpy()
    lengths = mask.sum(dim=1).tolist()
    return [SoftTargets(tags[row, :length], moves[row, : length - 1]) for row, length in enumerate(lengths)]


@dataclass(frozen=True, slots=True)
class SoftTargetBatch:
    """Padded with zeros: tags float32 [batch, tokens, tags], moves float32 [batch, tokens − 1, tags, tags]."""

    tags: Tensor
    moves: Tensor

    def to(self, device: torch.device | str) -> "SoftTargetBatch":
        """The same on another device."""
        return SoftTargetBatch(self.tags.to(device), self.moves.to(device))


def collate_soft_targets(posts: Sequence[SoftTargets | None], longest_post: int) -> SoftTargetBatch:
    """Pads those of posts to `longest_post` tokens; zeros for a post without any."""
    size = next(post.tags.shape[1] for post in posts if post is not None)
    tags = np.zeros((len(posts), longest_post, size), dtype=np.float32)
    moves = np.zeros((len(posts), longest_post - 1, size, size), dtype=np.float32)
    for row, post in enumerate(posts):
        if post is None:
            continue
        tags[row, : len(post.tags)] = post.tags
        moves[row, : len(post.moves)] = post.moves
    return SoftTargetBatch(torch.from_numpy(tags), torch.from_numpy(moves))
