"""Training: from examples and word vectors to a Checkpoint, chosen on validation only.

`Trainer` reads in the order things happen: vocabulary, model, epochs, choice.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch

from mner_model.checkpoints.checkpoint import Checkpoint
from mner_model.checkpoints.provenance import made_with
from mner_model.config import ModelConfig, TrainingConfig
from mner_model.data.examples import Example, mention_hashes
from mner_model.evaluation.scores import Evaluation, evaluate
from mner_model.files.training_state import load_state, not_the_state, random_state, save_state, set_random_state
from mner_model.network.batch import Features, rows_by_length
from mner_model.network.model import MultimodalTagger
from mner_model.network.text_encoder import TextEncoder
from mner_model.preprocessing import Preprocessing
from mner_model.segmenter.hashtag_reader import HashtagReader
from mner_model.segmenter.hashtags import HashtagSegmenter
from mner_model.text.labels import Span
from mner_model.text.piece_vectors import PieceVectors, trained_pieces_first
from mner_model.text.pieces import PieceTokenizer
from mner_model.text.tokenizer import tokenize
from mner_model.text.vocabulary import WordVectors, alphabet_of, trained_vocabulary
from mner_model.training.posts import TrainingReader, check_targets
from mner_model.training.rewriting import rewritten
from mner_model.training.soft_target_file import TaughtPosts
from mner_model.training.step import TrainingStep
from mner_model.training.story import (
    EpochReport,
    piece_vectors_story,
    plain,
    posts_story,
    soft_targets_story,
    text_encoder_story,
    vectors_story,
)

_UNKNOWN_DEVIATION = 0.3  # of a first vector for a word without a pretrained one; about that of GloVe's own
_SAVE_EVERY_S = 600.0
# told apart from the other data, as states of older versions do without
_READ_FROM = ("vectors", "text_encoder", "tokens")


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
    piece_vectors  of pieces of words, for the modality piece
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
        piece_vectors: PieceVectors | None = None,
    ) -> None:
        if not train or not validation or not all(validation.values()):
            raise ValueError("expected training examples and at least one non-empty validation set")
        check_targets(model_config, config, is_taught=taught is not None)
        self.config = config
        self.device = device
        torch.manual_seed(config.seed)
        text_encoder, pieces = text or (None, None)
        about_text = text_encoder_story(text)  # before it is trained
        alphabet = alphabet_of(example.tokens for example in train)
        vocabulary, trained = trained_vocabulary([example.tokens for example in train], vectors)
        hashtags = HashtagReader(HashtagSegmenter.load()) if "hashtag" in model_config.modalities else None
        model_config.check_vectors(vectors)
        model_config.check_piece_vectors(piece_vectors)
        word_pieces, vectors_of_pieces, trained_pieces = None, None, 0
        if piece_vectors is not None:
            others = map(tokenize, taught.targets if taught is not None else ())
            texts = chain((example.tokens for example in train), others)
            word_pieces, vectors_of_pieces, trained_pieces = trained_pieces_first(texts, piece_vectors)
        self.preprocessing = Preprocessing(model_config, vocabulary, alphabet, pieces, hashtags, word_pieces)
        self.model = MultimodalTagger(
            model_config,
            words=len(vocabulary),
            trained_words=trained,
            alphabet_size=len(alphabet),
            pieces=1 if word_pieces is None else len(word_pieces),
            trained_pieces=trained_pieces,
            text_encoder=text_encoder,
        )
        if vectors_of_pieces is not None:
            self.model.pieces.set_pretrained(vectors_of_pieces)
        if model_config.in_words and vectors is not None:
            self.model.words.set_pretrained(vectors.table(vocabulary), unknown_deviation=_UNKNOWN_DEVIATION)
        if config.freeze_pieces and text_encoder is not None:
            text_encoder.freeze_pieces()
        self.model.to(device)
        reader = TrainingReader(self.preprocessing, self.model, config, taught)
        self._train = reader.posts([*train, *rewritten(train, config.rewritten_share, config.seed)])
        if not len(self._train):
            raise ValueError(f"expected training examples with tokens, got {len(train)} without any")
        self._validation = validation
        self._features_of_validation = {name: reader.validation(examples) for name, examples in validation.items()}
        self._seen = torch.tensor(sorted(mention_hashes(train)), dtype=torch.int64)
        self._data = {
            **posts_story(train, validation, model_config, config),
            "vectors": vectors_story(vectors),
            "text_encoder": about_text,
        }
        if piece_vectors is not None:
            self._data["piece_vectors"] = piece_vectors_story(piece_vectors)
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
        self._step = TrainingStep(self.model, self.config, self.device, batches_per_epoch)
        self._progress = _Progress()
        self._reports: list[EpochReport] = []
        self._best_f1, self._best_weights = -1.0, self._step.average.weights()
        if state_file is not None and self._restore(state_file):
            say(f"{state_file.name}: going on from pass {min(self._progress.epoch, self.config.epochs)}")
        self._state_file, self._saved_at = state_file, time.monotonic()
        while self._progress.epoch <= self.config.epochs:
            self._epoch()
            self._end_epoch(on_epoch)
            self._save()
        self.model.load_state_dict(self._best_weights, strict=False)
        if "piece" in self.model.config.modalities:
            self.model.pieces.fold()
        self.model.eval()
        return Checkpoint(name, self.model, self.preprocessing, seen_mentions=self._seen, training=self._story())

    def _epoch(self) -> None:
        self.model.train()
        progress = self._progress
        accumulated = self.config.accumulated_batches
        batches = self._train.batches(self.config, progress.epoch, progress.step * accumulated)
        while together := list(islice(batches, accumulated)):
            collated = [self.preprocessing.collate(posts) for posts in together]
            progress.loss += self._step.take(collated, progress.epoch, progress.step * accumulated + 1)
            progress.posts += sum(map(len, together))
            progress.step += 1
            if time.monotonic() - self._saved_at > _SAVE_EVERY_S:
                self._save()

    def _end_epoch(self, on_epoch: Callable[[EpochReport], None] | None) -> None:
        progress = self._progress
        with self._step.average.applied():
            scores = {name: self.score(name) for name in self._validation}
        report = EpochReport(progress.epoch, progress.loss / progress.posts, scores, best=False)
        if report.f1 > self._best_f1:
            self._best_f1, self._best_weights = report.f1, self._step.average.weights()
            report = replace(report, best=True)
        self._reports.append(report)
        self._progress = _Progress(progress.epoch + 1)
        if on_epoch is not None:
            on_epoch(report)

    def score(self, name: str) -> Evaluation:
        """Scores of a validation set: with the images' captions where the recipe chooses so, else from text alone."""
        examples = self._validation[name]
        predicted = predict_spans(self.model, self._features_of_validation[name], self.preprocessing, self.device)
        judged = (example.judged(spans) for example, spans in zip(examples, predicted, strict=True))
        return evaluate(judged, self.model.config.types)

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
            **self._step.state(),
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
        self._step.restore(state)
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
            "precision": self._step.precision,
            "made_with": made_with(self.device),
        }


def predict_spans(
    model: MultimodalTagger, features: Sequence[Features], preprocessing: Preprocessing, device: str
) -> list[list[Span]]:
    """Predicted mentions of each post, in order, in token positions; none of one without tokens."""
    model.eval()
    spans: list[list[Span]] = [[] for _ in features]
    for rows in rows_by_length([len(post) for post in features]):
        batch = preprocessing.collate([features[i] for i in rows]).to(device)
        for i, post in zip(rows, model.tag(batch), strict=True):
            spans[i] = post.spans
    return spans
