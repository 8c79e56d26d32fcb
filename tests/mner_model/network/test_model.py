"""The whole tagger: what stands beside a post in its batch must not change what is found in it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from mner_model.checkpoints.checkpoint import Checkpoint
from mner_model.config import ModelConfig
from mner_model.network.batch import Features, collate
from mner_model.network.model import MultimodalTagger
from mner_model.network.soft_targets import SoftTargets
from mner_model.text.tokenizer import tokenize
from mner_model.text.vocabulary import Alphabet

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
        bounds=torch.nn.functional.pad(batch.bounds, (0, 5)),
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


@pytest.mark.parametrize("fusion", ["concatenation", "attention", "gated_attention", "transformer_attention"])
@pytest.mark.parametrize("modalities", [("word",), ("char",), ("word", "char"), ("word", "char", "image")])
@pytest.mark.parametrize("char_encoder", ["bilstm", "bigru", "cnn"])
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


@pytest.mark.parametrize(
    "changes",
    [
        {"word_context": "bigru"},
        {"entity_encoder": "coupled_lstm"},
        {"entity_encoder": "none"},
        {"segmentation_weight": 1.0},
        {"batch_norm": True},
        {"reads_bounds": True},
    ],
)
def test_every_part_learns_and_keeps_posts_apart(
    train_small: Callable[..., Checkpoint], changes: dict[str, Any]
) -> None:
    checkpoint = train_small(epochs=1, **changes)
    learned = dict(checkpoint.model.named_parameters())
    fresh = MultimodalTagger(
        checkpoint.model.config,
        words=len(checkpoint.vocabulary),
        trained_words=checkpoint.model.words.correction.num_embeddings,
        alphabet_size=len(checkpoint.preprocessing.alphabet),
    )
    assert {name for name, _ in fresh.named_parameters()} == set(learned)
    together = checkpoint.model.tag(checkpoint.preprocessing.collate(posts(checkpoint)))
    for post, tagged in zip(posts(checkpoint), together, strict=True):
        [alone] = checkpoint.model.tag(checkpoint.preprocessing.collate([post]))
        assert alone.spans == tagged.spans
        assert alone.confidences == pytest.approx(tagged.confidences, abs=1e-4)


def batch_norm_model() -> MultimodalTagger:
    torch.manual_seed(0)
    config = ModelConfig(modalities=("char",), batch_norm=True, char_dimension=3, char_hidden=3, hidden=5, dropout=0.0)
    return MultimodalTagger(config, words=1, trained_words=1, alphabet_size=9).train()


def of_characters(*surfaces: str) -> Features:
    tags = np.zeros(len(surfaces), dtype=np.int64)
    return Features(np.zeros(len(surfaces), dtype=np.int64), surfaces, tags=tags)


def test_batch_norm_takes_its_statistics_over_tokens_and_not_over_padding() -> None:
    together, apart = batch_norm_model(), batch_norm_model()
    long, short = of_characters("ab", "c", "ba", "bb", "a", "cc"), of_characters("b", "cab")
    together.loss(collate([long, short], Alphabet("abc"), 100))
    tokens: list[torch.Tensor] = []
    apart.batch_norm.register_forward_hook(lambda module, inputs, output: tokens.append(inputs[0]))
    for post in (long, short):
        apart.loss(collate([post], Alphabet("abc"), 100))
    of_all = torch.cat(tokens)
    assert len(of_all) == 8
    momentum = together.batch_norm.momentum or 0.0
    expected = momentum * of_all.mean(dim=0), 1 - momentum + momentum * of_all.var(dim=0)
    torch.testing.assert_close(together.batch_norm.running_mean, expected[0])
    torch.testing.assert_close(together.batch_norm.running_var, expected[1])


def test_a_batch_of_a_single_token_is_normed_by_the_statistics_so_far() -> None:
    model = batch_norm_model()
    one = collate([of_characters("ab")], Alphabet("abc"), 100)
    torch.nn.init.constant_(model.batch_norm.running_mean, 0.5)
    loss = model.loss(one)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(model.eval().loss(one).item())
    assert model.batch_norm.running_mean.tolist() == [0.5] * len(model.batch_norm.running_mean)


def test_finding_mentions_of_any_type_is_learned_beside_them() -> None:
    config = ModelConfig(
        modalities=("char",), segmentation_weight=2.0, char_dimension=3, char_hidden=3, hidden=5, dropout=0.0
    )
    torch.manual_seed(0)
    model = MultimodalTagger(config, words=1, trained_words=1, alphabet_size=9)
    of_any_type = {"tags": [0, 3, 4, 5, 0], "segments": [0, 1, 2, 1, 0]}
    post = Features(np.zeros(5, dtype=np.int64), tuple("abcab"), tags=np.array(of_any_type["tags"]))
    batch = collate([post], Alphabet("abc"), 100)
    hidden, _ = model._read(batch, 0.0)
    expected = -model.crf.log_likelihood(model.emission(hidden), batch.mask, torch.tensor([of_any_type["tags"]]))
    gold = torch.tensor([of_any_type["segments"]])
    expected = expected - 2.0 * model.segment_crf.log_likelihood(model.segment_emission(hidden), batch.mask, gold)
    assert float(model.loss(batch).detach()) == pytest.approx(expected.item())


def test_two_readings_that_agree_are_no_further_apart_than_nothing() -> None:
    config = ModelConfig(modalities=("char",), char_dimension=3, char_hidden=3, hidden=5, dropout=0.0)
    model = MultimodalTagger(config, words=1, trained_words=1, alphabet_size=9)
    post = Features(np.zeros(2, dtype=np.int64), tuple("ab"), tags=np.array([1, 2]))
    batch = collate([post], Alphabet("abc"), 100)
    assert float(model.loss(batch, r_drop=5.0).detach()) == pytest.approx(float(model.loss(batch).detach()))


def test_r_drop_is_half_of_the_papers_loss_at_twice_its_alpha() -> None:
    config = ModelConfig(modalities=("char",), char_dimension=3, char_hidden=3, hidden=5, dropout=0.5)
    torch.manual_seed(0)
    model = MultimodalTagger(config, words=1, trained_words=1, alphabet_size=9)
    posts = [Features(np.zeros(n, dtype=np.int64), tuple("abc"[:n]), tags=np.array([1, 2, 0][:n])) for n in (3, 2)]
    batch = collate(posts, Alphabet("abc"), 100)
    r_drop, alpha = 0.7, 1.4
    torch.manual_seed(1)
    found = float(model.loss(batch, r_drop=r_drop).detach())
    torch.manual_seed(1)
    readings = [model(batch)[0].detach() for _ in range(2)]
    assert batch.tags is not None
    with torch.no_grad():
        likelihood = sum(model.crf.log_likelihood(one, batch.mask, batch.tags).mean() for one in readings)
    first, second = (torch.distributions.Categorical(logits=emissions) for emissions in readings)
    divergence = torch.distributions.kl_divergence
    apart = (divergence(first, second) + divergence(second, first)) / 2
    papers = -float(likelihood) + alpha * float((apart * batch.mask).sum(dim=1).mean())
    assert float((apart * batch.mask).sum()) > 1e-3
    assert found == pytest.approx(papers / 2, rel=1e-4)


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


# Bounds of the text, and gold that leaves something open


def eager_tagger() -> MultimodalTagger:
    """One that would put every token into one long mention of a person."""
    model = MultimodalTagger(
        ModelConfig(modalities=("char",), entity_encoder="none", fused_dimension=4, char_dimension=3, char_hidden=3),
        words=5,
        trained_words=5,
        alphabet_size=5,
    ).eval()
    with torch.no_grad():
        model.emission.weight.zero_()
        model.emission.bias.copy_(torch.tensor([0.0, 2, 9, 0, 0, 0, 0, 0, 0]))
    return model


@pytest.mark.parametrize(
    ("bounds", "spans"),
    [
        ([0, 0, 0, 0], [(0, 4)]),
        ([0, 0, 1, 0], [(0, 2), (2, 4)]),
        ([1, 1, 0, 0], [(0, 1), (1, 4)]),
        ([0, 2, 1, 0], [(0, 1), (2, 4)]),
        ([2, 2, 2, 2], []),
    ],
)
def test_no_mention_runs_over_a_bound_however_much_the_tagger_wants_it(
    bounds: list[int], spans: list[tuple[int, int]]
) -> None:
    post = Features(np.zeros(4, dtype=np.int64), tuple("abca"), bounds=np.array(bounds, dtype=np.int8))
    [tagged] = eager_tagger().tag(collate([post], Alphabet("abc"), 1))
    assert [(span.start, span.end) for span in tagged.spans] == spans
    assert all(0.5 < confidence <= 1 for confidence in tagged.confidences)


def test_open_gold_soft_targets_and_plain_gold_are_learned_in_one_batch() -> None:
    torch.manual_seed(0)
    model = eager_tagger()
    torch.nn.init.normal_(model.emission.weight)
    tags = np.array([1, 2, 0])
    open_gold = np.eye(9, dtype=np.bool_)[tags]
    open_gold[2, 7:] = True
    belief = SoftTargets.certain(np.array([1, 0, 0]), 9)
    posts = {
        "plain": Features(np.zeros(3, dtype=np.int64), tuple("abc"), tags=tags),
        "open": Features(np.zeros(3, dtype=np.int64), tuple("abc"), allowed=open_gold),
        "taught": Features(np.zeros(3, dtype=np.int64), tuple("abc"), soft_targets=belief),
        "both": Features(
            np.zeros(3, dtype=np.int64), tuple("abc"), allowed=open_gold, soft_targets=belief, gold_share=0.25
        ),
    }

    def loss(*names: str) -> float:
        return float(model.loss(collate([posts[name] for name in names], Alphabet("abc"), 1)).detach())

    assert loss("open") < loss("plain")
    assert loss("both") == pytest.approx(0.25 * loss("open") + 0.75 * loss("taught"), rel=1e-5)
    for names in (("plain", "open"), ("open", "taught", "both")):
        assert loss(*names) == pytest.approx(sum(map(loss, names)) / len(names), rel=1e-5)
