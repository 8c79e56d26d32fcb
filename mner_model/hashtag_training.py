"""Trains a hashtag segmenter: the gap model on made hashtags, then on gold; the weights on what it says of unseen gold.

The gold is dealt into folds. The gap model is tuned once per fold without it, and the weights are fitted to the log
odds so obtained: those a hashtag gets from a model that was tuned on it would be trusted too much. The penalty on the
weights is chosen by the same folds, and so is the held-out figure made; no other data has a say.
"""

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mner_model.data import DataError
from mner_model.hashtag_data import Cuts, GoldHashtag, HashtagMaker, count_words, fingerprint, word_runs
from mner_model.hashtag_gaps import GapConfig, GapModel, in_numbers, plain_letters
from mner_model.hashtag_weights import Lattice, WeightFitter
from mner_model.hashtag_words import Lexicon
from mner_model.hashtags import LONGEST_WORD, HashtagSegmenter, best_path, candidate_features

Example = tuple[str, Cuts]

_HIDDEN_WORD_SHARE = 0.12
_SHORTEST_HIDDEN_WORD = 4
_STEPS_BETWEEN_REPORTS = 200


@dataclass(frozen=True)
class SegmenterRecipe:
    """How a segmenter is trained; the defaults made the one in the package."""

    seed: int = 0
    made_hashtags: int = 600_000
    batch_hashtags: int = 128
    learning_rate: float = 3e-3
    tuning_steps: int = 400
    tuning_batch_hashtags: int = 64
    tuning_learning_rate: float = 1e-3
    gold_share: float = 0.6
    folds: int = 5
    penalties: tuple[float, ...] = (0.3, 1.0)
    iterations: int = 60
    clip_norm: float = 5.0


class SegmenterTrainer:
    """Makes a HashtagSegmenter of gold hashtags, running text and a list of words by frequency."""

    def __init__(
        self,
        gold: Sequence[GoldHashtag],
        texts: Sequence[str],
        ranked: Sequence[str],
        recipe: SegmenterRecipe,
        say: Callable[[str], None],
        gap_config: GapConfig | None = None,
    ) -> None:
        """texts: running text beside the gold hashtags' own posts; say: takes a line of progress at a time.

        Raises DataError for fewer hashtags than folds, and where texts or words hold nothing to make hashtags of.
        """
        if len(gold) < recipe.folds:
            raise DataError(f"expected at least {recipe.folds} gold hashtags, got {len(gold)}")
        runs = [run for text in (*(one.post for one in gold), *texts) for run in word_runs(text)]
        self._gold = gold
        self._recipe = recipe
        self._say = say
        self._gap_config = gap_config or GapConfig()
        self.lexicon = Lexicon(lexicon_words(ranked), count_words(runs))
        self._random = random.Random(recipe.seed)  # noqa: S311  no secret hangs on it
        self._maker = HashtagMaker(runs, self.lexicon.ranked, recipe.seed)
        self._fold_of = [index % recipe.folds for index in range(len(gold))]
        self._random.shuffle(self._fold_of)

    def run(self) -> HashtagSegmenter:
        """Trains; the same arguments give the same segmenter on the same machine."""
        torch.manual_seed(self._recipe.seed)
        gaps = GapModel(self._gap_config)
        self._train_on_made(gaps)
        logits = self._held_out_logits(gaps)
        fitter = WeightFitter(self._lattices(logits))
        penalty, held_out = self._choose_penalty(fitter)
        self._say("fitting to all")
        weights = fitter.fit(range(len(self._gold)), penalty, self._recipe.iterations)
        self._tune(gaps, range(len(self._gold)))
        training: dict[str, Any] = {
            "recipe": asdict(self._recipe),
            "penalty": penalty,
            "held_out_exact": round(held_out, 4),
            "held_out_exact_gaps_alone": round(self._exact_by_logits(logits), 4),
            "hashtags": len(self._gold),
            "data_fingerprint": fingerprint(self._gold),
        }
        return HashtagSegmenter(self.lexicon, gaps, weights, training)

    def _train_on_made(self, gaps: GapModel) -> None:
        size = self._recipe.batch_hashtags
        batches = _by_length(self._maker.make, size, self._random)
        self._optimise(gaps, batches, max(1, self._recipe.made_hashtags // size), self._recipe.learning_rate)

    def _tune(self, gaps: GapModel, chosen: Sequence[int]) -> None:
        """On gold and made hashtags mixed, so that what was learned of words is not lost."""
        cuts = {index: self._gold[index].cuts() for index in chosen}

        def example() -> Example:
            if self._random.random() >= self._recipe.gold_share:
                return self._maker.make()
            index = self._random.choice(chosen)
            return self._gold[index].hashtag, self._random.choice(cuts[index])

        batches = _by_length(example, self._recipe.tuning_batch_hashtags, self._random)
        self._optimise(gaps, batches, self._recipe.tuning_steps, self._recipe.tuning_learning_rate)

    def _optimise(self, gaps: GapModel, batches: Iterator[Sequence[Example]], steps: int, learning_rate: float) -> None:
        optimizer = torch.optim.AdamW(gaps.parameters(), learning_rate)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps + 1, pct_start=0.1)
        gaps.train()
        losses: list[float] = []
        for step, batch in zip(range(1, steps + 1), batches, strict=False):
            loss = self._loss(gaps, batch)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(gaps.parameters(), self._recipe.clip_norm)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            if step % _STEPS_BETWEEN_REPORTS == 0 or step == steps:
                self._say(f"step {step:,} of {steps:,}  loss {sum(losses) / len(losses):.4f}")
                losses.clear()
        gaps.eval()

    def _loss(self, gaps: GapModel, batch: Sequence[Example]) -> Tensor:
        """Mean cross-entropy over the gaps; some words are hidden from the lexicon, as names of tomorrow will be."""
        hidden = [
            {
                word
                for word in map(plain_letters, _pieces(hashtag, cuts))
                if len(word) >= _SHORTEST_HIDDEN_WORD and self._random.random() < _HIDDEN_WORD_SHARE
            }
            for hashtag, cuts in batch
        ]
        logits = gaps(in_numbers([hashtag for hashtag, _ in batch], self.lexicon, hidden))
        target, mask = torch.zeros_like(logits), torch.zeros_like(logits)
        for row, (hashtag, cuts) in enumerate(batch):
            mask[row, : len(hashtag) - 1] = 1.0
            target[row, [cut - 1 for cut in cuts]] = 1.0
        losses = nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
        return (losses * mask).sum() / mask.sum().clamp(min=1.0)

    def _held_out_logits(self, gaps: GapModel) -> list[list[float]]:
        """The log odds of each gold hashtag, by a gap model that was tuned on the other folds."""
        logits: list[list[float]] = [[] for _ in self._gold]
        for fold in range(self._recipe.folds):
            self._say(f"tuning without fold {fold + 1} of {self._recipe.folds}")
            tuned = copy.deepcopy(gaps)
            self._tune(tuned, [index for index, other in enumerate(self._fold_of) if other != fold])
            held_out = [index for index, other in enumerate(self._fold_of) if other == fold]
            found = tuned.gap_logits([self._gold[index].hashtag for index in held_out], self.lexicon)
            for index, of_hashtag in zip(held_out, found, strict=True):
                logits[index] = of_hashtag
        return logits

    def _lattices(self, logits: Sequence[Sequence[float]]) -> list[Lattice]:
        lattices = []
        for gold, of_hashtag in zip(self._gold, logits, strict=True):
            own = count_words(word_runs(gold.post))
            words = list(candidate_features(gold.hashtag, self.lexicon, of_hashtag, own))
            candidates, features = zip(*words, strict=True)
            lattices.append(Lattice(len(gold.hashtag), candidates, features, tuple(gold.cuts())))
        return lattices

    def _choose_penalty(self, fitter: WeightFitter) -> tuple[float, float]:
        """The penalty under which held-out gold is most probable, and the share of it that then comes out right."""
        results = []
        for penalty in self._recipe.penalties:
            likelihood, right = 0.0, 0
            for fold in range(self._recipe.folds):
                others = [index for index, other in enumerate(self._fold_of) if other != fold]
                held_out = [index for index, other in enumerate(self._fold_of) if other == fold]
                weights = fitter.fit(others, penalty, self._recipe.iterations)
                likelihood += fitter.log_likelihood(weights, held_out)
                right += sum(self._is_exact(index, fitter.scores(weights, index)) for index in held_out)
            share = right / len(self._gold)
            self._say(f"penalty {penalty:g}: held-out exact match {share:.2%}, log-likelihood {likelihood:,.1f}")
            results.append((likelihood, penalty, share))
        _, penalty, share = max(results)
        return penalty, share

    def _is_exact(self, index: int, scores: dict[tuple[int, int], float]) -> bool:
        gold = self._gold[index]
        return gold.is_exact([gold.hashtag[start:end] for start, end in best_path(scores, len(gold.hashtag))])

    def _exact_by_logits(self, logits: Sequence[Sequence[float]]) -> float:
        """Share of hashtags that come out right if a space goes where its log odds are positive."""
        right = (
            gold.is_exact(_pieces(gold.hashtag, [at for at, logit in enumerate(of_hashtag, start=1) if logit > 0]))
            for gold, of_hashtag in zip(self._gold, logits, strict=True)
        )
        return sum(right) / len(self._gold)


def lexicon_words(ranked: Sequence[str]) -> list[str]:
    """The words of a frequency list that a hashtag can hold, in lower case, each once, in the list's order.

    Lists made for other ends leave out single letters; "a" and "i" are words and go first where they are missing.
    """
    kept = (word.lower() for word in ranked if word.isascii() and word.isalnum() and 1 < len(word) <= LONGEST_WORD)
    return list(dict.fromkeys(("a", "i", *kept)))


def _pieces(hashtag: str, cuts: Sequence[int]) -> list[str]:
    return [hashtag[start:end] for start, end in zip((0, *cuts), (*cuts, len(hashtag)), strict=True)]


def _by_length(draw: Callable[[], Example], size: int, generator: random.Random) -> Iterator[Sequence[Example]]:
    """Endless batches of hashtags of like length, in random order."""
    while True:
        pool = sorted((draw() for _ in range(20 * size)), key=lambda example: len(example[0]))
        batches = [pool[start : start + size] for start in range(0, len(pool), size)]
        generator.shuffle(batches)
        yield from batches
