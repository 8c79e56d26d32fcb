"""Trains a hashtag segmenter: the gap model on made hashtags, then on gold; the weights on what it says of unseen gold.

The gold is dealt into folds. The gap model is tuned once per fold without it, and the weights are fitted to the log
odds so obtained: those a hashtag gets from a model that was tuned on it would be trusted too much. So are the weights
that rank the best segmentations, to scores by weights fitted without the hashtag's fold. The penalties on the weights
are chosen by the same folds, and so are the held-out figures made; no other data has a say.
"""

import copy
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mner_model.data.lines import DataError
from mner_model.segmenter.data import Cuts, GoldHashtag, HashtagMaker, count_words, fingerprint, word_runs
from mner_model.segmenter.gaps import GapConfig, GapModel, in_numbers, plain_letters
from mner_model.segmenter.hashtags import (
    LONGEST_WORD,
    SHORT_LIST,
    Candidate,
    HashtagSegmenter,
    best_path,
    best_paths,
    candidate_features,
    path_features,
    split_where_likely,
)
from mner_model.segmenter.pairs import WebCounts, WordPairs, count_pairs
from mner_model.segmenter.ranking import RankingFitter, ShortList
from mner_model.segmenter.weights import Lattice, WeightFitter
from mner_model.segmenter.words import Lexicon

Example = tuple[str, Cuts]
Scores = dict[Candidate, float]

_HIDDEN_WORD_SHARE = 0.12
_SHORTEST_HIDDEN_WORD = 4
_RAREST_IN_FORUMS = -18.5
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
    ranking_penalties: tuple[float, ...] = (0.3, 1.0)
    ranking_iterations: int = 80
    clip_norm: float = 5.0


class SegmenterTrainer:
    """Makes a HashtagSegmenter of gold hashtags, running text, a list of words by frequency and counts of pairs."""

    def __init__(
        self,
        gold: Sequence[GoldHashtag],
        texts: Sequence[str],
        ranked: Sequence[str],
        web: WebCounts,
        forum_words: Mapping[str, float],
        recipe: SegmenterRecipe,
        say: Callable[[str], None],
        gap_config: GapConfig | None = None,
    ) -> None:
        """texts: running text beside the gold hashtags' own posts; say: takes a line of progress at a time.

        web, forum_words: as `read_web_counts` and `read_forum_words` give them.

        Raises DataError for fewer hashtags than folds, and where texts or words hold nothing to make hashtags of.
        """
        if len(gold) < recipe.folds:
            raise DataError(f"expected at least {recipe.folds} gold hashtags, got {len(gold)}")
        runs = [run for text in (*(one.post for one in gold), *texts) for run in word_runs(text)]
        self._gold = gold
        self._recipe = recipe
        self._say = say
        self._gap_config = gap_config or GapConfig()
        known = lexicon_words(ranked)
        self.lexicon = Lexicon(known, count_words(runs), forum_words_beside(known, forum_words))
        self._random = random.Random(recipe.seed)  # noqa: S311  no secret hangs on it
        self._pairs = WordPairs.counted(self.lexicon, web, count_pairs(runs))
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
        penalty, scores = self._choose_penalty(fitter)
        ranker = RankingFitter(self._short_lists(scores))
        ranking_penalty, held_out = self._choose_ranking_penalty(ranker, scores)
        self._say("fitting to all")
        weights = fitter.fit(range(len(self._gold)), penalty, self._recipe.iterations)
        ranking = ranker.fit(range(len(self._gold)), ranking_penalty, self._recipe.ranking_iterations)
        self._tune(gaps, range(len(self._gold)))
        training: dict[str, Any] = {
            "recipe": asdict(self._recipe),
            "penalty": penalty,
            "ranking_penalty": ranking_penalty,
            "held_out_exact": round(held_out, 4),
            "held_out_exact_without_pairs": round(self._exact_by_scores(scores), 4),
            "held_out_exact_gaps_alone": round(self._exact_by_logits(logits), 4),
            "hashtags": len(self._gold),
            "data_fingerprint": fingerprint(self._gold),
        }
        return HashtagSegmenter(self.lexicon, gaps, weights, training, self._pairs, ranking)

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
        for fold, (others, held_out) in enumerate(self._folds(), start=1):
            self._say(f"tuning without fold {fold} of {self._recipe.folds}")
            tuned = copy.deepcopy(gaps)
            self._tune(tuned, others)
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

    def _choose_penalty(self, fitter: WeightFitter) -> tuple[float, list[Scores]]:
        """The penalty under which held-out gold is most probable, and each hashtag's scores without its fold."""
        results = []
        for penalty in self._recipe.penalties:
            likelihood = 0.0
            scores: list[Scores] = [{} for _ in self._gold]
            for others, held_out in self._folds():
                weights = fitter.fit(others, penalty, self._recipe.iterations)
                likelihood += fitter.log_likelihood(weights, held_out)
                for index in held_out:
                    scores[index] = fitter.scores(weights, index)
            self._tell(penalty, self._exact_by_scores(scores), likelihood)
            results.append((likelihood, penalty, scores))
        _, penalty, scores = max(results, key=lambda result: result[:2])
        return penalty, scores

    def _choose_ranking_penalty(self, ranker: RankingFitter, scores: Sequence[Scores]) -> tuple[float, float]:
        """The penalty under which held-out gold is most probable, and the share of it that then comes out right."""
        results = []
        for penalty in self._recipe.ranking_penalties:
            likelihood, right = 0.0, 0
            for others, held_out in self._folds():
                weights = ranker.fit(others, penalty, self._recipe.ranking_iterations)
                likelihood += ranker.log_likelihood(weights, held_out)
                for index in held_out:
                    paths = best_paths(scores[index], len(self._gold[index].hashtag), SHORT_LIST)
                    right += self._is_exact(index, paths[ranker.best(weights, index)][1])
            share = right / len(self._gold)
            self._tell(penalty, share, likelihood, "of ranking ")
            results.append((likelihood, penalty, share))
        _, penalty, share = max(results)
        return penalty, share

    def _short_lists(self, scores: Sequence[Scores]) -> list[ShortList]:
        lists = []
        for gold, of_hashtag in zip(self._gold, scores, strict=True):
            own, plain, cuts = count_pairs(word_runs(gold.post)), plain_letters(gold.hashtag), set(gold.cuts())
            paths = best_paths(of_hashtag, len(gold.hashtag), SHORT_LIST)
            features = tuple(list(path_features(plain, *scored, self._pairs, own)) for scored in paths)
            lists.append(ShortList(features, tuple(tuple(start for start, _ in path[1:]) in cuts for _, path in paths)))
        return lists

    def _folds(self) -> Iterator[tuple[list[int], list[int]]]:
        """Of each fold the hashtags without and within it."""
        for fold in range(self._recipe.folds):
            others = [index for index, other in enumerate(self._fold_of) if other != fold]
            yield others, [index for index, other in enumerate(self._fold_of) if other == fold]

    def _tell(self, penalty: float, share: float, likelihood: float, what: str = "") -> None:
        self._say(f"penalty {what}{penalty:g}: held-out exact match {share:.2%}, log-likelihood {likelihood:,.1f}")

    def _exact_by_scores(self, scores: Sequence[Scores]) -> float:
        """Share of hashtags that come out right if the segmentation that scores highest is taken."""
        lengths = (len(gold.hashtag) for gold in self._gold)
        paths = (best_path(of_hashtag, length) for of_hashtag, length in zip(scores, lengths, strict=True))
        return sum(self._is_exact(index, path) for index, path in enumerate(paths)) / len(self._gold)

    def _is_exact(self, index: int, path: Sequence[Candidate]) -> bool:
        gold = self._gold[index]
        return gold.is_exact([gold.hashtag[start:end] for start, end in path])

    def _exact_by_logits(self, logits: Sequence[Sequence[float]]) -> float:
        """Share of hashtags that come out right if a space goes where its log odds are positive."""
        right = (
            gold.is_exact(split_where_likely(gold.hashtag, of_hashtag))
            for gold, of_hashtag in zip(self._gold, logits, strict=True)
        )
        return sum(right) / len(self._gold)


def lexicon_words(ranked: Sequence[str]) -> list[str]:
    """The words of a frequency list that a hashtag can hold, in lower case, each once, in the list's order.

    Lists made for other ends leave out single letters; "a" and "i" are words and go first where they are missing.
    """
    return list(dict.fromkeys(("a", "i", *(word.lower() for word in ranked if _fits(word)))))


def forum_words_beside(ranked: Sequence[str], forum_words: Mapping[str, float]) -> dict[str, float]:
    """Of forum words those that a hashtag can hold, that are not ranked and not the rarest; to a tenth."""
    known = set(ranked)
    return {
        word: round(value, 1)
        for word, value in forum_words.items()
        if _fits(word) and value > _RAREST_IN_FORUMS and word not in known
    }


def _fits(word: str) -> bool:
    """Whether a hashtag can hold it; single letters are not looked for."""
    return word.isascii() and word.isalnum() and 1 < len(word) <= LONGEST_WORD


def _pieces(hashtag: str, cuts: Sequence[int]) -> list[str]:
    return [hashtag[start:end] for start, end in zip((0, *cuts), (*cuts, len(hashtag)), strict=True)]


def _by_length(draw: Callable[[], Example], size: int, generator: random.Random) -> Iterator[Sequence[Example]]:
    """Endless batches of hashtags of like length, in random order."""
    while True:
        pool = sorted((draw() for _ in range(20 * size)), key=lambda example: len(example[0]))
        batches = [pool[start : start + size] for start in range(0, len(pool), size)]
        generator.shuffle(batches)
        yield from batches
