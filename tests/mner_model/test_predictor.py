from pathlib import Path

import numpy as np
import pytest
import torch

from mner_model.checkpoint import Checkpoint, CheckpointError, load_checkpoint
from mner_model.image_encoder import ImageEncoderConfig
from mner_model.image_words import caption_words, label_vectors, words_vector
from mner_model.predictor import Document, Predictor


@pytest.fixture(scope="module")
def predictor(small_folder: Path) -> Predictor:
    return Predictor.load(small_folder, "cpu")


@pytest.mark.parametrize("text", ["", "   ", "\n\t "])
def test_a_text_without_tokens_has_no_mentions(predictor: Predictor, text: str) -> None:
    predictions = predictor.predict([Document(text), Document("flying to Lima on monday")])
    assert predictions[0].entities == ()
    assert [entity.text for entity in predictions[1].entities] == ["Lima"]


def test_offsets_count_code_points_of_the_text_as_received(predictor: Predictor) -> None:
    text = "👩‍👩‍👧  flying\u00a0to #Oslo on monday"
    [prediction] = predictor.predict([Document(text)])
    assert prediction.entities
    assert all(text[entity.start : entity.end] == entity.text for entity in prediction.entities)


def test_order_and_number_are_kept_over_several_passes(predictor: Predictor) -> None:
    documents = [
        Document(f"flying to {name} on monday" + " today" * (i % 7)) for i, name in enumerate(["Lima", "Oslo"] * 9)
    ]
    expected = [predictor.predict([document])[0] for document in documents]
    found = predictor.predict(documents, max_tokens=20)
    assert [[e.text for e in p.entities] for p in found] == [[e.text for e in p.entities] for p in expected]


def test_a_string_is_a_post_of_text_alone(predictor: Predictor) -> None:
    assert predictor.predict(["flying to Lima on monday"]) == predictor.predict([Document("flying to Lima on monday")])


def test_no_documents_give_no_predictions(predictor: Predictor) -> None:
    assert predictor.predict([]) == []


def test_confidence_is_a_probability(predictor: Predictor) -> None:
    [prediction] = predictor.predict([Document("meeting Ada Lovelace for lunch in Oslo")])
    assert all(0 <= entity.confidence <= 1 for entity in prediction.entities)


def test_label_words_of_an_image_meet_caption_words_in_one_space(small_checkpoint: Checkpoint) -> None:
    words = small_checkpoint.model.words
    assert label_vectors(small_checkpoint.vocabulary, words).shape == (1000, 12)
    caption = words_vector(caption_words("A dog on the beach"), small_checkpoint.vocabulary, words)
    assert caption is not None
    assert np.linalg.norm(caption) == pytest.approx(1.0, abs=1e-5)
    assert words_vector(["xyzzy"], small_checkpoint.vocabulary, words) is None


def test_an_image_goes_from_pixels_to_the_mentions_weights(folder_with_images: Path) -> None:
    predictor = Predictor.load(folder_with_images, "cpu")
    embeddings = predictor.embed_images([torch.full((3, 50, 80), 200, dtype=torch.uint8)])
    assert (embeddings.shape, embeddings.dtype) == ((1, 12), np.float32)
    [prediction] = predictor.predict([Document("flying to Oslo on monday", embeddings[0])])
    assert prediction.entities[0].modality_weights["image"] > 0


def test_an_image_encoder_that_is_not_there_is_one_clear_sentence(small_folder: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(small_folder)
    checkpoint.set_image_encoder(ImageEncoderConfig("resnet50", str(tmp_path / "none.pth"), "label_words"))
    checkpoint.save(tmp_path / "broken")
    with pytest.raises(CheckpointError, match=r"image encoder: no image encoder weights at .*none\.pth"):
        Predictor.load(tmp_path / "broken", "cpu")


def test_a_device_that_is_not_there_is_named(small_folder: Path) -> None:
    with pytest.raises(CheckpointError, match="device cuda:99"):
        Predictor.load(small_folder, "cuda:99")


def test_running_out_of_memory_does_not_break_the_device_and_a_cuda_error_does() -> None:
    assert not Predictor.is_broken_by(torch.OutOfMemoryError("CUDA out of memory"))
    assert not Predictor.is_broken_by(ValueError("a bad tensor"))
    assert Predictor.is_broken_by(RuntimeError("CUDA error: device-side assert triggered"))
