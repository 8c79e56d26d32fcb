"""Captions as vectors of whole numbers: what goes in comes out, after half precision too."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mner_model.captioning import image_reader as image_captions
from mner_model.captioning.captioner import DEFAULT_MAX_WORDS, Captioner
from mner_model.captioning.decoder import END, caption_vocabulary
from mner_model.captioning.image_reader import (
    LEAST_PROBABILITY,
    MOST_LABELS,
    CaptionerCaptions,
    CaptionerConfig,
    ImageReader,
    LabelCaptions,
    load_image_reader,
)
from mner_model.errors import CheckpointError
from mner_model.imaging.decoding import decode
from mner_model.imaging.encoder import ImageEncoder, ImageEncoderConfig, imagenet_labels, label_words
from mner_model.text.vocabulary import Vocabulary

LABELS = {"backbone": "efficientnet-lite0", "weights": None, "output": "labels"}
BLANK = torch.zeros(3, 8, 8, dtype=torch.uint8)


def vector_of(reader: ImageReader, image: Tensor) -> npt.NDArray[np.float32]:
    return reader.encode(reader.preprocess(image)[None])[0].numpy()


def through_half_precision(vector: Tensor) -> npt.NDArray[np.float32]:
    return vector.numpy().astype(np.float16).astype(np.float32)


class Classifier:
    """Stands in for an image encoder: says what it is told to believe, class by class."""

    fingerprint = "c" * 64

    def __init__(self, beliefs: dict[int, float] | None = None) -> None:
        self.beliefs = beliefs or {}

    def preprocess(self, image: Tensor) -> Tensor:
        return image

    def probabilities(self, batch: Tensor) -> Tensor:
        row = torch.full((1000,), 1e-5)
        for number, probability in self.beliefs.items():
            row[number] = probability
        return row.expand(len(batch), 1000)


CLASSIFIER = Classifier()
OF_CLASSIFIER = LabelCaptions(cast(ImageEncoder, CLASSIFIER))


@dataclass
class Talker:
    """Stands in for a captioner: says the words it is told to say."""

    vocabulary: Vocabulary
    said: tuple[int, ...] = ()
    fingerprint: str = "t" * 64

    def words(self, batch: Tensor, beam: int, max_words: int) -> list[tuple[int, ...]]:
        return [self.said] * len(batch)

    def text(self, words: Sequence[int]) -> str:
        return " ".join(self.vocabulary.forms[word] for word in words)


TALKER = Talker(caption_vocabulary(f"word{number}" for number in range(10_000)))
OF_TALKER = CaptionerCaptions(cast(Captioner, TALKER))


@given(st.lists(st.integers(0, 999), max_size=MOST_LABELS, unique=True))
def test_labels_come_back_from_half_precision_the_likeliest_first(labels: list[int]) -> None:
    CLASSIFIER.beliefs = {label: 0.5 / 2**place for place, label in enumerate(labels)}
    [vector] = OF_CLASSIFIER.encode(BLANK[None])
    expected = ", ".join(" ".join(label_words(imagenet_labels()[label])) for label in labels)
    assert OF_CLASSIFIER.caption(through_half_precision(vector)) == (expected or None)


@given(st.lists(st.integers(END + 1, len(TALKER.vocabulary) - 1), max_size=DEFAULT_MAX_WORDS))
def test_words_of_a_captioner_come_back_from_half_precision(words: list[int]) -> None:
    TALKER.said = tuple(words)
    [vector] = OF_TALKER.encode(BLANK[None])
    assert OF_TALKER.caption(through_half_precision(vector)) == (TALKER.text(words) or None)


def test_of_many_labels_the_likeliest_few_are_told_and_unlikely_ones_are_not() -> None:
    CLASSIFIER.beliefs = {4: 0.21, 3: 0.22, 2: 0.23, 1: 0.24}
    assert OF_CLASSIFIER.encode(BLANK[None]).tolist() == [[1, 2, 3]]
    CLASSIFIER.beliefs = {7: 0.8, 1: LEAST_PROBABILITY - 0.01}
    assert OF_CLASSIFIER.encode(BLANK[None]).tolist() == [[7, -1, -1]]


def test_no_images_give_no_vectors() -> None:
    assert [reader.encode(BLANK[None][:0]).shape for reader in (OF_CLASSIFIER, OF_TALKER)] == [
        (0, MOST_LABELS),
        (0, 2 * DEFAULT_MAX_WORDS),
    ]


@pytest.mark.parametrize("reader", [OF_CLASSIFIER, OF_TALKER], ids=["labels", "captioner"])
def test_a_vector_of_another_encoder_is_named(reader: ImageReader) -> None:
    with pytest.raises(ValueError, match=rf"expected an image embedding of {reader.dimension} numbers, got \[100\]"):
        reader.caption(np.zeros(100, np.float32))


@given(st.lists(st.integers(-3, 65_504), min_size=MOST_LABELS, max_size=MOST_LABELS))
def test_numbers_that_no_encoder_wrote_break_nothing(numbers: list[int]) -> None:
    OF_CLASSIFIER.caption(np.array(numbers, np.float32))
    OF_TALKER.caption(np.resize(np.array(numbers, np.float32), OF_TALKER.dimension))


# With real encoders


@pytest.fixture(scope="module")
def labels() -> ImageReader:
    return load_image_reader(LABELS)


def test_the_packaged_encoders_labels_are_its_likeliest(labels: ImageReader, drawn_picture: bytes) -> None:
    image = decode(drawn_picture)
    encoder = ImageEncoder.load()
    likeliest = encoder.probabilities(encoder.preprocess(image)[None])[0].topk(MOST_LABELS)
    expected = [
        " ".join(label_words(imagenet_labels()[number]))
        for probability, number in zip(likeliest.values.tolist(), likeliest.indices.tolist(), strict=True)
        if probability >= LEAST_PROBABILITY
    ]
    assert expected
    assert labels.caption(vector_of(labels, image)) == ", ".join(expected)


def test_a_captioners_vectors_say_what_it_says(captioner_folder: Path, drawn_picture: bytes) -> None:
    reader = CaptionerCaptions.load(CaptionerConfig.of(captioner_folder))
    images = [decode(drawn_picture), decode(drawn_picture).flip(2), torch.full((3, 80, 50), 90, dtype=torch.uint8)]
    said = [
        reader.caption(through_half_precision(vector))
        for vector in reader.encode(torch.stack([*map(reader.preprocess, images)]))
    ]
    assert said == Captioner.load(captioner_folder).caption(images)
    assert all(said)


def test_vectors_that_mean_different_things_have_different_fingerprints(
    labels: ImageReader, captioner_folder: Path
) -> None:
    captioner = CaptionerCaptions.load(CaptionerConfig.of(captioner_folder))
    assert len({labels.fingerprint, captioner.fingerprint, ImageEncoder.load().fingerprint}) == 3


@pytest.mark.parametrize("setting", ["DEFAULT_BEAM", "DEFAULT_MAX_WORDS"])
def test_captions_of_another_search_have_another_fingerprint(setting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_captions, setting, 7)
    assert CaptionerCaptions(cast(Captioner, TALKER)).fingerprint != OF_TALKER.fingerprint


def test_a_vector_of_features_says_nothing(drawn_picture: bytes) -> None:
    encoder: ImageReader = ImageEncoder.load()
    assert encoder.caption(vector_of(encoder, decode(drawn_picture))) is None


def test_what_an_image_says_to_people_is_what_the_tagger_reads_of_it(
    labels: ImageReader, captioner_folder: Path, drawn_picture: bytes
) -> None:
    image = decode(drawn_picture)
    captioner = CaptionerCaptions.load(CaptionerConfig.of(captioner_folder))
    assert labels.describe(image) == labels.caption(vector_of(labels, image))
    assert captioner.describe(image) == captioner.caption(vector_of(captioner, image))
    assert ImageEncoder.load().describe(image) is None
    encoder = ImageEncoder.load(ImageEncoderConfig(output="label_words"), label_vectors=torch.ones(1000, 2))
    probability, number = encoder.probabilities(encoder.preprocess(image)[None])[0].max(dim=0)
    assert str(encoder.describe(image)).startswith(f"{imagenet_labels()[int(number)]} {probability:.0%}, ")


def test_a_captioner_that_is_another_by_now_is_refused(captioner_folder: Path) -> None:
    config = CaptionerConfig(str(captioner_folder), "0" * 64)
    with pytest.raises(CheckpointError, match=r"expected the one with the fingerprint 000000000000, got [0-9a-f]{12}:"):
        CaptionerCaptions.load(config)
