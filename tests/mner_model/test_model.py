"""The whole tagger: what stands beside a post in its batch must not change what is found in it."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from mner_model.batch import Features, collate
from mner_model.checkpoint import Checkpoint
from mner_model.config import ModelConfig
from mner_model.model import MultimodalTagger
from mner_model.text import tokenize
from mner_model.vocabulary import Alphabet

TrainSmall = Callable[..., Checkpoint]

TEXTS = ["flying to Oslo on monday", "ok", "meeting Ada Lovelace for lunch today with Grace Hopper !", "at NASA"]


def posts(checkpoint: Checkpoint) -> list[Features]:
    image = np.linspace(-1, 1, 12, dtype=np.float32)
    images = [None, image, image, None]
    return [
        checkpoint.preprocessing.features(tokenize(text), vector) for text, vector in zip(TEXTS, images, strict=True)
    ]


def test_a_batch_tags_as_its_posts_alone(small_checkpoint: Checkpoint) -> None:
    model, alphabet = small_checkpoint.model, small_checkpoint.preprocessing.alphabet
    together = model.tag(collate(posts(small_checkpoint), alphabet, 12))
    for post, in_batch in zip(posts(small_checkpoint), together, strict=True):
        [alone] = model.tag(collate([post], alphabet, 12))
        assert alone.spans == in_batch.spans
        assert alone.confidences == pytest.approx(in_batch.confidences, abs=1e-5)
        for ours, theirs in zip(alone.modality_weights, in_batch.modality_weights, strict=True):
            assert ours == pytest.approx(theirs, abs=1e-5)


def test_emissions_do_not_know_the_padding(small_checkpoint: Checkpoint) -> None:
    batch = collate(posts(small_checkpoint), small_checkpoint.preprocessing.alphabet, 12)
    wider = replace(
        batch,
        word_ids=torch.nn.functional.pad(batch.word_ids, (0, 5)),
        mask=torch.nn.functional.pad(batch.mask, (0, 5)),
        surface_index=torch.nn.functional.pad(batch.surface_index, (0, 5)),
    )
    with torch.inference_mode():
        narrow, wide = small_checkpoint.model(batch)[0], small_checkpoint.model(wider)[0]
    assert torch.allclose(narrow[batch.mask], wide[wider.mask], atol=1e-5)


def test_modality_weights_of_a_mention_sum_to_one_and_leave_out_a_missing_image(small_checkpoint: Checkpoint) -> None:
    batch = collate(posts(small_checkpoint), small_checkpoint.preprocessing.alphabet, 12)
    for post, has_image in zip(small_checkpoint.model.tag(batch), batch.has_image.tolist(), strict=True):
        for weights in post.modality_weights:
            assert sum(weights.values()) == pytest.approx(1.0, abs=1e-5)
            assert (weights["image"] > 0) is has_image


@pytest.mark.parametrize("fusion", ["concatenation", "attention", "gated_attention"])
@pytest.mark.parametrize("modalities", [("word",), ("char",), ("word", "char"), ("word", "char", "image")])
@pytest.mark.parametrize("char_encoder", ["bilstm", "cnn"])
def test_every_configuration_gives_a_loss_with_gradients(
    fusion: str, modalities: tuple[str, ...], char_encoder: str
) -> None:
    config = ModelConfig(
        modalities=modalities,  # type: ignore[arg-type]
        fusion=fusion,  # type: ignore[arg-type]
        char_encoder=char_encoder,  # type: ignore[arg-type]
        word_dimension=4,
        char_dimension=3,
        char_hidden=3,
        image_dimension=4,
        fused_dimension=6,
        hidden=5,
    )
    model = MultimodalTagger(config, words=9, trained_words=9, alphabet_size=9)
    image = np.ones(4, dtype=np.float32)
    post = Features(np.array([2, 3]), ("ab", "c"), image, tags=np.array([1, 2]))
    loss = model.loss(collate([post], Alphabet("abc"), 4), word_dropout=0.5)
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None for p in model.emission.parameters())


def test_weights_carry_their_modalitys_name_in_whatever_order_it_was_configured(train_small: TrainSmall) -> None:
    checkpoint = train_small(epochs=8, modalities=("image", "char", "word"))
    batch = collate(posts(checkpoint), checkpoint.preprocessing.alphabet, 12)
    weights = [weights for post in checkpoint.model.tag(batch)[3:] for weights in post.modality_weights]
    assert weights, "the post without an image has a mention"
    assert all(w["image"] == 0 and w["word"] > 0 and w["char"] > 0 for w in weights)


def test_tags_of_another_order_of_posts_are_the_same(small_checkpoint: Checkpoint) -> None:
    features = posts(small_checkpoint)
    forward = small_checkpoint.model.tag(collate(features, small_checkpoint.preprocessing.alphabet, 12))
    backward = small_checkpoint.model.tag(collate(features[::-1], small_checkpoint.preprocessing.alphabet, 12))
    assert [post.spans for post in forward] == [post.spans for post in backward[::-1]]


def test_an_image_embedding_of_another_encoder_is_named(small_checkpoint: Checkpoint) -> None:
    post = small_checkpoint.preprocessing.features(tokenize("hi"), np.zeros(7, dtype=np.float32))
    with pytest.raises(ValueError, match=r"expected an image embedding of 12 numbers, got \[7\]"):
        collate([post], small_checkpoint.preprocessing.alphabet, 12)
