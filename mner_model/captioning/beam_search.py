"""Beam search over any model that says, word by word, how probable each next word is.

Knows nothing of images and of text: numbers of words go in, the best sequence of each item comes out.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

State = tuple[Tensor, ...]
"""What the model remembers of the words so far: tensors [rows, …]."""

Step = Callable[[Tensor, State], tuple[Tensor, State]]
"""(last words int64 [rows], state) → (log-probabilities of the next word [rows, vocabulary], next state)."""

_IMPOSSIBLE = float("-inf")


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One finished sequence.

    words            numbers of its words, without start and end
    log_probability  of its words and of the end after them
    score            log_probability / (words + 1) ^ length_power; the best sequence is the one with the highest
    """

    words: tuple[int, ...]
    log_probability: float
    score: float


def beam_search(
    step: Step, state: State, *, start: int, end: int, beam: int, max_words: int, length_power: float = 1.0
) -> list[Hypothesis]:
    """The best sequence found for each item.

    step          rows are item by item, `beam` of them each, and stay with their item; an end must be possible
    state         [items, …] each, before the first word
    start, end    numbers of the words that stand for them
    beam          unfinished and finished sequences kept per item, ≥ 1; 1 is greedy, vocabulary ^ max_words is exact
    max_words     of a sequence, ≥ 1; after so many only the end can follow, with its own probability
    length_power  0 favours short sequences, 1 compares mean log-probabilities per word; ≥ 0
    returns       [items] best first found; the same for an item alone as among others, and on every run

    A finished sequence keeps its place in the beam, as in the published code of Xu et al. 2015. An item is done as soon
    as no unfinished one can end better (Huang et al. 2017), which changes no result.
    Raises ValueError for a beam, a length or a power out of range, and when no sequence can end.
    """
    if beam < 1 or max_words < 1 or length_power < 0:
        raise ValueError(f"expected beam ≥ 1, max_words ≥ 1, length_power ≥ 0, got {beam}, {max_words}, {length_power}")
    items, device = len(state[0]), state[0].device
    state = tuple(part.repeat_interleave(beam, dim=0) for part in state)
    words = torch.full((items, beam), start, device=device)
    history = torch.empty((items, beam, 0), dtype=torch.int64, device=device)
    # in float64, so that the order of sums never decides; all rows of an item are alike yet: one of them goes on
    live = torch.full((items, beam), _IMPOSSIBLE, dtype=torch.float64, device=device)
    live[:, 0] = 0.0
    first_row = torch.arange(items, device=device).unsqueeze(1) * beam
    rank = torch.arange(beam, device=device)
    finished: list[list[Hypothesis]] = [[] for _ in range(items)]
    for length in range(max_words + 1):
        log_probabilities, state = step(words.flatten(), state)
        if length == max_words:
            log_probabilities = _only(end, log_probabilities)
        vocabulary = log_probabilities.shape[1]
        candidates = live.unsqueeze(2) + log_probabilities.view(items, beam, vocabulary)
        live, chosen = candidates.flatten(1).topk(beam, dim=1)
        places = torch.tensor([beam - len(of_item) for of_item in finished], device=device)
        live = live.masked_fill(rank >= places.unsqueeze(1), _IMPOSSIBLE)
        source, words = chosen // vocabulary, chosen % vocabulary
        history = history.gather(1, source.unsqueeze(2).expand(-1, -1, length))
        ended = words == end
        for item, row in (ended & (live > _IMPOSSIBLE)).nonzero().tolist():
            log_probability = float(live[item, row])
            score = log_probability / (length + 1) ** length_power
            finished[item].append(Hypothesis(tuple(history[item, row].tolist()), log_probability, score))
        # log-probabilities only fall, so an unfinished sequence ends at best with what it has, at full length
        live = live.masked_fill(ended, _IMPOSSIBLE)
        reachable = live / (max_words + 1) ** length_power
        # the item as a whole: a sequence taken out of it alone would leave its place in the beam to a worse one
        live = live.masked_fill((reachable <= _best_scores(finished, live)).all(dim=1, keepdim=True), _IMPOSSIBLE)
        if not bool((live > _IMPOSSIBLE).any()):
            break
        history = torch.cat([history, words.unsqueeze(2)], dim=2)
        rows = (first_row + source).flatten()
        state = tuple(part[rows] for part in state)
    if not all(finished):
        raise ValueError(
            f"no sequence of at most {max_words} words can end: is the end's probability 0, or not a number?"
        )
    return [max(of_item, key=lambda hypothesis: hypothesis.score) for of_item in finished]


def _best_scores(finished: list[list[Hypothesis]], like: Tensor) -> Tensor:
    """[items, 1]"""
    best = [max((hypothesis.score for hypothesis in of_item), default=_IMPOSSIBLE) for of_item in finished]
    return like.new_tensor(best).unsqueeze(1)


def _only(word: int, log_probabilities: Tensor) -> Tensor:
    kept = torch.full_like(log_probabilities, _IMPOSSIBLE)
    kept[:, word] = log_probabilities[:, word]
    return kept
