"""Taggers that read captions, where nobody writes any: the image's own embedding says one."""

import base64
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from click.testing import CliRunner

from mner_model.captioning.image_reader import CaptionerConfig, LabelCaptions
from mner_model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from mner_model.cli import main
from mner_model.commands.tag_lines import read_line, tag_posts
from mner_model.config import TrainingConfig
from mner_model.errors import CheckpointError
from mner_model.evaluation.run import evaluate_checkpoint
from mner_model.imaging.decoding import decode
from mner_model.imaging.encoder import ImageEncoder, ImageEncoderConfig
from mner_model.network.batch import Batch
from mner_model.network.text_encoder import TextEncoder
from mner_model.posts.post import Post
from mner_model.predictor import Document, Predictor
from mner_model.text.vocabulary import UNKNOWN
from mner_model.training.trainer import Trainer

TRIMOD = {
    "modalities": ("word", "char", "caption"),
    "word_context": "bigru",
    "char_encoder": "bigru",
    "fusion": "transformer_attention",
    "entity_encoder": "none",
    "side_hidden": 6,
}
TEXT = "flying to Oslo on monday"
NOTHING = np.full(3, -1, np.float32)  # what labels are told of an image that is like none of them


@pytest.fixture(scope="module")
def trained(train_small: Callable[..., Checkpoint]) -> Checkpoint:
    return train_small(epochs=3, **TRIMOD)


@pytest.fixture(scope="module")
def told_labels(trained: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "labels"
    trained.set_image_encoder(ImageEncoderConfig(output="labels"))
    trained.save(folder)
    return folder


@pytest.fixture(scope="module")
def told_captions(trained: Checkpoint, captioner_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "captions"
    trained.set_image_encoder(CaptionerConfig.of(captioner_folder))
    trained.save(folder)
    return folder


def noting(predictor: Predictor) -> list[Batch]:
    """The batches that its model gets from here on."""
    batches: list[Batch] = []

    def note(_: object, given: tuple[Batch, ...], __: object) -> None:
        batches.append(given[0])

    predictor._model.register_forward_hook(note)
    return batches


def seen(predictor: Predictor, picture: bytes) -> tuple[npt.NDArray[np.float32], str]:
    """A picture's embedding, and what it says."""
    embedding = predictor.embed_images([decode(picture)])[0]
    assert predictor._images is not None
    said = predictor._images.caption(embedding)
    assert said
    return embedding, said


def post(picture: bytes) -> Post:
    line = {"id": "p", "text": TEXT, "image_data": base64.b64encode(picture).decode()}
    return read_line(json.dumps(line).encode(), 1)


@pytest.mark.parametrize("tagger", ["caption_tagger", "told_captions"])
def test_an_image_that_says_something_reads_as_the_same_caption_by_hand(
    tagger: str, request: pytest.FixtureRequest, drawn_picture: bytes
) -> None:
    predictor = Predictor.load(request.getfixturevalue(tagger), "cpu")
    embedding, said = seen(predictor, drawn_picture)
    batches = noting(predictor)
    halved = embedding.astype(np.float16).astype(np.float32)
    predictor.predict([Document(TEXT, embedding)])
    predictor.predict([Document(TEXT, halved)])
    predictor.predict([Document(TEXT, caption=said)])
    [record] = tag_posts(predictor, [post(drawn_picture)])
    assert record.image.status == "used"
    of_image, of_halved, by_hand, of_post = (batch.caption_ids.tolist() for batch in batches)
    assert of_image == of_halved == of_post == by_hand
    assert any(id_ > UNKNOWN for id_ in by_hand[0])
    assert not any(batch.has_image.any() for batch in batches)


def test_a_caption_by_hand_comes_before_what_the_image_says(told_labels: Path, drawn_picture: bytes) -> None:
    predictor = Predictor.load(told_labels, "cpu")
    embedding, _ = seen(predictor, drawn_picture)
    batches = noting(predictor)
    for caption in ("a dog on the beach", ""):
        predictor.predict([Document(TEXT, embedding, caption=caption)])
        predictor.predict([Document(TEXT, caption=caption)])
    ids = [batch.caption_ids.tolist() for batch in batches]
    assert ids[0] == ids[1]
    assert ids[2] == ids[3] == [[]]


def test_what_an_image_says_has_an_effect_and_weighs_as_a_caption_does(told_labels: Path, drawn_picture: bytes) -> None:
    predictor = Predictor.load(told_labels, "cpu")
    embedding, said = seen(predictor, drawn_picture)
    documents = [Document(TEXT, embedding), Document(TEXT, caption=said), Document(TEXT)]
    of_image, by_hand, plain = (predictor.predict([one], image_effect=True)[0].entities for one in documents)
    assert of_image
    assert of_image == by_hand
    assert of_image[0].image_effect
    assert [entity.image_effect for entity in plain] == [None]
    weights = [predictor.modality_weights(document).weights for document in documents]
    assert weights[0].tolist() == weights[1].tolist()
    assert weights[0].tolist() != weights[2].tolist()


def test_an_image_that_says_nothing_leaves_the_post_as_it_is(told_labels: Path) -> None:
    predictor = Predictor.load(told_labels, "cpu")
    silent, plain = (predictor.predict([Document(TEXT, one)], image_effect=True)[0] for one in (NOTHING, None))
    assert silent.entities
    assert [replace(entity, image_effect=None) for entity in silent.entities] == [*plain.entities]
    assert [entity.image_effect for entity in silent.entities] == pytest.approx([0.0] * len(silent.entities), abs=1e-6)


def test_each_tagger_tells_what_its_images_are_to_it(
    told_labels: Path, told_captions: Path, folder_with_images: Path, small_folder: Path
) -> None:
    predictors = [
        Predictor.load(folder, "cpu") for folder in (told_labels, told_captions, folder_with_images, small_folder)
    ]
    assert [one.image_dimension for one in predictors] == [3, 40, 12, None]
    assert [one.reads_image_vectors for one in predictors] == [False, False, True, False]
    assert [one.reads_captions for one in predictors] == [True, True, True, False]
    fingerprints = [one.image_fingerprint for one in predictors]
    assert len({*fingerprints}) == 4
    for one in predictors:
        one.warm()


def test_an_embedding_of_another_encoder_is_refused_and_of_one_that_nobody_reads_is_left_alone(
    trained: Checkpoint, told_labels: Path
) -> None:
    wrong = Document(TEXT, np.zeros(12, np.float32))
    with pytest.raises(ValueError, match=r"expected an image embedding of 3 numbers, got \[12\]"):
        Predictor.load(told_labels, "cpu").predict([wrong])
    blind = Predictor(trained, None, torch.device("cpu"))
    assert blind.predict([wrong], image_effect=True) == blind.predict([TEXT])


def test_a_tagger_with_image_and_captions_keeps_the_vector_and_is_told_no_caption(
    train_small: Callable[..., Checkpoint], drawn_picture: bytes, tmp_path: Path
) -> None:
    both = train_small(epochs=1, **{**TRIMOD, "modalities": ("word", "caption", "image")})
    both.set_image_encoder(ImageEncoderConfig(output="label_words"))
    both.save(tmp_path / "both")
    predictor = Predictor.load(tmp_path / "both", "cpu")
    batches = noting(predictor)
    [embedding] = predictor.embed_images([decode(drawn_picture)])
    predictor.predict([Document(TEXT, embedding), Document(TEXT, embedding, caption="a dog")])
    [batch] = batches
    assert batch.image[0].tolist() == pytest.approx(embedding.tolist())
    assert (batch.has_image.tolist(), batch.caption_ids.bool().any(dim=1).tolist()) == ([True, True], [False, True])


def test_a_text_encoder_reads_what_an_image_says_behind_the_text(
    tiny_transformer: Path, make_trainer: Callable[..., Trainer]
) -> None:
    changes = {"modalities": ("char", "text"), "text_encoder": "tiny-bert", "text_reads_captions": True}
    text = TextEncoder.pretrained(str(tiny_transformer))
    trainer = make_trainer(TrainingConfig(epochs=1), text=text, fusion="concatenation", **changes)
    predictor = Predictor(trainer.run("reads"), LabelCaptions(ImageEncoder.load()), torch.device("cpu"))
    batches = noting(predictor)
    goldfish = np.array([1, -1, -1], np.float32)
    predictor.predict([Document(TEXT, goldfish)])
    predictor.predict([Document(TEXT, caption="goldfish")])
    of_image, by_hand = (batch.pieces for batch in batches)
    assert of_image is not None
    assert by_hand is not None
    assert of_image.segment_ids.any()
    assert torch.equal(of_image.piece_ids, by_hand.piece_ids)


def test_scoring_gives_captions_by_hand_to_a_tagger_that_is_told_labels(told_labels: Path, tmp_path: Path) -> None:
    file = tmp_path / "test.txt"
    file.write_text("IMGID:7\nflying\tO\nto\tO\nOslo\tB-LOC\n\n", encoding="utf-8")
    file.with_suffix(".captions.tsv").write_text("7\ta dog on the beach\n", encoding="utf-8")
    predictor = Predictor.load(told_labels, "cpu")
    batches = noting(predictor)
    evaluate_checkpoint(predictor, file, file.with_suffix(".captions.tsv"))
    forms = [predictor.vocabulary.forms[id_] for id_ in batches[0].caption_ids[0].tolist()]
    assert forms == ["dog", "beach"]


# The checkpoint


def test_a_captioner_that_has_gone_or_changed_is_one_clear_sentence(
    told_captions: Path, captioner_folder: Path, tmp_path: Path
) -> None:
    captioner = Path(shutil.copytree(captioner_folder, tmp_path / "captioner"))
    folder = tmp_path / "tagger"
    checkpoint = load_checkpoint(told_captions)
    checkpoint.set_image_encoder(CaptionerConfig.of(captioner))
    checkpoint.save(folder)
    Predictor.load(folder, "cpu")
    (captioner / "vocabulary.txt").write_text((captioner / "vocabulary.txt").read_text().replace("oslo", "rome"))
    with pytest.raises(CheckpointError, match=rf"checkpoint {folder}: image encoder: captioner {captioner}: expected"):
        Predictor.load(folder, "cpu")
    shutil.rmtree(captioner)
    with pytest.raises(CheckpointError, match=rf"{folder}: image encoder: captioner {captioner}: config\.json is miss"):
        Predictor.load(folder, "cpu")


def test_a_checkpoint_from_before_is_blind_to_images_and_reads_captions_by_hand(told_labels: Path) -> None:
    before = load_checkpoint(told_labels)
    before.image_encoder = None
    predictor = Predictor(before, None, torch.device("cpu"))
    assert (predictor.image_dimension, predictor.image_fingerprint, predictor.reads_captions) == (None, None, True)


# Training


@pytest.fixture
def data(tmp_path: Path) -> Path:
    file = tmp_path / "set" / "dev.txt"
    file.parent.mkdir()
    file.write_text("IMGID:1\nflying\tO\nto\tO\nLima\tB-LOC\n\nIMGID:2\nat\tO\nNASA\tB-ORG\n", encoding="utf-8")
    file.with_suffix(".captions.tsv").write_text("1\ta dog on the beach\n2\ta cat\n", encoding="utf-8")
    (tmp_path / "vectors.txt").write_text("".join(f"{word} 0.1 0.2\n" for word in ("lima", "dog", "cat")))
    return file


def train(data: Path, *options: object) -> tuple[int, str]:
    out, vectors = data.parent.parent / "out", data.parent.parent / "vectors.txt"
    files = ["--train", data, "--valid", data, "--vectors", vectors, "--out", out, "--epochs", 1, "--device", "cpu"]
    result = CliRunner().invoke(main, ["train", *map(str, [*files, *options])])
    return result.exit_code, result.stderr


def trained_with(data: Path) -> object:
    return json.loads((data.parent.parent / "out" / "config.json").read_text(encoding="utf-8"))["image_encoder"]


def test_a_tagger_that_reads_captions_is_told_labels_unless_there_is_a_captioner(
    data: Path, captioner_folder: Path, drawn_picture: bytes
) -> None:
    code, said = train(data, "--preset", "trimod-caption")
    assert code == 0, said
    assert trained_with(data) == {"backbone": "efficientnet-lite0", "weights": None, "output": "labels"}
    shutil.rmtree(data.parent.parent / "out")
    code, said = train(data, "--preset", "trimod-caption", "--captioner", captioner_folder)
    assert code == 0, said
    config = CaptionerConfig.of(captioner_folder)
    assert trained_with(data) == {"captioner": str(captioner_folder), "fingerprint": config.fingerprint}
    [record] = tag_posts(Predictor.load(data.parent.parent / "out", "cpu"), [post(drawn_picture)])
    assert record.image.status == "used"


def test_a_tagger_that_images_tell_nothing_has_no_encoder(data: Path) -> None:
    code, said = train(data, "--preset", "trimod-text")
    assert (code, trained_with(data)) == (0, None), said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["--preset", "trimod-text"],
            "--captioner: expected a model that reads captions, got the modalities word, char",
        ),
        (
            ["--preset", "trimod-caption", "--model", "modalities=word,caption,image"],
            "--captioner: expected a model that reads captions, and without the modality image, "
            "got the modalities word, caption, image",
        ),
        (
            ["--preset", "trimod-caption", "--image-encoder", "resnet50"],
            "--captioner: expected no --image-encoder and no --image-weights: it has its own",
        ),
    ],
    ids=["no captions", "image too", "two encoders"],
)
def test_a_captioner_that_would_not_be_heard_is_refused(
    options: list[str], said: str, data: Path, captioner_folder: Path
) -> None:
    assert train(data, *options, "--captioner", captioner_folder) == (1, f"mner-model: {said}\n")


def test_a_captioner_that_is_none_is_refused_before_any_training(data: Path, tmp_path: Path) -> None:
    code, said = train(data, "--preset", "trimod-caption", "--captioner", tmp_path)
    assert (code, said.count("\n")) == (1, 1)
    assert f"captioner {tmp_path}: config.json is missing, expected the folder that `train-captioner` wrote" in said


def test_what_a_tagger_with_image_and_captions_will_not_be_told_is_said(data: Path) -> None:
    code, said = train(data, "--preset", "trimod-caption", "--model", "modalities=word,caption,image")
    assert code == 0, said
    assert "the modality image takes the image when tagging: captions are read where a caller brings them" in said
