"""A training from files to a checkpoint folder: `mner-model train` does one, `report` one for each preset and seed."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Self

from mner_model.captioning.image_reader import CaptionerConfig, load_image_reader
from mner_model.checkpoints.checkpoint import check_destination
from mner_model.checkpoints.config_file import CONFIG_FILE
from mner_model.config import ConfigError, ModelConfig, TrainingConfig
from mner_model.data.examples import Example
from mner_model.data.lines import DataError, set_name
from mner_model.data.reader import captions_beside, read_examples, repairs
from mner_model.imaging.encoder import ImageEncoderConfig
from mner_model.imaging.words import check_image_encoder
from mner_model.network.text_encoder import TextEncoder
from mner_model.text.labels import TagSet
from mner_model.text.piece_vectors import PieceVectors, read_piece_vectors
from mner_model.text.pieces import PieceTokenizer
from mner_model.text.vocabulary import WordVectors, read_vectors
from mner_model.training.posts import check_targets
from mner_model.training.precision import precision_of
from mner_model.training.soft_target_file import TaughtPosts, read_soft_targets, together
from mner_model.training.story import EpochReport
from mner_model.training.trainer import Trainer


@dataclass(frozen=True)
class Sources:
    """What trainings read.

    train, valid  CoNLL files to learn from and to choose by; captions of their images lie beside them
    vectors       pretrained word vectors, of which `words` are kept (None: all); for models with words or images
    image         whose labels tell the tagger of an image when it serves; for models with images or captions
    soft_targets  what `mner-model teach` wrote; none to learn from the gold alone
    captioner     folder of what captions images when it serves, in place of labels; for models that read captions
    piece_vectors  what `mner-model piece-vectors` wrote; for models with the modality piece
    """

    train: Sequence[Path]
    valid: Sequence[Path]
    vectors: Path | None = None
    words: int | None = None
    image: ImageEncoderConfig = field(default_factory=ImageEncoderConfig)
    soft_targets: Sequence[Path] = ()
    captioner: Path | None = None
    piece_vectors: Path | None = None


def train_to(
    out: Path,
    name: str,
    model: ModelConfig,
    recipe: TrainingConfig,
    sources: Sources,
    *,
    device: str = "cpu",
    say: Callable[[str], None] = lambda line: None,
    on_epoch: Callable[[EpochReport], None] | None = None,
) -> str:
    """Trains, writes the checkpoint, and returns its fingerprint; goes on where an earlier try was stopped.

    say  is told in a sentence what is going on

    Raises CheckpointError, ConfigError, DataError, ImageEncoderError, SoftTargetsError, TextEncoderError,
    TrainingDiverged, TrainingStateError or VectorsError in one sentence, before any training where that can be known.
    """
    check_targets(model, recipe, is_taught=bool(sources.soft_targets))
    precision_of(recipe, device)
    if (out / CONFIG_FILE).exists():
        raise ConfigError(f"--out {out}: holds a checkpoint already; name another folder, or remove it to train again")
    image_encoder = _image_encoder(model, sources, say)
    check_destination(out)
    data = _Data.read(model, sources, say)
    data.tell(say, reads_images=image_encoder is not None, choose_with_images=recipe.choose_with_images)
    trainer = Trainer(
        data.train,
        data.valid,
        data.vectors,
        data.fit(model),
        recipe,
        device,
        data.text,
        data.taught,
        data.piece_vectors,
    )
    out = Path(os.path.abspath(out))  # "." has no name to write another beside
    state_file = out.with_name(out.name + ".training")
    checkpoint = trainer.run(name, on_epoch, state_file, say)
    if image_encoder is not None:
        checkpoint.set_image_encoder(image_encoder)
    fingerprint = checkpoint.save(out)
    state_file.unlink(missing_ok=True)
    return fingerprint


@dataclass(frozen=True)
class _Data:
    """What a training's sources hold."""

    train: list[Example]
    valid: dict[str, list[Example]]
    vectors: WordVectors | None
    text: tuple[TextEncoder, PieceTokenizer] | None
    taught: TaughtPosts | None
    piece_vectors: PieceVectors | None

    @classmethod
    def read(cls, model: ModelConfig, sources: Sources, say: Callable[[str], None]) -> Self:
        """What this model needs of them, the quickest to be found wrong first."""
        taught, vectors, text, piece_vectors = None, None, None, None
        if sources.soft_targets:
            parts = [read_soft_targets(file, TagSet(model.types)) for file in sources.soft_targets]
            for file, part in zip(sources.soft_targets, parts, strict=True):
                say(f"{file.name}: {len(part.targets):,} posts with soft targets")
            taught = together(parts)
        model.check_vectors(sources.vectors)
        model.check_piece_vectors(sources.piece_vectors)
        if "piece" in model.modalities and sources.piece_vectors is not None:
            piece_vectors = read_piece_vectors(sources.piece_vectors)
            say(f"{sources.piece_vectors.name}: vectors of {len(piece_vectors.pieces):,} pieces")
        if model.in_words and sources.vectors is not None:
            say(f"reading {sources.vectors.name}")
            vectors = read_vectors(sources.vectors, sources.words)
            check_words(sources.vectors, sources.words, vectors)
        if model.text_encoder:
            say(f"reading {model.text_encoder}")
            text = TextEncoder.pretrained(model.text_encoder)
        train = [example for file in sources.train for example in _read(file, say)]
        return cls(train, _validation_sets(sources.valid, say), vectors, text, taught, piece_vectors)

    def fit(self, model: ModelConfig) -> ModelConfig:
        """The model with what they decide of it."""
        if self.vectors is not None:
            dimension = self.vectors.vectors.shape[1]
            model = replace(model, word_dimension=dimension, image_dimension=dimension)
        if self.piece_vectors is not None:
            model = replace(model, piece_dimension=self.piece_vectors.vectors.shape[1])
        # a folder's name is enough for people, and where it lies is nobody's business
        return replace(model, text_encoder=Path(model.text_encoder).name)

    def tell(self, say: Callable[[str], None], *, reads_images: bool, choose_with_images: bool) -> None:
        """Says what people should know of them: shared texts, missing captions, of what there are soft targets."""
        if self.taught is not None:
            _tell_of_taught(self.train, self.taught, say)
        for set_of, posts in self.valid.items():
            tell_of_shared(posts, self.train, f"--valid {set_of}", say)
        if reads_images and not _have_captions(self.train):
            say("no post to learn from has a caption (FILE.captions.tsv): the tagger will not learn what images mean")
        if reads_images and choose_with_images and not any(map(_have_captions, self.valid.values())):
            say("no post to choose by has a caption (FILE.captions.tsv): the pass is chosen on text alone")


def _image_encoder(
    model: ModelConfig, sources: Sources, say: Callable[[str], None]
) -> ImageEncoderConfig | CaptionerConfig | None:
    """How images will reach the tagger when it serves, tried out now; None for a model that images tell nothing."""
    has_images = "image" in model.modalities
    if sources.captioner is not None:
        if has_images or not model.reads_captions:
            without = ", and without the modality image" if has_images else ""
            raise ConfigError(
                f"--captioner: expected a model that reads captions{without}, "
                f"got the modalities {', '.join(model.modalities)}"
            )
        return CaptionerConfig.of(sources.captioner)
    if has_images:
        if model.reads_captions:
            say("the modality image takes the image when tagging: captions are read where a caller brings them")
        config = replace(sources.image, output="label_words")
        check_image_encoder(config)
        return config
    if model.reads_captions:
        config = replace(sources.image, output="labels")
        load_image_reader(asdict(config))
        return config
    return None


def check_words(file: Path, asked: int | None, vectors: WordVectors) -> None:
    """Raises ConfigError where a file has fewer words than are asked for: tables tell trainings apart by the number."""
    if asked is not None and len(vectors.forms) < asked:
        raise ConfigError(f"--words {asked}: expected at most the {len(vectors.forms):,} that {file} has")


def tell_of_shared(posts: Sequence[Example], train: Iterable[Example], of: str, say: Callable[[str], None]) -> None:
    """Says how many posts have a text that is learned from too, if any: scores on those say little."""
    learned = {example.text for example in train}
    count = sum(example.text in learned for example in posts)
    if count:
        say(f"{of}: {count:,} of {len(posts):,} posts have a text that is in the training data too")


def _tell_of_taught(train: Iterable[Example], taught: TaughtPosts, say: Callable[[str], None]) -> None:
    texts = {example.text for example in train}
    gold = sum(text in texts for text in taught.targets)
    say(
        f"soft targets: of {gold:,} of the {len(texts):,} texts with gold, and of {len(taught.targets) - gold:,} others"
    )


def _have_captions(examples: Iterable[Example]) -> bool:
    return any(example.caption for example in examples)


def _read(file: Path, say: Callable[[str], None]) -> list[Example]:
    captions = captions_beside(file)
    examples = list(read_examples(file, captions=captions))
    if borne_with := repairs(file):
        say(f"{set_name(file)}: not sound, read all the same: {borne_with}")
    captioned = sum(example.caption is not None for example in examples)
    say(f"{set_name(file)}: {len(examples):,} posts" + (f", {captioned:,} with a caption" if captions else ""))
    return examples


def _validation_sets(files: Iterable[Path], say: Callable[[str], None]) -> dict[str, list[Example]]:
    sets: dict[str, list[Example]] = {}
    for file in files:
        if set_name(file) in sets:
            raise DataError(f"{file}: a second validation set of the name {set_name(file)}; give its folder another")
        sets[set_name(file)] = _read(file, say)
    return sets
