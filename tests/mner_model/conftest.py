"""A tiny tagger, trained in a second or two on posts written here, shared by the tests that need one."""

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mner_model.captioning.captioner import Captioner
from mner_model.captioning.decoder import CaptionDecoder, DecoderConfig, caption_vocabulary
from mner_model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from mner_model.config import ModelConfig, TrainingConfig
from mner_model.data.conll import example_from_words
from mner_model.data.examples import Example
from mner_model.errors import CheckpointError
from mner_model.imaging.encoder import ImageEncoderConfig
from mner_model.imaging.grid import GridEncoder
from mner_model.network.text_encoder import TextEncoder
from mner_model.predictor import Predictor
from mner_model.reporting.results import Measured
from mner_model.text.pieces import PieceTokenizer
from mner_model.text.vocabulary import WordVectors
from mner_model.training.precision import computes_bfloat16
from mner_model.training.soft_target_file import TaughtPosts
from mner_model.training.trainer import Trainer

NAMES = {
    "PER": ["Ada Lovelace", "Grace Hopper", "Alan Turing", "Rosa Parks"],
    "LOC": ["Oslo", "Lima", "New Delhi", "Cape Town"],
    "ORG": ["NASA", "Red Cross", "Interpol", "UNESCO"],
    "MISC": ["Ramadan", "World Cup", "Nobel Prize", "Diwali"],
}
PATTERNS = {
    "PER": "meeting {} for lunch today",
    "LOC": "flying to {} on monday",
    "ORG": "a new job at {} !",
    "MISC": "watching the {} with friends",
}
PLAIN = ["so tired today", "good morning all !", "on monday with friends", "lunch at home"]
PIECES = "meeting ada lovelace grace hopper for lunch today flying to oslo lima on monday a new job at nasa ! dog"
VECTOR_FORMS = ["lunch", "monday", "job", "friends", "oslo", "lima", "cat", "dog", "beach", "bergen", "quito"]


def made_up_posts(count: int, seed: int = 0) -> list[Example]:
    generator = random.Random(seed)
    posts = []
    for _ in range(count):
        if generator.random() < 0.2:
            words: Sequence[str] = generator.choice(PLAIN).split()
            posts.append(example_from_words(words, ["O"] * len(words)))
            continue
        type_ = generator.choice(list(NAMES))
        name = generator.choice(NAMES[type_]).split()
        before, after = (part.split() for part in PATTERNS[type_].split("{}"))
        tags = ["O"] * len(before) + [f"B-{type_}"] + [f"I-{type_}"] * (len(name) - 1) + ["O"] * len(after)
        posts.append(example_from_words([*before, *name, *after], tags, caption="a dog on the beach"))
    return posts


def made_up_vectors(dimension: int = 12) -> WordVectors:
    generator = np.random.default_rng(0)
    return WordVectors(VECTOR_FORMS, generator.normal(size=(len(VECTOR_FORMS), dimension)).astype(np.float32))


def small_config(**changes: object) -> ModelConfig:
    sizes = {"word_dimension": 12, "char_dimension": 8, "char_hidden": 8, "image_dimension": 12}
    return ModelConfig(**{**sizes, "fused_dimension": 24, "hidden": 24, "dropout": 0.1, **changes})  # type: ignore[arg-type]


def new_trainer(
    config: TrainingConfig,
    validation: Mapping[str, Sequence[Example]] | None = None,
    text: tuple[TextEncoder, PieceTokenizer] | None = None,
    train: Sequence[Example] | None = None,
    taught: TaughtPosts | None = None,
    **changes: object,
) -> Trainer:
    if validation is None:
        validation = {"made up": made_up_posts(40, seed=1)}
    posts = made_up_posts(160) if train is None else train
    vectors = made_up_vectors()
    return Trainer(posts, validation, vectors, small_config(**changes), config, text=text, taught=taught)


def train_tagger(epochs: int = 14, seed: int = 0, **changes: object) -> Checkpoint:
    config = TrainingConfig(
        seed=seed, epochs=epochs, batch_posts=8, learning_rate=1e-2, vector_learning_rate=1e-2, average_decay=0.9
    )
    return new_trainer(config, **changes).run("made-up")


@pytest.fixture(scope="session")
def needs_bfloat16() -> None:
    """Skips on a processor that cannot train in bfloat16."""
    if not computes_bfloat16(torch.device("cpu")):
        pytest.skip("this processor cannot train in bfloat16")


@pytest.fixture(scope="session")
def make_posts() -> Callable[..., list[Example]]:
    return made_up_posts


@pytest.fixture(scope="session")
def make_trainer() -> Callable[..., Trainer]:
    return new_trainer


@pytest.fixture(scope="session")
def train_small() -> Callable[..., Checkpoint]:
    return train_tagger


@pytest.fixture(scope="session")
def small_checkpoint() -> Checkpoint:
    return train_tagger()


@pytest.fixture(scope="session")
def small_folder(small_checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "made-up"
    small_checkpoint.save(folder)
    return folder


@pytest.fixture(scope="session")
def folder_with_images(small_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    checkpoint = load_checkpoint(small_folder)
    checkpoint.set_image_encoder(ImageEncoderConfig(output="label_words"))
    folder = tmp_path_factory.mktemp("checkpoint") / "with images"
    checkpoint.save(folder)
    return folder


def made_up_measured(f1: float = 0.7, speed: float = 100.0, **about: object) -> Measured:
    """Made-up scores of a tagger that nobody trained: strict a point below lenient, segmentation a point above."""
    scores = {
        name: {"precision": f1, "recall": f1, "f1": f1 + more} for name, more in (("lenient", 0), ("strict", -0.01))
    }
    result = {
        "model": {"name": "made-up", "fingerprint": "f" * 64, "parameters": 1234},
        "data": {
            "fingerprint": "d" * 64,
            "posts": 5,
            "mentions": 6,
            "captions": 0,
            "captions_fingerprint": None,
            "features_fingerprint": "e" * 64,
        },
        **scores,
        "segmentation": {"precision": f1, "recall": f1, "f1": f1 + 0.01},
        "per_type": {type_: {"precision": f1, "recall": f1, "f1": f1, "support": 3} for type_ in ("PER", "LOC")},
        "seen": {"precision": f1, "recall": f1, "f1": f1 + 0.1, "support": 4},
        "unseen": {"precision": f1, "recall": f1, "f1": f1 - 0.1, "support": 2},
        "lenient_f1_interval": (f1 - 0.02, f1 + 0.02),
        "posts_per_second": speed,
        "posts_per_core_second": speed,
    }
    values = {"preset": "word", "seed": 0, "data": "a/test", "with_images": False, "size_bytes": 2_000_000, **about}
    return Measured(result=result, **values)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def make_measured() -> Callable[..., Measured]:
    return made_up_measured


@pytest.fixture(scope="session")
def captioner_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A captioner that learned nothing: it says odd things, in words that the taggers made here know."""
    torch.manual_seed(4)
    vocabulary = caption_vocabulary(VECTOR_FORMS)
    encoder = GridEncoder.load()
    decoder = CaptionDecoder(DecoderConfig(12, 16, 0.0), encoder.channels, len(vocabulary)).eval()
    with torch.no_grad():  # the first weights hardly tell one image from another
        for parameter in decoder.parameters():
            parameter.mul_(3)
    folder = tmp_path_factory.mktemp("captioner") / "says odd things"
    Captioner(encoder, ImageEncoderConfig(), decoder, vocabulary).save(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_transformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT with random weights, as the hub would have it."""
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    folder = tmp_path_factory.mktemp("hub") / "tiny-bert"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *PIECES.split()]
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    transformers.BertModel(config).save_pretrained(folder)
    pieces = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({word: id_ for id_, word in enumerate(vocabulary)}, unk_token="[UNK]")
    )
    pieces.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    pieces.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    pieces.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    transformers.BertTokenizerFast(tokenizer_object=pieces, model_max_length=64).save_pretrained(folder)
    return folder


WRONG_VALUES = (None, -5, "x", [], {}, 10**9, 1e9, True)


def wrong_configs(config: dict[str, Any], *, aside: frozenset[str]) -> Iterator[tuple[str, object, dict[str, Any]]]:
    """The configuration with each value in turn replaced by several others; those `aside` are looked into no further.

    Of 1,000,000,000 layers each would be built before one could be found too many, so that is left out.
    """
    for key, value in config.items():
        if isinstance(value, dict) and key not in aside:
            for inner, wrong, changed in wrong_configs(value, aside=aside):
                yield f"{key}.{inner}", wrong, {**config, key: changed}
        for wrong in WRONG_VALUES:
            if not (key == "num_hidden_layers" and wrong == 10**9):
                yield key, wrong, {**config, key: wrong}


def try_all_wrong_values(folder: Path, *, tag: bool = False) -> None:
    """Each wrong value in config.json gives a CheckpointError in one line, or a checkpoint that tags where asked."""
    config = json.loads((folder / "config.json").read_text())
    for key, wrong, changed in wrong_configs(config, aside=frozenset({"training", "id2label", "label2id"})):
        (folder / "config.json").write_text(json.dumps(changed))
        try:
            checkpoint = load_checkpoint(folder)
            if tag:
                Predictor(checkpoint, None, torch.device("cpu")).predict(["flying to Oslo on monday " * 50])
        except CheckpointError as error:
            if "\n" in str(error) or not str(error).startswith(f"checkpoint {folder}: "):
                pytest.fail(f"{key} = {wrong!r}: no sentence that names the folder: {error}")
        except Exception as error:
            pytest.fail(f"{key} = {wrong!r}: {type(error).__name__}: {error}")


@pytest.fixture(scope="session")
def try_wrong_values() -> Callable[..., None]:
    return try_all_wrong_values
