"""Precision, recall and F1 of mentions, in both readings of the gold, per type, seen and unseen.

A mention counts as found when start, end and type agree, summed over the corpus (micro average), as
conlleval does. Strict and lenient differ in how orphan I- tags are read: see `mner_model.text.labels`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from mner_model.text.labels import Span, spans_lenient, spans_strict

TypeName = str  # an entity type such as PER


@dataclass(slots=True)
class Score:
    """Counts of gold, predicted and agreeing mentions, and what follows from them as fractions."""

    gold: int = 0
    predicted: int = 0
    correct: int = 0

    def add(self, gold: set[Span], predicted: set[Span]) -> None:
        """Counts one post's mentions."""
        self.gold += len(gold)
        self.predicted += len(predicted)
        self.correct += len(gold & predicted)

    @property
    def precision(self) -> float:
        """Share of the predicted mentions that are right; 0 without predictions."""
        return self.correct / self.predicted if self.predicted else 0.0

    @property
    def recall(self) -> float:
        """Share of the gold mentions that were found; 0 without gold."""
        return self.correct / self.gold if self.gold else 0.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.gold + self.predicted
        return 2 * self.correct / total if total else 0.0

    def to_json(self) -> dict[str, float]:
        """The three fractions."""
        return {"precision": self.precision, "recall": self.recall, "f1": self.f1}


@dataclass(slots=True)
class Evaluation:
    """All scores of one set of predictions; per type, seen and unseen in the lenient reading."""

    strict: Score = field(default_factory=Score)
    lenient: Score = field(default_factory=Score)
    segmentation: Score = field(default_factory=Score)
    per_type: dict[TypeName, Score] = field(default_factory=dict)
    seen: Score = field(default_factory=Score)
    unseen: Score = field(default_factory=Score)

    @classmethod
    def from_counts(cls, counts: Mapping[str, Any]) -> Self:
        """Back from `dataclasses.asdict`."""
        per_type = {name: Score(**score) for name, score in counts["per_type"].items()}
        others = {name: Score(**score) for name, score in counts.items() if name != "per_type"}
        return cls(per_type=per_type, **others)

    def to_json(self) -> dict[str, Any]:
        """Plain values in the order people read them."""
        return {
            "strict": self.strict.to_json(),
            "lenient": self.lenient.to_json(),
            "segmentation": self.segmentation.to_json(),
            "per_type": {name: {**score.to_json(), "support": score.gold} for name, score in self.per_type.items()},
            "seen": {**self.seen.to_json(), "support": self.seen.gold},
            "unseen": {**self.unseen.to_json(), "support": self.unseen.gold},
        }


def evaluate(
    words: Iterable[Sequence[str]],
    gold: Iterable[Sequence[str]],
    predicted: Iterable[Sequence[str]],
    types: Sequence[TypeName],
    seen_surfaces: Callable[[str, TypeName], bool] | None = None,
) -> Evaluation:
    """Scores predicted BIO tags against gold ones, post by post.

    words, gold, predicted  one sequence a post, all of one length
    seen_surfaces           whether a surface of a type was in the training data; None: all count as unseen
    Raises ValueError where lengths differ.
    """
    result = Evaluation(per_type={type_: Score() for type_ in types})
    for post_words, gold_tags, predicted_tags in zip(words, gold, predicted, strict=True):
        if not len(post_words) == len(gold_tags) == len(predicted_tags):
            raise ValueError(
                f"expected as many tags as words, got {len(post_words)} words, {len(gold_tags)} gold and "
                f"{len(predicted_tags)} predicted tags"
            )
        result.strict.add(set(spans_strict(gold_tags)), set(spans_strict(predicted_tags)))
        of_gold, of_predicted = set(spans_lenient(gold_tags)), set(spans_lenient(predicted_tags))
        result.lenient.add(of_gold, of_predicted)
        result.segmentation.add(_untyped(of_gold), _untyped(of_predicted))
        for type_, score in result.per_type.items():
            score.add(_of_type(of_gold, type_), _of_type(of_predicted, type_))
        for score, wanted in ((result.seen, True), (result.unseen, False)):
            score.add(
                {s for s in of_gold if _is_seen(s, post_words, seen_surfaces) is wanted},
                {s for s in of_predicted if _is_seen(s, post_words, seen_surfaces) is wanted},
            )
    return result


def f1_interval(
    gold: Iterable[Sequence[str]], predicted: Iterable[Sequence[str]], samples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Lenient F1's 95 % confidence interval by the bootstrap: the middle of its values on posts drawn with replacement.

    gold, predicted  one sequence of tags a post
    samples          so many times as many posts are drawn as there are
    Efron and Tibshirani 1993, section 13.3 (percentile interval).
    """
    counts = np.array(
        [
            (len(wanted), len(found), len(wanted & found))
            for of_gold, of_predicted in zip(gold, predicted, strict=True)
            for wanted, found in [(set(spans_lenient(of_gold)), set(spans_lenient(of_predicted)))]
        ],
        dtype=np.int64,
    ).reshape(-1, 3)
    drawn = np.random.default_rng(seed)
    f1 = np.zeros(samples)
    for sample in range(samples):
        times = np.bincount(drawn.integers(len(counts), size=len(counts)), minlength=len(counts))
        wanted, found, correct = times @ counts
        f1[sample] = 2 * correct / (wanted + found) if wanted + found else 0.0
    low, high = np.quantile(f1, (0.025, 0.975))
    return float(low), float(high)


def _untyped(spans: Iterable[Span]) -> set[Span]:
    return {Span(span.start, span.end, "") for span in spans}


def _of_type(spans: Iterable[Span], type_: TypeName) -> set[Span]:
    return {span for span in spans if span.type == type_}


def _is_seen(span: Span, words: Sequence[str], seen: Callable[[str, TypeName], bool] | None) -> bool:
    return seen is not None and seen(" ".join(words[span.start : span.end]).casefold(), span.type)
