"""Training: from examples and word vectors to a Checkpoint, chosen on validation only.

`Trainer` reads in the order things happen: vocabulary, model, epochs, choice.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from mner_model.batch import Features
from mner_model.checkpoint import Checkpoint
from mner_model.config import ModelConfig, TrainingConfig
from mner_model.data import Example, mention_hashes
from mner_model.evaluate import Evaluation, evaluate
from mner_model.hashtags import HashtagSegmenter
from mner_model.model import MultimodalTagger
from mner_model.moving_average import MovingAverage
from mner_model.optimization import l1_norm, learning_rates, new_optimizer, new_schedule
from mner_model.preprocessing import Preprocessing
from mner_model.provenance import made_with
from mner_model.soft_target_file import TaughtPosts
from mner_model.text_encoder import TextEncoder
from mner_model.text_pieces import PieceTokenizer
from mner_model.training_posts import TrainingReader, check_targets
from mner_model.training_state import load_state, not_the_state, random_state, save_state, set_random_state
from mner_model.training_story import (
    EpochReport,
    plain,
    posts_story,
    soft_targets_story,
    text_encoder_story,
    vectors_story,
)
from mner_model.vocabulary import WordVectors, alphabet_of, trained_vocabulary

__all__ = ["EpochReport", "Trainer", "TrainingDiverged", "predict_word_tags"]

_UNKNOWN_DEVIATION = 0.3  # of a first vector for a word without a pretrained one; about that of GloVe's own
_SAVE_EVERY_S = 600.0
_READ_FROM = (
    "vectors",
    "text_encoder",
    "tokens",
)  # told apart from the other data, as states of older versions do without


class TrainingDiverged(ArithmeticError):
    """The loss or its gradient is no finite number any more; the message says where, and which rates to lower."""


@dataclass
class _Progress:
    """How far a training is: `step` batches into pass `epoch`, with the loss of this pass so far."""

    epoch: int = 1
    step: int = 0
    loss: float = 0.0
    posts: int = 0


class Trainer:
    """Trains one tagger.

    train       examples to learn from
    validation  sets by name; the weights with the best mean lenient F1 over them are kept
    vectors     pretrained word vectors; those of words beyond the training data go along, frozen in 8 bits
    text        pretrained text encoder and its tokenizer, for the modality text
    taught      what teachers believe: learned beside the gold of these posts, and alone of posts that have none
    """

    def __init__(
        self,
        train: Sequence[Example],
        validation: Mapping[str, Sequence[Example]],
        vectors: WordVectors | None,
        model_config: ModelConfig,
        config: TrainingConfig,
        device: str = "cpu",
        text: tuple[TextEncoder, PieceTokenizer] | None = None,
        taught: TaughtPosts | None = None,
    ) -> None:
        if not train or not validation or not all(validation.values()):
            raise ValueError("expected training examples and at least one non-empty validation set")
        check_targets(model_config, config, is_taught=taught is not None)
        self.config = config
        self.device = device
        self.precision = config.precision
        if config.precision == "auto":
            self.precision = "bfloat16" if torch.device(device).type == "cuda" else "float32"
        torch.manual_seed(config.seed)
        text_encoder, pieces = text or (None, None)
        about_text = text_encoder_story(text)  # before it is trained
        alphabet = alphabet_of(example.tokens for example in train)
        vocabulary, trained = trained_vocabulary([example.tokens for example in train], vectors)
        segmenter = HashtagSegmenter.load() if "hashtag" in model_config.modalities else None
        self.preprocessing = Preprocessing.of(model_config, vocabulary, alphabet, pieces, segmenter)
        self.model = MultimodalTagger(
            model_config,
            words=len(vocabulary),
            trained_words=trained,
            alphabet_size=len(alphabet),
            text_encoder=text_encoder,
        )
        if hasattr(self.model, "words"):
            if vectors is None:
                raise ValueError(f"expected word vectors for the modalities {', '.join(model_config.modalities)}")
            self.model.words.set_pretrained(vectors.table(vocabulary), unknown_deviation=_UNKNOWN_DEVIATION)
        self.model.to(device)
        reader = TrainingReader(self.preprocessing, self.model, config, taught)
        self._train = reader.posts(train)
        self._validation = validation
        self._features_of_validation = {name: reader.validation(examples) for name, examples in validation.items()}
        self._seen = torch.tensor(sorted(mention_hashes(train)), dtype=torch.int64)
        self._data = {
            **posts_story(train, validation, model_config, config),
            "vectors": vectors_story(vectors),
            "text_encoder": about_text,
        }
        if taught is not None:
            self._data["soft_targets"] = soft_targets_story(taught)

    def run(
        self,
        name: str,
        on_epoch: Callable[[EpochReport], None] | None = None,
        state_file: Path | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> Checkpoint:
        """All epochs; the checkpoint holds the averaged weights of the best one.

        state_file  where the training stands, written now and then; when it is there, the training goes on from it
        say         is told in a sentence that it does

        Raises TrainingDiverged where the loss is no number, TrainingStateError where the state cannot be used or kept.
        """
        batches_per_epoch = math.ceil(len(self._train) / self.config.batch_posts)
        steps_per_epoch = math.ceil(batches_per_epoch / self.config.accumulated_batches)
        self._optimizer = new_optimizer(self.model, self.config)
        self._schedule = new_schedule(self._optimizer, self.config, steps_per_epoch)
        self._average = MovingAverage(self.model, self.config.average_decay)
        self._progress = _Progress()
        self._reports: list[EpochReport] = []
        self._best_f1, self._best_weights = -1.0, self._average.weights()
        if state_file is not None and self._restore(state_file):
            say(f"{state_file.name}: going on from pass {min(self._progress.epoch, self.config.epochs)}")
        self._state_file, self._saved_at = state_file, time.monotonic()
        while self._progress.epoch <= self.config.epochs:
            self._epoch()
            self._end_epoch(on_epoch)
            self._save()
        self.model.load_state_dict(self._best_weights, strict=False)
        self.model.eval()
        return Checkpoint(name, self.model, self.preprocessing, seen_mentions=self._seen, training=self._story())

    def _epoch(self) -> None:
        self.model.train()
        progress = self._progress
        accumulated = self.config.accumulated_batches
        batches = self._train.batches(self.config, progress.epoch, progress.step * accumulated)
        while together := list(islice(batches, accumulated)):
            self._step(together)
            progress.step += 1
            if time.monotonic() - self._saved_at > _SAVE_EVERY_S:
                self._save()

    def _step(self, batches: Sequence[Sequence[Features]]) -> None:
        """One step on the mean gradient of these batches."""
        self._optimizer.zero_grad()
        first = self._progress.step * self.config.accumulated_batches + 1
        for number, posts in enumerate(batches, start=first):
            batch = self.preprocessing.collate(posts).to(self.device)
            with torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.precision == "bfloat16"):
                loss = self.model.loss(batch, self.config.word_dropout, self.config.r_drop)
            value = float(loss.detach())
            self._check_finite(number, "loss", value)
            self._progress.loss += value * len(batch.mask)
            self._progress.posts += len(batch.mask)
            if self.config.l1:
                loss = loss + self.config.l1 * l1_norm(self.model)
            (loss / len(batches)).backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self._check_finite(first + len(batches) - 1, "gradient", float(norm))
        self._optimizer.step()
        self._schedule.step()
        self._average.update()

    def _check_finite(self, batch: int, what: str, value: float) -> None:
        if not math.isfinite(value):
            rates = [f"{name} (now {rate:g})" for name, rate in learning_rates(self.model, self.config).items()]
            raise TrainingDiverged(
                f"the training diverged: in pass {self._progress.epoch}, batch {batch}, the {what} is {value}; "
                f"lower {', '.join(rates)}"
            )

    def _end_epoch(self, on_epoch: Callable[[EpochReport], None] | None) -> None:
        progress = self._progress
        with self._average.applied():
            scores = {name: self.score(name) for name in self._validation}
        report = EpochReport(progress.epoch, progress.loss / progress.posts, scores, best=False)
        if report.f1 > self._best_f1:
            self._best_f1, self._best_weights = report.f1, self._average.weights()
            report = replace(report, best=True)
        self._reports.append(report)
        self._progress = _Progress(progress.epoch + 1)
        if on_epoch is not None:
            on_epoch(report)

    def score(self, name: str) -> Evaluation:
        """Scores of a validation set: with the images' captions where the recipe chooses so, else from text alone."""
        examples = self._validation[name]
        predicted = predict_word_tags(
            self.model, examples, self._features_of_validation[name], self.preprocessing, self.device
        )
        return evaluate(
            [e.words for e in examples], [e.tags for e in examples], predicted, types=self.model.config.types
        )

    # Going on after a stop

    def _run(self) -> dict[str, Any]:
        """What must be the same for a training to go on."""
        return {
            "recipe": plain(self.config.choices()),
            "model": plain(self.model.config.choices()),
            "data": plain({name: about for name, about in self._data.items() if name not in _READ_FROM}),
            **{name.replace("_", " "): self._data[name] for name in _READ_FROM},
        }

    def _save(self) -> None:
        if self._state_file is None:
            return
        state = {
            "progress": vars(self._progress),
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "average": self._average.state(),
            "best_f1": self._best_f1,
            "best_weights": self._best_weights,
            "reports": [report.to_json() for report in self._reports],
            **random_state(),
        }
        save_state(self._state_file, self._run(), state)
        self._saved_at = time.monotonic()

    def _restore(self, state_file: Path) -> bool:
        """Whether there was a state to go on from."""
        state = load_state(state_file, self._run())
        if state is None:
            return False
        try:
            self._take(state)
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise not_the_state(state_file, error) from error
        return True

    def _take(self, state: Mapping[str, Any]) -> None:
        self._progress = _Progress(**state["progress"])
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        self._average.restore(state["average"])
        self._best_f1, self._best_weights = state["best_f1"], state["best_weights"]
        self._reports = [EpochReport.from_json(report) for report in state["reports"]]
        set_random_state(state)

    def _story(self) -> dict[str, Any]:
        best = max(self._reports, key=lambda report: report.f1)
        return {
            "config": self.config.to_json(),
            "data": self._data,
            "best_epoch": best.epoch,
            "validation_lenient_f1": best.lenient_f1,
            "passes": [{"loss": report.loss, "validation_lenient_f1": report.lenient_f1} for report in self._reports],
            "precision": self.precision,
            "made_with": made_with(self.device),
        }


def predict_word_tags(
    model: MultimodalTagger,
    examples: Sequence[Example],
    features: Sequence[Features],
    preprocessing: Preprocessing,
    device: str,
    batch_posts: int = 64,
) -> list[tuple[str, ...]]:
    """Predicted tags of the gold words of each example, in order; a post without tokens gets O throughout."""
    model.eval()
    order = sorted((i for i in range(len(examples)) if len(features[i])), key=lambda i: len(features[i]))
    tags: list[tuple[str, ...]] = [example.word_tags(()) for example in examples]
    for start in range(0, len(order), batch_posts):
        rows = order[start : start + batch_posts]
        batch = preprocessing.collate([features[i] for i in rows]).to(device)
        for i, post in zip(rows, model.tag(batch), strict=True):
            tags[i] = examples[i].word_tags(post.spans)
    return tags
