"""How a training goes and what it is of, in plain values: for its state on disk, and for the checkpoint to tell."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any, Self

from mner_model.config import ModelConfig, TrainingConfig
from mner_model.data.examples import Example, captions_fingerprint, fingerprint, tokens_fingerprint
from mner_model.evaluation.scores import Evaluation
from mner_model.network.text_encoder import TextEncoder
from mner_model.text.piece_vectors import PieceVectors
from mner_model.text.pieces import PieceTokenizer
from mner_model.text.vocabulary import WordVectors
from mner_model.training.soft_target_file import TaughtPosts


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
        return sum(self.lenient_f1.values()) / len(self.validation)

    @property
    def lenient_f1(self) -> dict[str, float]:
        """Of each validation set."""
        return {name: scores.lenient.f1 for name, scores in self.validation.items()}

    def to_json(self) -> dict[str, Any]:
        """As `from_json` takes it."""
        scores = {name: plain(asdict(evaluation)) for name, evaluation in self.validation.items()}
        return {"epoch": self.epoch, "loss": self.loss, "best": self.best, "validation": scores}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Back from a state on disk."""
        validation = {name: Evaluation.from_counts(counts) for name, counts in values["validation"].items()}
        return cls(values["epoch"], values["loss"], validation, values["best"])


def plain(value: Any) -> Any:
    """As JSON would bring it back, so that what was saved compares with what is."""
    return json.loads(json.dumps(value))


def posts_story(
    train: Sequence[Example],
    validation: Mapping[str, Sequence[Example]],
    model: ModelConfig,
    recipe: TrainingConfig,
) -> dict[str, Any]:
    """What a model learns from and is chosen by, with captions where it reads them, and the tokens made of it."""
    with_captions = model.reads_images
    chosen_with = with_captions and recipe.choose_with_images
    return {
        "train": data_story(train, with_captions=with_captions),
        "validation": {name: data_story(posts, with_captions=chosen_with) for name, posts in validation.items()},
        "tokens": {"fingerprint": tokens_fingerprint(chain(train, *validation.values()))},
    }


def data_story(examples: Sequence[Example], *, with_captions: bool) -> dict[str, Any]:
    """How many posts, and what tells them from others; with_captions: where their captions are read."""
    return {
        "posts": len(examples),
        "fingerprint": fingerprint(examples),
        "captions_fingerprint": captions_fingerprint(examples) if with_captions else None,
    }


def vectors_story(vectors: WordVectors | None) -> dict[str, Any] | None:
    """How many words have a vector, and the sha256 over forms and float32 numbers; None without vectors."""
    if vectors is None:
        return None
    digest = hashlib.sha256("\n".join(vectors.forms).encode())
    digest.update(vectors.vectors.astype("<f4", order="C", copy=False).data)
    return {"words": len(vectors.forms), "fingerprint": digest.hexdigest()}


def piece_vectors_story(vectors: PieceVectors) -> dict[str, Any]:
    """How many pieces have a vector, and the sha256 over pieces, log-probabilities and vectors."""
    digest = hashlib.sha256("\n".join(vectors.pieces).encode())
    for numbers in (vectors.scores, vectors.vectors):
        digest.update(numbers.astype("<f4", order="C", copy=False).data)
    return {"pieces": len(vectors.pieces), "fingerprint": digest.hexdigest()}


def text_encoder_story(text: tuple[TextEncoder, PieceTokenizer] | None) -> dict[str, Any] | None:
    """The sha256 over a pretrained text encoder's weights, as they come, and its tokenizer; None without one."""
    if text is None:
        return None
    encoder, pieces = text
    digest = hashlib.sha256(f"{pieces.longest_window}\n{pieces.json}".encode())
    for name, weights in encoder.state_dict().items():
        digest.update(name.encode())
        digest.update(weights.detach().cpu().contiguous().numpy().data)
    return {"fingerprint": digest.hexdigest()}


def soft_targets_story(taught: TaughtPosts) -> dict[str, Any]:
    """Of how many posts, the sha256 of their file, and of whom they are."""
    return {"posts": len(taught.targets), "fingerprint": taught.fingerprint, **taught.about}
