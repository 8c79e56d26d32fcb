"""A pretrained Transformer as a modality: read from a folder, trained along, kept in the checkpoint."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from mner_model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from mner_model.cli import main
from mner_model.config import ConfigError, ModelConfig, TrainingConfig
from mner_model.errors import CheckpointError
from mner_model.network import text_encoder
from mner_model.network.batch import Features
from mner_model.network.text_encoder import TextEncoder, TextEncoderError
from mner_model.predictor import Document, Predictor
from mner_model.text.pieces import collate_pieces
from mner_model.text.tokenizer import tokenize
from mner_model.training.trainer import Trainer

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")
huggingface_hub = pytest.importorskip("huggingface_hub")

# the checkout's own packages, wherever the command runs
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}


@pytest.fixture(scope="module")
def trained(tiny_transformer: Path, make_trainer: Callable[..., Trainer]) -> Checkpoint:
    config = TrainingConfig(
        epochs=4, batch_posts=8, learning_rate=1e-2, text_learning_rate=1e-3, warmup_share=0.1, average_decay=0.9
    )
    changes = {"modalities": ("char", "text"), "text_encoder": "tiny-bert", "entity_encoder": "none"}
    trainer = make_trainer(
        config, fusion="concatenation", text=TextEncoder.pretrained(str(tiny_transformer)), **changes
    )
    return trainer.run("with a text encoder")


def edit_config(folder: Path, **changes: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **changes}))


def test_vectors_of_a_batch_are_those_of_each_post_alone(tiny_transformer: Path) -> None:
    encoder, tokenizer = TextEncoder.pretrained(str(tiny_transformer))
    encoder.eval()
    posts = [tokenizer.pieces(tokenize(text)) for text in ("Ada in Oslo", "lunch", "a new job " * 40)]
    together = encoder(collate_pieces(posts, 120))
    for row, post in enumerate(posts):
        count = len(post.token_piece)
        alone = encoder(collate_pieces([post], count))
        assert torch.allclose(together[row, :count], alone[0], atol=1e-5)


def test_a_pretrained_one_is_built_once(tiny_transformer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = []
    make = transformers.BertModel.__init__
    monkeypatch.setattr(
        transformers.BertModel,
        "__init__",
        lambda self, *args, **options: [built.append(1), make(self, *args, **options)][-1],
    )
    TextEncoder.pretrained(str(tiny_transformer))
    assert len(built) == 1


def test_one_made_from_its_description_is_the_same_but_for_the_weights(tiny_transformer: Path) -> None:
    encoder, _ = TextEncoder.pretrained(str(tiny_transformer))
    again = TextEncoder.from_config(encoder.config)
    shapes, found = ({name: value.shape for name, value in one.state_dict().items()} for one in (encoder, again))
    assert shapes == found
    assert again.config == encoder.config
    assert str(tiny_transformer) not in str(encoder.config)


def test_a_caption_is_told_apart_from_the_text(tiny_transformer: Path) -> None:
    encoder, tokenizer = TextEncoder.pretrained(str(tiny_transformer))
    encoder.eval()
    with_dog, with_job = (tokenizer.pieces(tokenize("Oslo"), caption) for caption in ("a dog", "a job"))
    assert not torch.allclose(encoder(collate_pieces([with_dog], 1)), encoder(collate_pieces([with_job], 1)))


def test_a_tagger_with_a_text_encoder_learns_and_its_checkpoint_tags_alike(trained: Checkpoint, tmp_path: Path) -> None:
    assert trained.training["validation_lenient_f1"]["made up"] > 0.8
    trained.save(tmp_path / "kept")
    texts = ["flying to Lima on monday", "meeting Ada Lovelace for lunch today", "", "\u200b", "x " * 500]
    device = torch.device("cpu")
    before, after = (
        Predictor(checkpoint, None, device).predict([Document(text) for text in texts])
        for checkpoint in (trained, load_checkpoint(tmp_path / "kept"))
    )
    spans = [[(e.type, e.start, e.end) for e in prediction.entities] for prediction in before]
    assert spans == [[(e.type, e.start, e.end) for e in prediction.entities] for prediction in after]
    assert spans[0] == [("LOC", 10, 14)]


def test_leaving_the_image_out_leaves_its_caption_out(trained: Checkpoint) -> None:
    config = replace(trained.model.config, text_reads_captions=True)
    reads_captions = replace(trained, preprocessing=replace(trained.preprocessing, config=config))
    predictor = Predictor(reads_captions, None, torch.device("cpu"))
    text = "flying to Lima on monday"
    captioned = Document(text, caption="a dog for lunch")
    seen, plain = predictor.predict([captioned, Document(text)], image_effect=True)
    assert [(entity.start, entity.end, entity.type) for entity in seen.entities] == [(10, 14, "LOC")]
    [with_caption], [without] = seen.entities, plain.entities
    assert without.image_effect is None
    assert with_caption.image_effect == pytest.approx(with_caption.confidence - without.confidence, abs=1e-5)
    assert abs(with_caption.confidence - without.confidence) > 1e-5


def test_a_checkpoint_without_its_tokenizer_is_refused(trained: Checkpoint, tmp_path: Path) -> None:
    trained.save(tmp_path / "kept")
    (tmp_path / "kept" / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is missing"):
        load_checkpoint(tmp_path / "kept")


def test_a_checkpoint_whose_tokenizer_is_damaged_is_refused(trained: Checkpoint, tmp_path: Path) -> None:
    trained.save(tmp_path / "kept")
    (tmp_path / "kept" / "tokenizer.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is damaged: expected a tokenizer"):
        load_checkpoint(tmp_path / "kept")


def test_a_batch_without_pieces_is_refused(trained: Checkpoint) -> None:
    features = trained.preprocessing.features(tokenize("Oslo"))
    batch = trained.preprocessing.collate([replace(features, pieces=None)])
    with pytest.raises(ValueError, match="pieces for the text encoder"):
        trained.model(batch)


def test_features_in_training_are_those_in_serving(trained: Checkpoint, make_trainer: Callable[..., Trainer]) -> None:
    text = "Flying to Oslo on Monday"
    pieces = trained.preprocessing.features(tokenize(text)).pieces
    again: Features = trained.preprocessing.features(tokenize(text), None, "a caption that this tagger does not read")
    assert pieces is not None
    assert again.pieces is not None
    assert [window.tolist() for window in pieces.windows] == [window.tolist() for window in again.pieces.windows]


def test_modality_dropout_takes_the_caption_with_the_image(
    tiny_transformer: Path, make_trainer: Callable[..., Trainer]
) -> None:
    changes = {"modalities": ("char", "text"), "text_encoder": "tiny-bert", "text_reads_captions": True}
    text = TextEncoder.pretrained(str(tiny_transformer))
    trainer = make_trainer(TrainingConfig(), text=text, fusion="concatenation", **changes)
    captioned = [
        [
            any(segments.any() for segments in post.pieces.segments)
            for batch in trainer._train.batches(config, 1, 0)
            for post in batch
            if post.pieces is not None
        ]
        for config in (TrainingConfig(modality_dropout=1.0), TrainingConfig(modality_dropout=0.0))
    ]
    assert captioned[0]
    assert not any(captioned[0])
    assert any(captioned[1])


@pytest.fixture
def tiny_roberta(tmp_path: Path) -> Path:
    """A tiny RoBERTa with random weights and few positions, whose tokenizer knows bytes, and one word with a space."""
    letters = [*tokenizers.pre_tokenizers.ByteLevel.alphabet(), "lo", "Ġlo"]
    vocabulary = {piece: id_ for id_, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(letters)])}
    tokenizer = transformers.RobertaTokenizer(vocab=vocabulary, merges=[("l", "o"), ("Ġ", "lo")])
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = transformers.RobertaConfig(vocab_size=len(vocabulary), max_position_embeddings=34, **sizes)
    transformers.RobertaModel(config).save_pretrained(tmp_path / "roberta")
    tokenizer.save_pretrained(tmp_path / "roberta")
    return tmp_path / "roberta"


def test_a_tokenizer_that_reads_spaces_sees_one_before_each_word(tiny_roberta: Path) -> None:
    _, pieces = TextEncoder.pretrained(str(tiny_roberta))
    library = transformers.AutoTokenizer.from_pretrained(tiny_roberta, add_prefix_space=True)
    [window] = pieces.pieces(tokenize("lo lolo lo")).windows
    assert window.tolist() == library(["lo", "lolo", "lo"], is_split_into_words=True)["input_ids"]
    assert library.convert_ids_to_tokens(window.tolist())[1:-1] == ["Ġlo", "Ġlo", "lo", "Ġlo"]


def test_no_window_is_longer_than_there_are_positions(tiny_roberta: Path) -> None:
    encoder, pieces = TextEncoder.pretrained(str(tiny_roberta))
    post = pieces.pieces(tokenize("lo " * 100))
    assert max(map(len, post.windows)) == pieces.longest_window == 32
    assert encoder(collate_pieces([post], 100)).shape == (1, 100, 16)


def test_a_tokenizer_that_is_no_one_file_is_refused(tiny_roberta: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python_only = transformers.CanineTokenizer()
    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", lambda *_, **__: python_only)
    with pytest.raises(TextEncoderError, match=r"roberta: expected a tokenizer that is one file, .* got a CanineTok"):
        TextEncoder.pretrained(str(tiny_roberta))


def test_a_tokenizer_that_is_not_the_transformers_is_refused(tiny_transformer: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_transformer, tmp_path / "partly")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(TextEncoderError, match=r"partly: expected a tokenizer of the Transformer's \d+ pieces, .* 5"):
        TextEncoder.pretrained(str(folder))


def test_weights_that_are_cut_off_are_one_sentence(tiny_transformer: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_transformer, tmp_path / "cut")
    os.truncate(folder / "model.safetensors", 5_000)
    with pytest.raises(TextEncoderError, match=r"text encoder .*cut: cannot be read from the folder: [^\n]+$"):
        TextEncoder.pretrained(str(folder))


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TextEncoderError, match="cannot be read from the folder"):
        TextEncoder.pretrained(str(tmp_path / "empty"))


@pytest.mark.parametrize("failure", [OSError, RuntimeError])
def test_without_a_hub_a_folder_is_asked_for_by_the_options_that_there_are(
    failure: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_hub(*_: object, **__: object) -> None:
        raise failure("no answer\nmore about it")

    monkeypatch.setattr(text_encoder, "_hub_silence", lambda: None)
    monkeypatch.setattr(transformers.AutoModel, "from_pretrained", no_hub)
    with pytest.raises(TextEncoderError, match=r"is no folder, .* the hub: no answer; where") as raised:
        TextEncoder.pretrained("somebody/something")
    assert "`train --model text_encoder=FOLDER`, `report --text-encoder PRESET=FOLDER`" in str(raised.value)


def test_a_hub_that_does_not_answer_is_asked_once_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    session = huggingface_hub.get_session()
    send = session.send
    monkeypatch.setattr(session, "send", lambda request, **how: [asked.append(request), send(request, **how)][-1])
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")  # where nobody listens
    wrong = r"somebody/something: is no folder, .* the hub: http://127\.0\.0\.1:9 does not answer: .*refused; where"
    with pytest.raises(TextEncoderError, match=wrong):
        TextEncoder.pretrained("somebody/something")
    assert len(asked) == 1


def test_a_folder_is_read_without_asking_the_hub_and_without_a_bar_in_logs(
    tiny_transformer: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(text_encoder, "_hub_silence", lambda: pytest.fail("the hub was asked"))
    TextEncoder.pretrained(str(tiny_transformer))
    assert capfd.readouterr().err == ""
    assert transformers.utils.logging.is_progress_bar_enabled()


def test_any_wrong_value_in_the_configuration_of_one_with_a_text_encoder_loads_or_is_refused(
    trained: Checkpoint, tmp_path: Path, try_wrong_values: Callable[..., None]
) -> None:
    trained.save(tmp_path / "kept")
    try_wrong_values(tmp_path / "kept", tag=True)


@pytest.mark.parametrize("longest", [-5, 0, 65, 10**9])
def test_a_window_that_the_transformer_cannot_read_is_refused(
    trained: Checkpoint, tmp_path: Path, longest: int
) -> None:
    trained.save(tmp_path / "kept")
    edit_config(tmp_path / "kept", text_longest_window=longest)
    message = rf"kept: config\.json does .*: text_longest_window: expected 1 to 64, .*, got {longest}$"
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(tmp_path / "kept")


def test_a_text_encoder_that_nothing_reads_is_refused(trained: Checkpoint, tmp_path: Path) -> None:
    trained.save(tmp_path / "kept")
    edit_config(tmp_path / "kept", model={**trained.model.config.to_json(), "modalities": ["char"], "text_encoder": ""})
    with pytest.raises(
        CheckpointError, match=r"config\.json does .*: text_encoder: expected one with the modality text"
    ):
        load_checkpoint(tmp_path / "kept")


def test_a_configuration_of_nothing_known_is_refused() -> None:
    with pytest.raises(TextEncoderError, match="does not describe a Transformer"):
        TextEncoder.from_config({"model_type": "a new kind"})


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(TextEncoderError, match=r"mner-stream\[transformer\]"):
        TextEncoder.pretrained("anything")


@pytest.mark.parametrize("command", ["tag", "evaluate"])
def test_a_checkpoint_that_needs_the_library_names_the_extra(
    command: str, trained: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained.save(tmp_path / "kept")
    (tmp_path / "posts.txt").write_text("Oslo\tB-LOC\n")
    monkeypatch.setitem(sys.modules, "transformers", None)
    option = ["--data"] if command == "evaluate" else []
    arguments = [command, "--checkpoint", tmp_path / "kept", *option, tmp_path / "posts.txt"]
    result = CliRunner().invoke(main, list(map(str, arguments)))
    needs = "a pretrained text encoder needs the transformers library: pip install 'mner-stream[transformer]'"
    assert (result.exit_code, result.stderr) == (1, f"mner-model: checkpoint {tmp_path / 'kept'}: {needs}\n")


def test_a_preset_that_needs_the_library_names_the_extra(tmp_path: Path) -> None:
    (tmp_path / "posts.txt").write_text("Oslo\tB-LOC\n")
    without = "import sys; sys.modules['transformers'] = None; from mner_model.cli import main; main()"
    train = ["train", "--preset", "minilm", "--train", "posts.txt", "--valid", "posts.txt", "--out", "out"]
    result = subprocess.run(
        [sys.executable, "-c", without, *train],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].endswith("pip install 'mner-stream[transformer]'")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "changes", [{"modalities": ("word", "text")}, {"modalities": ("word",), "text_encoder": "mpnet"}]
)
def test_the_name_and_the_modality_come_together(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="text_encoder"):
        ModelConfig(**changes)  # type: ignore[arg-type]
