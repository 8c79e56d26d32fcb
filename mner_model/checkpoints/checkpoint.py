"""A trained tagger on disk: config.json, weights.safetensors, vocabulary.txt in one folder. Never pickle.

A pretrained text encoder adds its tokenizer.json, the modality hashtag its segmenter's files. The fingerprint is
the sha256 of the files' contents: two checkpoints with one fingerprint tag alike.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mner_model.captioning.image_reader import CaptionerConfig
from mner_model.checkpoints.config_file import CONFIG_FILE, FORMAT, check_text_encoder, described_by, read_config
from mner_model.config import ConfigError, ModelConfig
from mner_model.errors import CheckpointError, reason
from mner_model.files.saved_folder import check_folder, contents_fingerprint, saved_folder
from mner_model.imaging.encoder import ImageEncoderConfig
from mner_model.imaging.words import label_vectors
from mner_model.network.model import MultimodalTagger
from mner_model.network.text_encoder import ExtraMissing, TextEncoder, TextEncoderError
from mner_model.preprocessing import Preprocessing
from mner_model.segmenter import hashtags
from mner_model.segmenter.hashtag_reader import HashtagReader
from mner_model.text.pieces import PieceTokenizer
from mner_model.text.vocabulary import SPECIAL_FORMS, Alphabet, Vocabulary
from mner_model.text.word_pieces import WordPieces

WEIGHTS_FILE = "weights.safetensors"
VOCABULARY_FILE = "vocabulary.txt"
TOKENIZER_FILE = "tokenizer.json"
PIECES_FILE = "pieces.txt"  # of words: piece TAB log-probability
_FILES = {CONFIG_FILE, WEIGHTS_FILE, VOCABULARY_FILE}
_ALL_FILES = (
    CONFIG_FILE,
    WEIGHTS_FILE,
    VOCABULARY_FILE,
    TOKENIZER_FILE,
    PIECES_FILE,
    *hashtags.FILES,
)  # in the fingerprint's order
_LABEL_VECTORS = "image.label_vectors"
_SEEN_MENTIONS = "training.seen_mentions"


@dataclass
class Checkpoint:
    """Everything that tagging needs.

    label_vectors  float32 [labels, word_dimension], the words of the image encoder's labels; None without images
    seen_mentions  int64 [mentions], `mention_hashes` of the training data's mentions, sorted
    image_encoder  how images reach it, as `captioning.image_reader.load_image_reader` takes it; None without images
    training       how it was trained and on what, for people
    """

    name: str
    model: MultimodalTagger
    preprocessing: Preprocessing
    image_encoder: dict[str, Any] | None = None
    label_vectors: Tensor | None = None
    seen_mentions: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    training: Mapping[str, Any] = field(default_factory=dict)
    fingerprint: str = ""

    @property
    def vocabulary(self) -> Vocabulary:
        """The words it knows."""
        return self.preprocessing.vocabulary

    def set_image_encoder(self, config: ImageEncoderConfig | CaptionerConfig) -> None:
        """From here on images reach the tagger through this: label_words are of this checkpoint's vocabulary.

        Where weights lie is kept from the root on, so that the checkpoint can be read from any folder.
        """
        if isinstance(config, ImageEncoderConfig) and config.weights is not None:
            config = replace(config, weights=str(Path(config.weights).resolve()))
        self.image_encoder = asdict(config)
        as_label_words = isinstance(config, ImageEncoderConfig) and config.output == "label_words"
        self.label_vectors = label_vectors(self.vocabulary, self.model.words) if as_label_words else None

    def save(self, folder: str | Path) -> str:
        """Writes the folder beside its place, then puts it there, and returns the fingerprint.

        The trained tables are stored in float16, the rest as it is. An older checkpoint at this place is replaced, and
        stays whole until the new one is. Raises CheckpointError as `check_destination` does.
        """
        with saved_folder(Path(folder), _may_hold(Path(folder)), "checkpoint") as draft:
            tensors = {name: _for_storage(value) for name, value in self.model.state_dict().items()}
            if self.label_vectors is not None:
                tensors[_LABEL_VECTORS] = self.label_vectors.to(torch.float16).contiguous()
            tensors[_SEEN_MENTIONS] = self.seen_mentions.contiguous()
            save_file(tensors, draft / WEIGHTS_FILE)
            if self.preprocessing.pieces is not None:
                (draft / TOKENIZER_FILE).write_text(self.preprocessing.pieces.json, encoding="utf-8", newline="\n")
            if self.preprocessing.word_pieces is not None:
                (draft / PIECES_FILE).write_text(_pieces_text(self.preprocessing.word_pieces), "utf-8", newline="\n")
            if self.preprocessing.hashtags is not None:
                self.preprocessing.hashtags.segmenter.write(draft)
            words = "\n".join(self.vocabulary.forms[len(SPECIAL_FORMS) :])
            (draft / VOCABULARY_FILE).write_text(words + "\n", encoding="utf-8", newline="\n")
            config = json.dumps(self._config(), indent=2, ensure_ascii=False) + "\n"
            (draft / CONFIG_FILE).write_text(config, encoding="utf-8", newline="\n")
            self.fingerprint = folder_fingerprint(draft)
        return self.fingerprint

    def _config(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "name": self.name,
            "model": self.model.config.to_json(),
            "alphabet": self.preprocessing.alphabet.characters,
            "trained_words": _trained_words(self.model),
            "text_encoder": None if self.preprocessing.pieces is None else self.model.text.config,
            "text_longest_window": None
            if self.preprocessing.pieces is None
            else self.preprocessing.pieces.longest_window,
            "image_encoder": self.image_encoder,
            "training": dict(self.training),
        }


def check_destination(folder: Path) -> None:
    """Raises CheckpointError unless a checkpoint may be written here: to nothing, an empty folder, or an older one."""
    check_folder(folder, _may_hold(folder), "checkpoint")


def _may_hold(folder: Path) -> set[str]:
    """What a checkpoint may be written over; a segmenter's files alone are not one's own, but a segmenter."""
    return {*_ALL_FILES} if (folder / CONFIG_FILE).exists() else {*_ALL_FILES} - {*hashtags.FILES}


def default_checkpoint() -> Path:
    """The folder of the checkpoint that ships with the package."""
    return Path(str(resources.files("mner_model"))) / "default_checkpoint"


def load_checkpoint(folder: str | Path | None = None, device: torch.device | str = "cpu") -> Checkpoint:
    """Reads a checkpoint folder (None: the shipped one), ready to tag on `device`.

    Raises CheckpointError in one sentence: a missing or damaged file, an unknown format, a wrong tag set, weights
    that do not fit the configuration.
    """
    folder = Path(folder) if folder is not None else default_checkpoint()
    if not folder.exists():
        raise CheckpointError(f"checkpoint {folder}: there is nothing at this path")
    for name in sorted(_FILES):
        if not (folder / name).is_file():
            raise CheckpointError(f"checkpoint {folder}: {name} is missing, expected the folder that `train` wrote")
    config = read_config(folder)
    with described_by(folder):
        alphabet = Alphabet(config["alphabet"])
        model_config = ModelConfig.from_json(config["model"])
        check_text_encoder(config, model_config)
    tensors = _read_weights(folder)
    label_vectors = tensors.pop(_LABEL_VECTORS, None)
    seen_mentions = tensors.pop(_SEEN_MENTIONS)
    vocabulary = _read_vocabulary(folder)
    word_pieces = _read_word_pieces(folder) if "piece" in model_config.modalities else None
    tokenizer = None
    if "text" in model_config.modalities:
        if not (folder / TOKENIZER_FILE).is_file():
            raise CheckpointError(f"checkpoint {folder}: {TOKENIZER_FILE} is missing, its text encoder needs it")
        tokenizer = _read_text(folder, TOKENIZER_FILE)
    with described_by(folder):
        _check_trained_words(config["trained_words"], vocabulary)
        with torch.device("meta"):  # sizes that are far too large must not take memory before they are told
            _check_shapes(folder, _build(config, model_config, vocabulary, alphabet, word_pieces), tensors)
        model = _build(config, model_config, vocabulary, alphabet, word_pieces)
        model.load_state_dict(tensors)
        pieces = None
        if tokenizer is not None:
            pieces = _pieces(folder, tokenizer, config["text_longest_window"], model.text)
    reader = HashtagReader(_read_segmenter(folder)) if "hashtag" in model_config.modalities else None
    return Checkpoint(
        name=config["name"],
        model=model.to(device).eval(),
        preprocessing=Preprocessing(model_config, vocabulary, alphabet, pieces, reader, word_pieces),
        image_encoder=config["image_encoder"],
        label_vectors=None if label_vectors is None else label_vectors.float(),
        seen_mentions=seen_mentions,
        training=config["training"],
        fingerprint=folder_fingerprint(folder),
    )


def _check_trained_words(trained: int, vocabulary: Vocabulary) -> None:
    if not 1 <= trained <= len(vocabulary):
        raise ConfigError(f"trained_words: expected 1 to {len(vocabulary)}, as {VOCABULARY_FILE} has it, got {trained}")


def _build(
    config: Mapping[str, Any],
    model_config: ModelConfig,
    vocabulary: Vocabulary,
    alphabet: Alphabet,
    word_pieces: WordPieces | None,
) -> MultimodalTagger:
    described = config["text_encoder"]
    try:
        text_encoder = None if described is None else TextEncoder.from_config(described)
    except ExtraMissing:
        raise
    except TextEncoderError as error:
        raise ConfigError(f"text_encoder: {error}") from error
    return MultimodalTagger(
        model_config,
        words=len(vocabulary),
        trained_words=config["trained_words"],
        alphabet_size=len(alphabet),
        pieces=1 if word_pieces is None else len(word_pieces),
        text_encoder=text_encoder,
    )


def _pieces(folder: Path, tokenizer: str, longest_window: int, text_encoder: TextEncoder) -> PieceTokenizer:
    if not 1 <= longest_window <= text_encoder.longest_window:
        raise ConfigError(
            f"text_longest_window: expected 1 to {text_encoder.longest_window}, as the text encoder has it, "
            f"got {longest_window}"
        )
    try:
        pieces = PieceTokenizer(tokenizer, longest_window)
    except ValueError as error:
        raise CheckpointError(f"checkpoint {folder}: {TOKENIZER_FILE} is damaged: {error}") from error
    try:
        text_encoder.eval().try_out(pieces)
    except TextEncoderError as error:
        raise ConfigError(f"text_encoder: {error}") from error
    return pieces


def _read_weights(folder: Path) -> dict[str, Tensor]:
    try:
        tensors = load_file(folder / WEIGHTS_FILE)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"checkpoint {folder}: {WEIGHTS_FILE} is damaged: {error}") from error
    if _SEEN_MENTIONS not in tensors:
        raise CheckpointError(f"checkpoint {folder}: {WEIGHTS_FILE} is damaged: {_SEEN_MENTIONS} is missing")
    return tensors


def _read_vocabulary(folder: Path) -> Vocabulary:
    try:
        return Vocabulary(_read_text(folder, VOCABULARY_FILE).rstrip("\n").split("\n"))
    except ValueError as error:
        raise CheckpointError(f"checkpoint {folder}: {VOCABULARY_FILE} is damaged: {error}") from error


def _pieces_text(pieces: WordPieces) -> str:
    return "".join(f"{piece}\t{score:.4f}\n" for piece, score in zip(pieces.pieces, pieces.scores, strict=True))


def _read_word_pieces(folder: Path) -> WordPieces:
    if not (folder / PIECES_FILE).is_file():
        raise CheckpointError(f"checkpoint {folder}: {PIECES_FILE} is missing, its pieces of words need it")
    rows = [line.partition("\t") for line in _read_text(folder, PIECES_FILE).rstrip("\n").split("\n")]
    try:
        return WordPieces((piece for piece, _, _ in rows), (float(score) for _, _, score in rows))
    except ValueError as error:
        raise CheckpointError(f"checkpoint {folder}: {PIECES_FILE} is damaged: {error}") from error


def _read_text(folder: Path, name: str) -> str:
    try:
        return (folder / name).read_text(encoding="utf-8")
    except OSError as error:
        raise CheckpointError(f"checkpoint {folder}: {name} cannot be read: {reason(error)}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise CheckpointError(f"checkpoint {folder}: {name} is damaged: line {line} is not UTF-8") from error


def _read_segmenter(folder: Path) -> hashtags.HashtagSegmenter:
    for name in hashtags.FILES_ALWAYS:
        if not (folder / name).is_file():
            raise CheckpointError(f"checkpoint {folder}: {name} is missing, its reading of hashtags needs it")
    return hashtags.HashtagSegmenter.load(folder)


def _check_shapes(folder: Path, model: MultimodalTagger, tensors: Mapping[str, Tensor]) -> None:
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    found_shapes = {name: tuple(value.shape) for name, value in tensors.items()}
    for name in sorted(shapes.keys() | found_shapes.keys()):
        expected, found = shapes.get(name, "nothing"), found_shapes.get(name, "nothing")
        if expected != found:
            raise CheckpointError(f"checkpoint {folder}: {name} expected {expected}, got {found}")


def _trained_words(model: MultimodalTagger) -> int:
    return model.words.correction.num_embeddings if model.config.in_words else len(SPECIAL_FORMS)


def _for_storage(value: Tensor) -> Tensor:
    """Matrices, most of what there is, in float16; other weights as they are."""
    value = value.detach().cpu().contiguous()
    return value.to(torch.float16) if value.dtype == torch.float32 and value.dim() == 2 else value


def folder_fingerprint(folder: Path) -> str:
    """sha256 of the contents of the checkpoint's files that there are, in their order."""
    return contents_fingerprint(folder, _ALL_FILES)
