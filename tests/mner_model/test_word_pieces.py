"""The modality piece, from the vectors taken of a Transformer to a checkpoint that tags."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from mner_model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from mner_model.cli import main
from mner_model.config import ConfigError, ModelConfig, TrainingConfig
from mner_model.data.conll import example_from_words
from mner_model.errors import CheckpointError
from mner_model.network.text_encoder import TextEncoder
from mner_model.predictor import Predictor
from mner_model.presets import preset
from mner_model.text.piece_vectors import PieceVectors, read_piece_vectors
from mner_model.text.pieces import PieceTokenizer
from mner_model.training.piece_reduction import reduced_pieces
from mner_model.training.trainer import Trainer

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")

PIECES = "▁in ▁Oslo ▁Rio ▁ ▁Oslo s ▁the ▁and ▁Ada ▁กรุง кий ▁Киев 東京 東".split()
PIECES = [*dict.fromkeys(PIECES)]
VECTORS = PieceVectors(
    ("▁in", "▁met", "▁Oslo", "▁Lima", "▁Quito", "▁Ada", "▁Rosa"),
    np.full(7, -2, dtype=np.float32),
    np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]], dtype=np.float32),
)
MODEL = ModelConfig(modalities=("piece",), piece_dimension=3, fused_dimension=12, entity_encoder="none", dropout=0.0)


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a Transformer with a unigram tokenizer."""
    folder = tmp_path_factory.mktemp("unigram")
    vocabulary = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *((piece, -float(i)) for i, piece in enumerate(PIECES))]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.Unigram(vocabulary, unk_id=0))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(["<s>", "</s>", "<unk>"])
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=32).save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=32,
    )
    transformers.BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def trained() -> Checkpoint:
    """Learned on Lima and Rosa; knows of Oslo, Quito and Ada by their vectors alone."""
    posts = [
        example_from_words(["in", "Lima"], ["O", "B-LOC"]),
        example_from_words(["met", "Rosa"], ["O", "B-PER"]),
    ] * 16
    recipe = TrainingConfig(epochs=20, batch_posts=8, learning_rate=3e-2, vector_learning_rate=1e-3)
    return Trainer(posts, {"same": posts}, None, MODEL, recipe, piece_vectors=VECTORS).run("pieces")


def entities(checkpoint: Checkpoint, *texts: str) -> list[list[tuple[str, str]]]:
    predictions = Predictor(checkpoint, None, torch.device("cpu")).predict(texts)
    return [[(found.text, found.type) for found in prediction.entities] for prediction in predictions]


def test_names_that_no_post_had_are_known_by_their_pieces(trained: Checkpoint) -> None:
    assert entities(trained, "met Oslo", "in Ada Quito") == [[("Oslo", "LOC")], [("Ada", "PER"), ("Quito", "LOC")]]


def test_a_checkpoint_tags_as_what_was_trained(trained: Checkpoint, tmp_path: Path) -> None:
    trained.save(tmp_path / "made")
    loaded = load_checkpoint(tmp_path / "made")
    texts = ("met Oslo", "in Lima", "Rosa", "https://t.co/x", "zzz")
    assert entities(loaded, *texts) == entities(trained, *texts)
    assert loaded.preprocessing.word_pieces is not None
    assert loaded.preprocessing.word_pieces.pieces[:4] == ("▁in", "▁met", "▁Lima", "▁Rosa")


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        (lambda lines: None, "pieces.txt is missing, its pieces of words need it"),
        (lambda lines: [*lines, lines[0]], "pieces.txt is damaged: expected each piece once"),
        (lambda lines: [*lines, "▁x"], "pieces.txt is damaged: could not convert"),
        (lambda lines: lines[:-1], r"pieces.codes expected \(10, 3\), got \(11, 3\)"),
    ],
)
def test_pieces_that_are_not_the_checkpoints_are_refused(
    trained: Checkpoint, tmp_path: Path, broken: object, problem: str
) -> None:
    trained.save(tmp_path / "made")
    file = tmp_path / "made" / "pieces.txt"
    lines = broken(file.read_text(encoding="utf-8").splitlines())  # type: ignore[operator]
    file.unlink()
    if lines is not None:
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(CheckpointError, match=problem):
        load_checkpoint(tmp_path / "made")


def test_a_training_without_vectors_of_pieces_is_refused() -> None:
    posts = [example_from_words(["in", "Lima"], ["O", "B-LOC"])]
    with pytest.raises(ConfigError, match="--piece-vectors: expected vectors of pieces with the modality piece"):
        Trainer(posts, {"same": posts}, None, MODEL, TrainingConfig())


# Taken from a Transformer


def test_the_pieces_of_the_texts_come_first_and_other_scripts_not_at_all(transformer: Path) -> None:
    encoder, tokenizer = TextEncoder.pretrained(str(transformer))
    found = reduced_pieces(encoder, tokenizer, ["in Rio", "in Ada"], size=7, dimension=4)
    assert found.pieces == ("▁in", "▁Rio", "▁Ada", "▁Oslo", "▁", "s", "▁the")
    assert found.vectors.shape == (7, 4)
    assert found.vectors.std() == pytest.approx(0.4, rel=1e-3)
    with pytest.raises(ConfigError, match="expected at most the 8 pieces of the texts' scripts"):
        reduced_pieces(encoder, tokenizer, ["in Rio", "in Ada"], size=12, dimension=4)
    with pytest.raises(ConfigError, match="expected at most the 8 of the Transformer"):
        reduced_pieces(encoder, tokenizer, ["in Rio"], size=3, dimension=9)


def test_what_is_kept_of_a_vector_are_its_principal_components(transformer: Path) -> None:
    encoder, tokenizer = TextEncoder.pretrained(str(transformer))
    whole, some = (reduced_pieces(encoder, tokenizer, ["in Rio Ada the"], 6, size).vectors for size in (8, 3))
    gram = whole @ whole.T
    values, directions = np.linalg.eigh(gram)
    nearest = (directions[:, -3:] * values[-3:]) @ directions[:, -3:].T
    scale = np.linalg.norm(nearest) / np.linalg.norm(some @ some.T)
    assert np.allclose(some @ some.T * scale, nearest, atol=1e-4)


def test_a_tokenizer_of_another_kind_is_refused(transformer: Path) -> None:
    encoder, tokenizer = TextEncoder.pretrained(str(transformer))
    other = json.loads(tokenizer.json)
    other["model"] = {"type": "WordLevel", "vocab": {"in": 0, "<unk>": 1}, "unk_token": "<unk>"}
    other["post_processor"] = None
    with pytest.raises(ConfigError, match="expected a tokenizer of the type Unigram, got WordLevel"):
        reduced_pieces(encoder, PieceTokenizer(json.dumps(other), 8), ["in"], 1, 1)


def test_the_command_writes_what_train_reads(transformer: Path, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("in\tO\nRio\tB-LOC\n\nin\tO\nOslo\tB-LOC\n")
    train, out = ("--train", tmp_path / "train.txt"), ("--out", tmp_path / "pieces")
    asked = ["piece-vectors", "--text-encoder", transformer, *train, "--size", 6, "--dimension", 4, *out]
    ended = CliRunner().invoke(main, [str(word) for word in asked])
    assert (ended.exit_code, ended.stdout) == (0, "")
    assert read_piece_vectors(tmp_path / "pieces").pieces[:1] == ("▁in",)
    asked = ["train", "--preset", "word-char-image", "--model", "modalities=char,piece", "--model", "hidden=8", *train]
    asked += ["--valid", tmp_path / "train.txt", "--piece-vectors", tmp_path / "pieces", "--epochs", 1]
    ended = CliRunner().invoke(main, [str(word) for word in [*asked, "--out", tmp_path / "made"]])
    assert ended.exit_code == 0, ended.stderr
    assert "pieces: vectors of 6 pieces" in ended.stderr
    assert load_checkpoint(tmp_path / "made").model.config.piece_dimension == 4


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ([], "expected --text-encoder or --checkpoint, one of the two"),
        (["--text-encoder", "a", "--checkpoint", "b"], "expected --text-encoder or --checkpoint, one of the two"),
        (["--text-encoder", "a"], "expected texts by --train or --posts"),
    ],
)
def test_what_the_command_lacks_is_one_sentence(tmp_path: Path, options: list[str], problem: str) -> None:
    ended = CliRunner().invoke(main, ["piece-vectors", *options, "--out", str(tmp_path / "pieces")])
    assert ended.exit_code == 1
    assert problem in ended.stderr


def test_options_that_would_change_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("in\tO\n")
    files = [word for name in ("--train", "--valid") for word in (name, str(tmp_path / "train.txt"))]
    asked = ["train", "--preset", "moon-char", *files, "--piece-vectors", str(tmp_path / "train.txt"), "--out", "x"]
    ended = CliRunner().invoke(main, asked)
    assert "--piece-vectors: would change nothing in preset moon-char" in ended.stderr
    with pytest.raises(ConfigError, match="piece_dimension: expected nothing said of it"):
        preset("moon-char+piece_dimension=50")
