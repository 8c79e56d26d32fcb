"""What a model is and how it was trained: frozen dataclasses that go into the checkpoint as JSON."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, Self, get_args

from mner_model.errors import Failure
from mner_model.text.labels import ENTITY_TYPES

Modality = Literal["word", "char", "piece", "text", "image", "caption", "hashtag"]
FusionName = Literal["concatenation", "attention", "gated_attention", "transformer_attention"]
CharEncoderName = Literal["bilstm", "bigru", "cnn"]
WordContextName = Literal["none", "bigru"]
EntityEncoderName = Literal["lstm", "coupled_lstm", "none"]
OptimizerName = Literal["adamw", "adagrad", "sgd"]
ScheduleName = Literal["linear", "inverse", "constant"]
Precision = Literal["auto", "float32", "bfloat16"]


class ConfigError(Failure, ValueError):
    """A configuration with a name or a value that does not exist."""


_IN_WORDS: dict[type, str] = {
    bool: "true or false",
    dict: "an object",
    float: "a number",
    int: "a whole number",
    str: "a text",
    tuple: "a list of texts",
}


def check_type(name: str, value: object, expected: type) -> None:
    """Raises ConfigError, naming the field, unless a value from JSON is of this type; a float may be whole."""
    if expected is tuple:
        fits = isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)
    else:  # not isinstance: to it true is a whole number
        fits = type(value) is expected or (expected is float and type(value) is int)
    if not fits:
        raise ConfigError(f"{name}: expected {_IN_WORDS[expected]}, got {f'{value!r}':.80}")


@dataclass(frozen=True)
class _Config:
    def to_json(self) -> dict[str, Any]:
        """Plain values, as they go into the checkpoint."""
        return asdict(self)

    def choices(self) -> dict[str, Any]:
        """The fields that differ from the defaults: the same for versions that differ in fields nobody chose."""
        plain = self.to_json()
        return {field.name: plain[field.name] for field in fields(self) if plain[field.name] != field.default}

    def _check_one_of(self, **allowed: Any) -> None:
        """Raises ConfigError for a field that has none of the values of its Literal."""
        for name, literal in allowed.items():
            values = get_args(literal)
            if getattr(self, name) not in values:
                raise ConfigError(f"{name}: expected one of {', '.join(values)}, got {getattr(self, name)!r}")

    def _check_at_least(self, least: int, *names: str) -> None:
        for name in names:
            if getattr(self, name) < least:
                raise ConfigError(f"{name}: expected at least {least}, got {getattr(self, name)}")

    def _check_finite(self) -> None:
        for name, value in self.to_json().items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{name}: expected a finite number, got {value}")

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Back from the checkpoint's JSON; raises ConfigError naming every key that this version does not know.

        And for a value that is not of its field's type.
        """
        known = {f.name: type(f.default) for f in fields(cls)}
        unknown = sorted(values.keys() - known)
        if unknown:
            raise ConfigError(f"{cls.__name__} has no {', '.join(unknown)}: was it written by a newer version?")
        for name, value in values.items():
            check_type(name, value, known[name])
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})

    def changed(self, changes: Mapping[str, str]) -> Self:
        """A copy with fields set from their text, as people write them: hidden=256, modalities=word,char.

        Raises ConfigError for an unknown field, or a text that is not of the field's type.
        """
        values: dict[str, Any] = {}
        known = self.to_json()
        for name, text in changes.items():
            if name not in known:
                raise ConfigError(f"no field {name}: expected one of {', '.join(known)}")
            try:
                values[name] = _value(text, known[name])
            except ValueError:
                raise ConfigError(f"{name}: expected {_IN_WORDS[type(known[name])]}, got {text!r}") from None
        return replace(self, **values)


def two_choices(has: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The fields in which two `choices` differ, for people; one that was not chosen has its default."""
    names = [name for name in {**has, **wanted} if has.get(name) != wanted.get(name)]
    parts = [f"{name} {has.get(name, 'the default')}, asked for {wanted.get(name, 'the default')}" for name in names]
    return ", ".join(parts)


def _value(text: str, current: float | str | tuple[str, ...]) -> Any:
    if isinstance(current, tuple):
        return tuple(text.split(","))
    if isinstance(current, bool):
        if text not in ("true", "false"):
            raise ValueError(text)
        return text == "true"
    return type(current)(text)


@dataclass(frozen=True)
class ModelConfig(_Config):
    """The parts of one MultimodalTagger and their sizes."""

    types: tuple[str, ...] = ENTITY_TYPES
    modalities: tuple[Modality, ...] = ("word", "char", "image")
    word_dimension: int = 100
    word_context: WordContextName = "none"  # what reads the words before they are fused
    word_hidden: int = 150  # of it, per direction
    char_dimension: int = 30
    char_hidden: int = 50  # per direction, or per filter width
    char_encoder: CharEncoderName = "bilstm"
    piece_dimension: int = 100  # of the vectors of pieces of words
    text_encoder: str = ""  # folder or hub name of a pretrained Transformer, for the modality text
    text_reads_captions: bool = False  # an image's caption goes behind the text
    image_dimension: int = 100  # what the image encoder gives; 100: words about the image, in the words' vector space
    side_hidden: int = 100  # per direction, of what reads the words of captions, and of what reads those of hashtags
    fusion: FusionName = "gated_attention"
    fused_dimension: int = 200
    reads_bounds: bool = False  # the tagger is told where a line begins, and where an address or a user's name stands
    entity_encoder: EntityEncoderName = "lstm"  # over the fused tokens, before the CRF
    hidden: int = 200  # of it, per direction
    segmentation_weight: float = 0.0  # in the loss, of finding mentions of whatever type (multi-task)
    batch_norm: bool = False  # of the fused tokens
    dropout: float = 0.5

    @property
    def in_words(self) -> tuple[Modality, ...]:
        """The modalities that need word vectors: images are told in words too."""
        return tuple(name for name in self.modalities if name in ("word", "image"))

    @property
    def reads_captions(self) -> bool:
        """Whether an image's caption is read as such: its words, or the whole of it behind the text."""
        return "caption" in self.modalities or self.text_reads_captions

    @property
    def reads_images(self) -> bool:
        """Whether an image tells it anything, be it by its caption."""
        return "image" in self.modalities or self.reads_captions

    def check_vectors(self, given: object) -> None:
        """Raises ConfigError where it reads words and no vectors are given."""
        if self.in_words and given is None:
            raise ConfigError(f"--vectors: expected word vectors with the modalities {', '.join(self.in_words)}")

    def check_piece_vectors(self, given: object) -> None:
        """Raises ConfigError where it reads pieces of words and no vectors of them are given."""
        if "piece" in self.modalities and given is None:
            raise ConfigError("--piece-vectors: expected vectors of pieces with the modality piece")

    def unread(self) -> dict[str, str]:
        """The fields that this model does not look at, each with what it would take."""
        needed_by = {
            ("word_context",): ("the modality word", "word" in self.modalities),
            ("word_hidden",): ("a word_context", self.word_context != "none"),
            ("char_encoder", "char_dimension", "char_hidden"): ("the modality char", "char" in self.modalities),
            ("piece_dimension",): ("the modality piece", "piece" in self.modalities),
            ("side_hidden",): ("the modality caption or hashtag", bool({"caption", "hashtag"} & {*self.modalities})),
            ("fused_dimension",): ("a fusion that weighs", self.fusion != "concatenation"),
            ("hidden",): ("an entity_encoder", self.entity_encoder != "none"),
        }
        return {name: needed for names, (needed, is_here) in needed_by.items() if not is_here for name in names}

    def __post_init__(self) -> None:
        self._check_one_of(
            fusion=FusionName,
            char_encoder=CharEncoderName,
            word_context=WordContextName,
            entity_encoder=EntityEncoderName,
        )
        known = get_args(Modality)
        if not self.modalities or len({*self.modalities} & {*known}) < len(self.modalities):
            raise ConfigError(f"modalities: expected one or more of {', '.join(known)}, got {self.modalities!r}")
        if self.modalities == ("image",):
            # of a post without an image nothing would be left to read
            raise ConfigError(f"modalities: expected word, char or text with image, got {self.modalities!r}")
        if {"caption", "hashtag"} & {*self.modalities} and "word" not in self.modalities:
            # the post's own words choose among those of captions and hashtags
            raise ConfigError(f"modalities: expected word with caption and hashtag, got {self.modalities!r}")
        if ("text" in self.modalities) != bool(self.text_encoder):
            raise ConfigError(f"text_encoder: expected a name with the modality text only, got {self.text_encoder!r}")
        if self.text_reads_captions and "text" not in self.modalities:
            raise ConfigError("text_reads_captions: expected true with the modality text only, got true without")
        if set(self.types) != set(ENTITY_TYPES):
            raise ConfigError(f"types: expected {', '.join(ENTITY_TYPES)}, got {self.types!r}")
        sizes = ("word_dimension", "char_dimension", "char_hidden", "image_dimension", "fused_dimension", "hidden")
        self._check_at_least(1, *sizes, "word_hidden", "side_hidden")
        if self.segmentation_weight < 0:
            raise ConfigError(f"expected a segmentation_weight of at least 0, got {self.segmentation_weight}")
        if not 0 <= self.dropout < 1:
            raise ConfigError(f"expected a dropout in [0, 1), got {self.dropout}")
        self._check_finite()


@dataclass(frozen=True)
class TrainingConfig(_Config):
    """The recipe: length-bucketed batches, a moving average of the weights, chosen on validation.

    The learning rates rise over the first `warmup_share` of all steps; then, by `schedule`, they fall towards 0 by
    the last step (linear), are divided by 1 + decay × passes done (inverse), or stay (constant).
    """

    seed: int = 0
    epochs: int = 20
    batch_posts: int = 16
    accumulated_batches: int = 1  # gradients of so many make a step
    optimizer: OptimizerName = "adamw"
    schedule: ScheduleName = "linear"
    decay: float = 0.05
    learning_rate: float = 1e-3
    vector_learning_rate: float = 1e-3
    text_learning_rate: float = 5e-5  # of a pretrained text encoder
    freeze_pieces: bool = False  # its table of pieces stays as it is: of a multilingual one most of its weights
    warmup_share: float = 0.0
    precision: Precision = "auto"  # of the forward pass; auto: bfloat16 on a GPU made for it
    weight_decay: float = 1e-4  # L2 for adagrad and sgd, decoupled for adamw; the words' vectors are left out
    l1: float = 0.0  # times the sum of the same weights' absolute values, in the loss
    label_smoothing: float = 0.0  # share of all sound tag sequences in what the gold says
    teacher_share: float = 0.5  # of the teachers' belief in the targets of posts with gold, where there are teachers
    r_drop: float = 0.0  # in the loss, of how far two readings with different dropout lie apart; half of R-Drop's alpha
    clip_norm: float = 5.0
    rewritten_share: float = 0.0  # copies of so many posts with gold: in lower case, in capitals, names as hashtags
    word_dropout: float = 0.1  # a word is read as unknown, its characters stay
    modality_dropout: float = 0.5  # an image is left out, and its caption with it
    average_decay: float = 0.999  # of the weights' moving average, per step
    choose_with_images: bool = False  # validation is read with the images' captions, else from text alone

    def unread(self, model: ModelConfig, *, is_taught: bool) -> dict[str, str]:
        """The fields that the training of such a model does not look at, each with what it would take."""
        needed_by = {
            ("decay",): ("the schedule inverse", self.schedule == "inverse"),
            ("vector_learning_rate",): (
                "the modality word, piece or image",
                bool(model.in_words) or "piece" in model.modalities,
            ),
            ("word_dropout",): ("the modality word", "word" in model.modalities),
            ("text_learning_rate", "freeze_pieces"): ("the modality text", "text" in model.modalities),
            ("modality_dropout", "choose_with_images"): ("a model that reads images or captions", model.reads_images),
            ("teacher_share",): ("soft targets", is_taught),
        }
        return {name: needed for names, (needed, is_here) in needed_by.items() if not is_here for name in names}

    def __post_init__(self) -> None:
        if not -(2**63) <= self.seed < 2**63:  # what torch takes
            raise ConfigError(f"seed: expected a whole number of 64 bits, got {self.seed}")
        self._check_at_least(1, "epochs", "batch_posts", "accumulated_batches")
        self._check_one_of(precision=Precision, optimizer=OptimizerName, schedule=ScheduleName)
        self._check_at_least(0, "weight_decay", "decay", "l1", "r_drop")
        for name in ("learning_rate", "vector_learning_rate", "text_learning_rate", "clip_norm"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name}: expected more than 0, got {getattr(self, name)}")
        shares = ("label_smoothing", "teacher_share", "rewritten_share")
        for name in ("word_dropout", "modality_dropout", "average_decay", "warmup_share", *shares):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}: expected 0 to 1, got {getattr(self, name)}")
        self._check_finite()
