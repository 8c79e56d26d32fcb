"""Precision, recall and F1 of mentions, in both readings of the gold, per type, seen and unseen.

A mention counts as found when start, end and type agree, summed over the corpus (micro average), as
conlleval does. Strict and lenient differ in how orphan I- tags are read: see `mner_model.text.labels`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from mner_model.data.examples import Judged
from mner_model.text.labels import Span

TypeName = str  # an entity type such as PER


@dataclass(slots=True)
class Score:
    """Counts of gold, predicted and agreeing mentions, and what follows from them as fractions."""

    gold: int = 0
    predicted: int = 0
    correct: int = 0

    def add(self, gold: Set[Span], predicted: Set[Span]) -> None:
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
    posts: Iterable[Judged], types: Sequence[TypeName], is_seen: Callable[[str, TypeName], bool] | None = None
) -> Evaluation:
    """Scores predicted mentions against gold ones, post by post.

    is_seen  whether a surface (case-folded) of a type was in the training data; None: all count as unseen
    """
    result = Evaluation(per_type={type_: Score() for type_ in types})
    for post in posts:
        result.strict.add(post.gold_strict, post.predicted_strict)
        result.lenient.add(post.gold, post.predicted)
        result.segmentation.add(_untyped(post.gold), _untyped(post.predicted))
        for type_, score in result.per_type.items():
            score.add(_of_type(post.gold, type_), _of_type(post.predicted, type_))
        seen = {
            span
            for span in post.gold | post.predicted
            if is_seen is not None and is_seen(post.surface(span).casefold(), span.type)
        }
        result.seen.add(post.gold & seen, post.predicted & seen)
        result.unseen.add(post.gold - seen, post.predicted - seen)
    return result


def f1_interval(posts: Iterable[Judged], samples: int = 1000, seed: int = 0) -> tuple[float, float]:
    """Lenient F1's 95 % confidence interval by the bootstrap: the middle of its values on posts drawn with replacement.

    samples  so many times as many posts are drawn as there are
    Efron and Tibshirani 1993, section 13.3 (percentile interval).
    """
    counts = np.array(
        [(len(post.gold), len(post.predicted), len(post.gold & post.predicted)) for post in posts], dtype=np.int64
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
