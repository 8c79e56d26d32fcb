"""Training: from examples and word vectors to a Checkpoint, chosen on validation only.

`Trainer` reads in the order things happen: vocabulary, model, epochs, choice.
"""

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mner_model.batch import Batch, Features, collate, features_of
from mner_model.checkpoint import Checkpoint
from mner_model.config import ModelConfig, TrainingConfig
from mner_model.data import Example, captions_fingerprint, fingerprint, mention_hashes
from mner_model.evaluate import Evaluation, evaluate
from mner_model.image_words import caption_words, words_vector
from mner_model.model import MultimodalTagger
from mner_model.moving_average import MovingAverage
from mner_model.vocabulary import SPECIAL_FORMS, Vocabulary, alphabet_of, count_forms

_UNKNOWN_DEVIATION = 0.3  # of a first vector for a word without a pretrained one; about that of GloVe's own
_BUCKET_BATCHES = 50  # posts are sorted by length within this many batches


@dataclass(frozen=True)
class WordVectors:
    """Pretrained vectors: forms, most frequent first, and float32 [forms, dimension]."""

    forms: Sequence[str]
    vectors: npt.NDArray[np.float32]


@dataclass(frozen=True)
class EpochReport:
    """What one pass gave: mean loss per post, and the scores of each validation set by name."""

    epoch: int
    loss: float
    validation: Mapping[str, Evaluation]
    best: bool

    @property
    def f1(self) -> float:
        """Mean lenient F1 over the validation sets: what the choice is made by."""
        return sum(scores.lenient.f1 for scores in self.validation.values()) / len(self.validation)


class Trainer:
    """Trains one tagger.

    train       examples to learn from
    validation  sets by name; the weights with the best mean lenient F1 over them are kept
    vectors     pretrained word vectors; those of words beyond the training data go along, frozen in 8 bits
    """

    def __init__(
        self,
        train: Sequence[Example],
        validation: Mapping[str, Sequence[Example]],
        vectors: WordVectors,
        model_config: ModelConfig,
        config: TrainingConfig,
        device: str = "cpu",
    ) -> None:
        if not train or not validation or not all(validation.values()):
            raise ValueError("expected training examples and at least one non-empty validation set")
        self.config = config
        self.device = device
        self._random = random.Random(config.seed)  # noqa: S311 (nothing secret)
        torch.manual_seed(config.seed)
        self.alphabet = alphabet_of(example.tokens for example in train)
        self.vocabulary, trained = _vocabulary(train, vectors)
        self.model = MultimodalTagger(
            model_config,
            words=len(self.vocabulary),
            trained_words=trained,
            alphabet_size=len(self.alphabet),
        )
        if hasattr(self.model, "words"):
            self.model.words.set_pretrained(_table(self.vocabulary, vectors), unknown_deviation=_UNKNOWN_DEVIATION)
        self.model.to(device)
        self._train = [self._features(example) for example in train if len(example.tokens)]
        self._validation = validation
        self._features_of_validation = {
            name: [self._features(example) for example in examples] for name, examples in validation.items()
        }
        self._seen = torch.tensor(sorted(mention_hashes(train)), dtype=torch.int64)
        self._data = {
            "train": _data_story(train, with_captions="image" in model_config.modalities),
            # validation is scored from its text alone
            "validation": {name: _data_story(examples) for name, examples in validation.items()},
        }

    def run(self, name: str, on_epoch: Callable[[EpochReport], None] | None = None) -> Checkpoint:
        """All epochs; the checkpoint holds the averaged weights of the best one."""
        optimizer = self._optimizer()
        steps_per_epoch = math.ceil(len(self._train) / self.config.batch_posts)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: max(0.05, 1.0 - step / (steps_per_epoch * self.config.epochs))
        )
        average = MovingAverage(self.model, self.config.average_decay)
        best_f1, best_weights, reports = -1.0, average.weights(), []
        for epoch in range(1, self.config.epochs + 1):
            loss = self._epoch(optimizer, schedule, average)
            with average.applied():
                scores = {name: self.score(name) for name in self._validation}
            report = EpochReport(epoch, loss, scores, best=False)
            if report.f1 > best_f1:
                best_f1, best_weights = report.f1, average.weights()
                report = replace(report, best=True)
            reports.append(report)
            if on_epoch is not None:
                on_epoch(report)
        self.model.load_state_dict(best_weights, strict=False)
        self.model.eval()
        return Checkpoint(
            name,
            self.model,
            self.vocabulary,
            self.alphabet,
            seen_mentions=self._seen,
            training=self._story(reports),
        )

    def _epoch(
        self,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
        average: MovingAverage,
    ) -> float:
        self.model.train()
        total, posts = 0.0, 0
        for batch in self._batches():
            optimizer.zero_grad()
            loss = self.model.loss(batch, self.config.word_dropout)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
            optimizer.step()
            schedule.step()
            average.update()
            total += float(loss.detach()) * len(batch.mask)
            posts += len(batch.mask)
        return total / posts

    def _batches(self) -> Iterator[Batch]:
        """Shuffled batches of posts of like length; some images left out (modality dropout)."""
        order = list(range(len(self._train)))
        self._random.shuffle(order)
        size = self.config.batch_posts
        batches: list[list[int]] = []
        for start in range(0, len(order), size * _BUCKET_BATCHES):
            bucket = sorted(order[start : start + size * _BUCKET_BATCHES], key=lambda i: len(self._train[i]))
            batches.extend(bucket[i : i + size] for i in range(0, len(bucket), size))
        self._random.shuffle(batches)
        for batch in batches:
            posts = [self._train[i] for i in batch]
            posts = [
                replace(post, image_embedding=None) if self._random.random() < self.config.modality_dropout else post
                for post in posts
            ]
            yield collate(posts, self.alphabet, self.model.config.image_dimension).to(self.device)

    def score(self, name: str) -> Evaluation:
        """Scores of a validation set, from its text alone: the default must serve posts without images first."""
        examples = self._validation[name]
        features = [replace(post, image_embedding=None) for post in self._features_of_validation[name]]
        predicted = predict_word_tags(self.model, examples, features, self.alphabet, self.device)
        return evaluate(
            [e.words for e in examples], [e.tags for e in examples], predicted, types=self.model.config.types
        )

    def _features(self, example: Example) -> Features:
        image = None
        if "image" in self.model.config.modalities and example.caption is not None:
            image = words_vector(caption_words(example.caption), self.vocabulary, self.model.words)
        features = features_of(example.tokens, self.vocabulary, image)
        tags = np.array([self.model.tagset.index(tag) for tag in example.token_tags()], dtype=np.int64)
        return replace(features, tags=tags)

    def _optimizer(self) -> torch.optim.Optimizer:
        config = self.config
        vectors = {id(p) for p in self.model.words.parameters()} if hasattr(self.model, "words") else set()
        tables = [p for p in self.model.parameters() if id(p) in vectors]
        others = [p for p in self.model.parameters() if id(p) not in vectors]
        groups: list[dict[str, Any]] = [{"params": others, "lr": config.learning_rate}]
        if tables:
            groups.append({"params": tables, "lr": config.vector_learning_rate, "weight_decay": 0.0})
        return torch.optim.AdamW(groups, weight_decay=config.weight_decay)

    def _story(self, reports: Sequence[EpochReport]) -> dict[str, Any]:
        best = max(reports, key=lambda report: report.f1)
        return {
            "config": self.config.to_json(),
            "data": self._data,
            "best_epoch": best.epoch,
            "validation_lenient_f1": {name: scores.lenient.f1 for name, scores in best.validation.items()},
            "torch": torch.__version__,
        }


def predict_word_tags(
    model: MultimodalTagger,
    examples: Sequence[Example],
    features: Sequence[Features],
    alphabet: Any,
    device: str,
    batch_posts: int = 64,
) -> list[tuple[str, ...]]:
    """Predicted tags of the gold words of each example, in order; a post without tokens gets O throughout."""
    model.eval()
    order = sorted((i for i in range(len(examples)) if len(features[i])), key=lambda i: len(features[i]))
    tags: list[tuple[str, ...]] = [example.word_tags(()) for example in examples]
    for start in range(0, len(order), batch_posts):
        rows = order[start : start + batch_posts]
        batch = collate([features[i] for i in rows], alphabet, model.config.image_dimension).to(device)
        for i, post in zip(rows, model.tag(batch), strict=True):
            tags[i] = examples[i].word_tags(post.spans)
    return tags


def _data_story(examples: Sequence[Example], *, with_captions: bool = False) -> dict[str, Any]:
    return {
        "posts": len(examples),
        "fingerprint": fingerprint(examples),
        "captions_fingerprint": captions_fingerprint(examples) if with_captions else None,
    }


def _vocabulary(train: Sequence[Example], vectors: WordVectors) -> tuple[Vocabulary, int]:
    """Trained forms (in the training data, twice or with a vector), then all others that have a vector."""
    counts = count_forms(example.tokens for example in train)
    known = set(vectors.forms)
    trained = [form for form, count in counts.most_common() if count > 1 or form in known]
    own = {*trained, *SPECIAL_FORMS}
    return Vocabulary([*trained, *(form for form in vectors.forms if form not in own)]), len(SPECIAL_FORMS) + len(
        trained
    )


def _table(vocabulary: Vocabulary, vectors: WordVectors) -> npt.NDArray[np.float32]:
    """Pretrained vectors in the vocabulary's order, float32 [vocabulary, dimension], 0 where there is none."""
    table = np.zeros((len(vocabulary), vectors.vectors.shape[1]), dtype=np.float32)
    rows = [(vocabulary.id_of(form), row) for row, form in enumerate(vectors.forms) if form in vocabulary]
    ids, sources = (list(column) for column in zip(*rows, strict=True))
    table[ids] = vectors.vectors[sources]
    return table
