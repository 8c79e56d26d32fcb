"""Linear-chain conditional random field over BIO tags: likelihood, best path, marginals.

A path's score is start[y₁] + Σ emission[t, y_t] + Σ transition[y_{t−1}, y_t] + end[y_n]; its probability is
the softmax over all paths (Lafferty et al. 2001; Lample et al. 2016, section 2.2). Moves that BIO forbids
(an I- tag that continues nothing) score −10,000 everywhere: in training, in the best path and in the marginals
alike, so the three speak of one distribution. Gold must therefore be repaired before it comes here, and emissions be
far smaller than that price, as those of a trained tagger are, or that price itself.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mner_model.text.labels import OUTSIDE, Span, TagSet
from mner_model.text.tokenizer import Bound

FORBIDDEN = -10_000.0


def kept_off(tagset: TagSet) -> Tensor:
    """bool [bounds, tags]: which tags no token of each `text.tokenizer.Bound` can have."""
    inside = [tag.startswith("I-") for tag in tagset.tags]
    table = {Bound.NONE: [False] * len(tagset), Bound.BEFORE: inside, Bound.APART: [t != OUTSIDE for t in tagset.tags]}
    return torch.tensor([table[bound] for bound in Bound])


class CRF(nn.Module):
    """Scores of starting, moving between and ending on tags."""

    forbidden_start: Tensor
    forbidden_moves: Tensor

    def __init__(self, tagset: TagSet) -> None:
        super().__init__()
        self.tagset = tagset
        size = len(tagset)
        self.start = nn.Parameter(torch.empty(size).uniform_(-0.1, 0.1))
        self.end = nn.Parameter(torch.empty(size).uniform_(-0.1, 0.1))
        self.transitions = nn.Parameter(torch.empty(size, size).uniform_(-0.1, 0.1))
        start = [0.0 if tagset.may_follow(None, tag) else FORBIDDEN for tag in tagset.tags]
        moves = [[0.0 if tagset.may_follow(a, b) else FORBIDDEN for b in tagset.tags] for a in tagset.tags]
        self.register_buffer("forbidden_start", torch.tensor(start), persistent=False)
        self.register_buffer("forbidden_moves", torch.tensor(moves), persistent=False)

    def log_likelihood(self, emissions: Tensor, mask: Tensor, tags: Tensor) -> Tensor:
        """Log-probability of each post's tags.

        emissions  [batch, tokens, tags]  finite, of a size far below 10,000
        mask       [batch, tokens]        True where a token is, left-aligned; the first column all True
        tags       [batch, tokens]        int64, ignored where mask is False
        returns    [batch]

        Raises ValueError for other shapes and masks, as all of these methods do.
        """
        self._check(emissions, mask)
        _check_shape("tags", tags, emissions.shape[:2])
        return self._path_score(emissions, mask, tags) - self._forward(emissions, mask)[1]

    def log_likelihood_of_any(self, emissions: Tensor, mask: Tensor, allowed: Tensor) -> Tensor:
        """Log-probability that each post has one of the sequences that the gold leaves open.

        emissions  [batch, tokens, tags], mask [batch, tokens] as in `log_likelihood`
        allowed    bool [batch, tokens, tags]  tags that may be the right one; at least one a token, and one sound path
        returns    [batch]                     `log_likelihood` where one tag is left everywhere (Tsuboi et al. 2008,
                                               "Training Conditional Random Fields Using Incomplete Annotations", eq. 4)
        """
        self._check(emissions, mask)
        _check_shape("allowed", allowed, emissions.shape)
        open_ones = emissions.masked_fill(~allowed, FORBIDDEN)
        return self._forward(open_ones, mask)[1] - self._forward(emissions, mask)[1]

    def cross_entropy(self, emissions: Tensor, mask: Tensor, tags: Tensor, moves: Tensor) -> Tensor:
        """Cross-entropy to a distribution over whole tag sequences, of which marginals are all that it takes.

        emissions  [batch, tokens, tags], mask [batch, tokens] as in `log_likelihood`
        tags       [batch, tokens, tags]            probability of each tag at each token, 0 where mask is False
        moves      [batch, tokens − 1, tags, tags]  probability of each tag at a token and each at the next, likewise
        returns    [batch]                          log partition − expected score (Wang et al. 2021, "Structural
                                                    Knowledge Distillation"); −log-likelihood where all is certain
        """
        self._check(emissions, mask)
        posts, tokens, size = emissions.shape
        _check_shape("tags", tags, (posts, tokens, size))
        _check_shape("moves", moves, (posts, tokens - 1, size, size))
        last = mask & ~mask.roll(-1, dims=1)
        last[:, -1] = mask[:, -1]
        # autocast would round the products with start and end
        with torch.autocast(emissions.device.type, enabled=False):
            expected = (
                (tags * emissions).sum(dim=(1, 2))
                + tags[:, 0] @ self._start()
                + (moves * self._moves()).sum(dim=(1, 2, 3))
                + ((tags * last.unsqueeze(2)) @ self.end).sum(dim=1)
            )
        return self._forward(emissions, mask)[1] - expected

    def best_path(self, emissions: Tensor, mask: Tensor) -> list[list[int]]:
        """Viterbi: the most probable tags of each post, as lists as long as the post.

        emissions [batch, tokens, tags], mask [batch, tokens] as in `log_likelihood`. Sound BIO with such emissions.
        """
        self._check(emissions, mask)
        moves = self._moves()
        steps = emissions.unbind(1)
        keep = mask.unbind(1)
        scores = self._start() + steps[0]
        history: list[Tensor] = []
        for step, here in zip(steps[1:], keep[1:], strict=True):
            best, source = (scores.unsqueeze(2) + moves).max(dim=1)
            scores = torch.where(here.unsqueeze(1), best + step, scores)
            history.append(source)
        last = (scores + self.end).argmax(dim=1).tolist()
        sources = torch.stack(history).tolist() if history else []
        paths = []
        for row, length in enumerate(mask.sum(dim=1).tolist()):
            path = [last[row]]
            for t in range(length - 2, -1, -1):
                path.append(sources[t][row][path[-1]])
            paths.append(path[::-1])
        return paths

    def marginals(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """Probability of each tag at each token, by forward-backward in log space.

        returns  [batch, tokens, tags]  sums to 1 over tags where mask holds, 0 elsewhere
        Rabiner 1989, eq. 27. Arguments as in `log_likelihood`.
        """
        self._check(emissions, mask)
        alpha, log_partition = self._forward(emissions, mask)
        beta = self._backward(emissions, mask)
        probability = (alpha + beta - log_partition.view(-1, 1, 1)).exp()
        return probability * mask.unsqueeze(2)

    def move_marginals(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """Probability of each tag at each token together with each tag at the next.

        returns  [batch, tokens − 1, tags, tags]  from, to; sums to 1 over both where the second is a token, else 0
        Rabiner 1989, eq. 37. Arguments as in `log_likelihood`.
        """
        self._check(emissions, mask)
        alpha, log_partition = self._forward(emissions, mask)
        beta = self._backward(emissions, mask)
        onward = (emissions + beta)[:, 1:].unsqueeze(2)
        scores = alpha[:, :-1].unsqueeze(3) + self._moves() + onward - log_partition.view(-1, 1, 1, 1)
        return scores.exp().masked_fill(~mask[:, 1:, None, None], 0.0)

    def span_marginals(self, emissions: Tensor, mask: Tensor, spans: Sequence[Sequence[Span]]) -> list[list[float]]:
        """Probability that exactly this mention stands here: B- at its start, I- to its end, and no I- after it.

        emissions [batch, tokens, tags], mask [batch, tokens], spans: one list a post
        returns   one list a post, each value in [0, 1]
        All paths that hold the span over all paths: forward up to it, the one path through it, backward after it.
        """
        flat = [(row, span) for row, of_post in enumerate(spans) for span in of_post]
        if not flat:
            return [[] for _ in spans]
        emissions = emissions.double()  # in float32 the sums of thousands of tokens cancel badly
        self._check(emissions, mask)
        alpha, log_partition = self._forward(emissions, mask)
        beta = self._backward(emissions, mask)
        device = emissions.device
        row = torch.tensor([r for r, _ in flat], device=device)
        first = torch.tensor([s.start for _, s in flat], device=device)
        final = torch.tensor([s.end - 1 for _, s in flat], device=device)
        begin = torch.tensor([self.tagset.begin(s.type) for _, s in flat], device=device)
        inside = begin + 1
        single = first == final
        # Σ of I- emissions over (first, final], from running sums
        running = emissions.cumsum(dim=1)
        through = running[row, final, inside] - running[row, first, inside]
        moves = self._moves().double()
        stay = moves[inside, inside] * (final - first - 1)
        through = torch.where(single, 0.0, through + moves[begin, inside] + stay)
        last_tag = torch.where(single, begin, inside)
        following = (final + 1).clamp(max=emissions.shape[1] - 1)
        onward = moves[last_tag] + emissions[row, following] + beta[row, following]
        onward = onward.scatter(1, inside.unsqueeze(1), float("-inf")).logsumexp(dim=1)
        ends_here = final + 1 == mask.sum(dim=1)[row]
        after = torch.where(ends_here, self.end[last_tag].double(), onward)
        log_probability = alpha[row, first, begin] + through + after - log_partition[row]
        values = iter(log_probability.exp().clamp(0.0, 1.0).tolist())
        return [[next(values) for _ in of_post] for of_post in spans]

    def _start(self) -> Tensor:
        return self.start + self.forbidden_start

    def _moves(self) -> Tensor:
        return self.transitions + self.forbidden_moves

    def _path_score(self, emissions: Tensor, mask: Tensor, tags: Tensor) -> Tensor:
        tags = tags.masked_fill(~mask, 0)
        weight = mask.to(emissions.dtype)
        emitted = (emissions.gather(2, tags.unsqueeze(2)).squeeze(2) * weight).sum(dim=1)
        moved = (self._moves()[tags[:, :-1], tags[:, 1:]] * weight[:, 1:]).sum(dim=1)
        last = tags.gather(1, mask.sum(dim=1, keepdim=True) - 1).squeeze(1)
        return self._start()[tags[:, 0]] + emitted + moved + self.end[last]

    def _forward(self, emissions: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Log-sums over all beginnings [batch, tokens, tags] and over all paths [batch]."""
        moves = self._moves()
        # unbind: indexing emissions[:, t] would fill a whole zero gradient for each step on the way back
        steps = emissions.unbind(1)
        keep = mask.unbind(1)
        alpha = self._start() + steps[0]
        alphas = [alpha]
        for step, here in zip(steps[1:], keep[1:], strict=True):
            moved = torch.logsumexp(alpha.unsqueeze(2) + moves, dim=1) + step
            alpha = torch.where(here.unsqueeze(1), moved, alpha)
            alphas.append(alpha)
        return torch.stack(alphas, dim=1), torch.logsumexp(alpha + self.end, dim=1)

    def _backward(self, emissions: Tensor, mask: Tensor) -> Tensor:
        """Log-sums over all endings after each token [batch, tokens, tags]."""
        moves = self._moves()
        steps = emissions.unbind(1)
        keep = mask.unbind(1)
        beta = self.end.expand(emissions.shape[0], -1)
        betas = [beta]
        for step, here in zip(reversed(steps[1:]), reversed(keep[1:]), strict=True):
            moved = torch.logsumexp(moves + (step + beta).unsqueeze(1), dim=2)
            beta = torch.where(here.unsqueeze(1), moved, beta)
            betas.append(beta)
        return torch.stack(betas[::-1], dim=1)

    def _check(self, emissions: Tensor, mask: Tensor) -> None:
        if emissions.dim() != 3 or emissions.shape[2] != len(self.tagset) or emissions.shape[:2] != mask.shape:
            raise ValueError(
                f"expected emissions [batch, tokens, {len(self.tagset)}] and mask [batch, tokens], "
                f"got {list(emissions.shape)} and {list(mask.shape)}"
            )
        begins, holes = mask[:, 0].all(), (mask[:, 1:] & ~mask[:, :-1]).any()
        if bool(begins & ~holes):
            return
        if not bool(begins):
            raise ValueError("expected at least one token in every post: the first column of mask has a False")
        raise ValueError("expected a left-aligned mask, with every token of a post before its padding")


def _check_shape(name: str, tensor: Tensor, expected: Sequence[int]) -> None:
    if tuple(tensor.shape) != tuple(expected):
        raise ValueError(f"expected {name} of the shape {list(expected)}, got {list(tensor.shape)}")
