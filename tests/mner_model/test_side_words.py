"""Taggers that read the words of captions and hashtags, from training over the checkpoint to serving."""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from mner_model.checkpoints.checkpoint import Checkpoint, check_destination, load_checkpoint
from mner_model.config import ModelConfig, TrainingConfig
from mner_model.data.conll import example_from_words
from mner_model.data.examples import Example
from mner_model.errors import CheckpointError
from mner_model.evaluation.run import evaluate_checkpoint
from mner_model.network.batch import Batch, Features
from mner_model.predictor import Document, Predictor
from mner_model.reporting.scores import measure, scored_sets
from mner_model.segmenter.hashtags import FILES, HashtagSegmenter
from mner_model.text.tokenizer import tokenize
from mner_model.text.vocabulary import WordVectors
from mner_model.training.posts import TrainingReader
from mner_model.training.trainer import Trainer

ALL = {
    "modalities": ("word", "char", "caption", "hashtag"),
    "word_context": "bigru",
    "char_encoder": "bigru",
    "fusion": "transformer_attention",
    "entity_encoder": "none",
    "side_hidden": 6,
}
POSTS = [
    ("flying to Oslo on monday", "a dog on the beach"),
    ("ok #lunchfriends", None),
    ("meeting Ada Lovelace for lunch today #MondayLunch #dogbeach", "two cats"),
    ("at NASA", None),
]


@pytest.fixture(scope="module")
def trained(train_small: Callable[..., Checkpoint]) -> Checkpoint:
    return train_small(epochs=3, **ALL)


@pytest.fixture(scope="module")
def saved(trained: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "side words"
    trained.save(folder)
    return folder


def features(checkpoint: Checkpoint, posts: Sequence[tuple[str, str | None]] = POSTS) -> list[Features]:
    return [checkpoint.preprocessing.features(tokenize(text), caption=caption) for text, caption in posts]


def read(checkpoint: Checkpoint, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    with torch.inference_mode():
        emissions, weights = checkpoint.model(batch)
    return emissions, weights


def noting(predictor: Predictor) -> tuple[Predictor, list[Batch]]:
    """The predictor, and the batches that its model gets from here on."""
    batches: list[Batch] = []

    def note(_: object, given: tuple[Batch, ...], __: object) -> None:
        batches.append(given[0])

    predictor._model.register_forward_hook(note)
    return predictor, batches


@pytest.fixture(params=["transformer_attention", "gated_attention", "concatenation"])
def checkpoint(
    request: pytest.FixtureRequest, trained: Checkpoint, train_small: Callable[..., Checkpoint]
) -> Checkpoint:
    fusion = request.param
    return trained if fusion == ALL["fusion"] else train_small(epochs=1, **{**ALL, "fusion": fusion})


def test_a_batch_reads_as_its_posts_alone(checkpoint: Checkpoint) -> None:
    posts = features(checkpoint)
    together, _ = read(checkpoint, checkpoint.preprocessing.collate(posts))
    for row, post in enumerate(posts):
        [alone], _ = read(checkpoint, checkpoint.preprocessing.collate([post]))
        assert torch.allclose(together[row, : len(post)], alone, atol=1e-5)


def test_padding_of_captions_and_hashtags_changes_nothing(trained: Checkpoint) -> None:
    batch = trained.preprocessing.collate(features(trained))
    pad = torch.nn.functional.pad
    wider = replace(batch, caption_ids=pad(batch.caption_ids, (0, 4)), hashtag_ids=pad(batch.hashtag_ids, (0, 2)))
    assert torch.allclose(read(trained, batch)[0], read(trained, wider)[0], atol=1e-6)


def test_a_post_without_a_caption_is_read_as_in_a_batch_without_any(checkpoint: Checkpoint) -> None:
    first, second = features(checkpoint, [("at NASA", None), ("so tired today", "a dog on the beach")])
    beside_one = checkpoint.preprocessing.collate([first, second])
    beside_none = checkpoint.preprocessing.collate([first, replace(second, caption_ids=())])
    assert beside_none.caption_ids.shape[1] == 0
    assert torch.equal(read(checkpoint, beside_one)[0][0], read(checkpoint, beside_none)[0][0])


def test_what_a_post_does_not_have_weighs_nothing(trained: Checkpoint) -> None:
    batch = trained.preprocessing.collate(features(trained))
    _, weights = read(trained, batch)
    assert tuple(trained.model.fusion.dimensions) == ALL["modalities"]
    assert torch.allclose(weights.sum(dim=2), torch.ones(()), atol=1e-5)
    assert (weights[:, 0, 2] > 0).tolist() == [True, False, True, False]
    assert (weights[:, 0, 3] > 0).tolist() == [False, True, True, False]


# Training


KINDS = [("dog", "PER"), ("cat", "LOC")]


def ambiguous(modality: str, others: Sequence[str]) -> list[Example]:
    """Posts whose name is a person's beside a dog and a place's beside a cat: dogfriends, catfriends and so on."""
    if modality == "caption":
        return [
            example_from_words(["we", "saw", "Jordan"], ["O", "O", f"B-{type_}"], caption=f"{kind} {other}")
            for kind, type_ in KINDS
            for other in others
        ]
    return [
        example_from_words(["we", "saw", "Jordan", f"#{kind}{other}"], ["O", "O", f"B-{type_}", "O"])
        for kind, type_ in KINDS
        for other in others
    ]


@pytest.mark.parametrize("modality", ["caption", "hashtag"])
def test_words_beside_a_post_decide_what_the_post_does_not(modality: str) -> None:
    posts = ambiguous(modality, ["friends", "job"]) * 16
    words = ["we", "saw", "dog", "cat", "friends", "job", "beach"]
    vectors = WordVectors(words, np.random.default_rng(0).normal(size=(len(words), 12)).astype(np.float32))
    recipe = TrainingConfig(epochs=12, batch_posts=8, learning_rate=2e-2, modality_dropout=0.0, word_dropout=0.0)
    model = ModelConfig(
        modalities=("word", modality),  # type: ignore[arg-type]
        word_dimension=12,
        side_hidden=6,
        fused_dimension=24,
        entity_encoder="none",  # so that nothing else tells the name what stands beside it
        dropout=0.0,
    )
    predictor = Predictor(
        Trainer(posts, {"same": posts}, vectors, model, recipe).run("ambiguous"), None, torch.device("cpu")
    )
    for example, (_, type_) in zip(ambiguous(modality, ["beach"]), KINDS, strict=True):
        [found] = predictor.predict([Document(example.text, caption=example.caption)])
        assert [(entity.text, entity.type) for entity in found.entities] == [("Jordan", type_)]


def test_the_numbers_in_training_are_those_in_serving(
    make_trainer: Callable[..., Trainer], trained: Checkpoint
) -> None:
    trainer = make_trainer(TrainingConfig(epochs=1), **ALL)
    example = example_from_words(
        "flying to Oslo #MondayLunch".split(), ["O", "O", "B-LOC", "O"], caption="a dog on the beach"
    )
    predictor, served = noting(Predictor(trained, None, torch.device("cpu")))
    predictor.predict([Document(example.text, caption=example.caption)])
    learned = trainer.preprocessing.collate(
        [TrainingReader(trainer.preprocessing, trainer.model, trainer.config).features(example)]
    )
    assert learned.caption_ids.any()
    assert learned.hashtag_ids.any()
    for name in ("word_ids", "caption_ids", "hashtag_ids"):
        assert torch.equal(getattr(served[0], name), getattr(learned, name))


def test_modality_dropout_takes_the_caption_and_leaves_the_hashtags(make_trainer: Callable[..., Trainer]) -> None:
    trainer = make_trainer(TrainingConfig(), **ALL)
    captioned = [
        [bool(post.caption_ids) for batch in trainer._train.batches(config, 1, 0) for post in batch]
        for config in (TrainingConfig(modality_dropout=1.0), TrainingConfig(modality_dropout=0.0))
    ]
    assert not any(captioned[0])
    assert any(captioned[1])


def test_validation_reads_hashtags_and_no_captions(make_trainer: Callable[..., Trainer]) -> None:
    post = example_from_words(["hi", "#MondayLunch"], ["O", "O"], caption="a dog")
    trainer = make_trainer(TrainingConfig(), validation={"one": [post]}, **ALL)
    [[validation]] = trainer._features_of_validation.values()
    assert (len(validation.hashtag_ids), validation.caption_ids) == (2, ())


# The checkpoint


def test_a_checkpoint_takes_its_segmenter_along(trained: Checkpoint, saved: Path, tmp_path: Path) -> None:
    assert {path.name for path in saved.iterdir()} > {*FILES}
    documents = [Document(text, caption=caption) for text, caption in POSTS]
    before, after = (
        Predictor(one, None, torch.device("cpu")).predict(documents) for one in (trained, load_checkpoint(saved))
    )
    spans = [[(entity.type, entity.text) for entity in one.entities] for one in before]
    assert spans == [[(entity.type, entity.text) for entity in one.entities] for one in after]
    assert any(spans)
    assert load_checkpoint(saved).save(tmp_path / "again") == trained.fingerprint


def test_another_segmenter_is_another_fingerprint(saved: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "copy"))
    config = json.loads((folder / "segmenter.json").read_text(encoding="utf-8"))
    config["weights"]["word"] -= 1.0
    (folder / "segmenter.json").write_text(json.dumps(config), encoding="utf-8")
    assert load_checkpoint(folder).fingerprint != load_checkpoint(saved).fingerprint


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_of_the_segmenter_is_named(saved: Path, tmp_path: Path, name: str) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "copy"))
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=rf"{re.escape(name)} is missing, "):
        load_checkpoint(folder)


def test_a_segmenter_is_not_written_over_with_a_checkpoint(saved: Path, trained: Checkpoint, tmp_path: Path) -> None:
    HashtagSegmenter.load().save(tmp_path / "segmenter")
    with pytest.raises(CheckpointError, match="which is no part of a checkpoint"):
        check_destination(tmp_path / "segmenter")
    with pytest.raises(CheckpointError, match="which is no part of a checkpoint"):
        trained.save(tmp_path / "segmenter")
    check_destination(saved)


# Serving and scoring


def test_a_caption_that_is_read_has_an_effect_as_an_image_has(trained: Checkpoint) -> None:
    predictor = Predictor(trained, None, torch.device("cpu"))
    text = "flying to Oslo on monday"
    seen, plain = predictor.predict([Document(text, caption="a dog on the beach"), Document(text)], image_effect=True)
    [with_caption], [without] = seen.entities, plain.entities
    assert without.image_effect is None
    assert with_caption.image_effect == pytest.approx(with_caption.confidence - without.confidence, abs=1e-5)
    assert abs(with_caption.confidence - without.confidence) > 1e-5


def test_captions_are_read_by_taggers_that_make_something_of_them(
    saved: Path, small_folder: Path, folder_with_images: Path
) -> None:
    folders = (saved, small_folder, folder_with_images)
    assert [Predictor.load(folder, "cpu").reads_captions for folder in folders] == [True, False, True]


@pytest.fixture
def gold(tmp_path: Path) -> Path:
    folder = tmp_path / "made-up"
    folder.mkdir()
    file = folder / "test.txt"
    file.write_text("IMGID:7\nflying\tO\nto\tO\nOslo\tB-LOC\n\n", encoding="utf-8")
    file.with_suffix(".captions.tsv").write_text("7\ta dog on the beach\n", encoding="utf-8")
    return file


def test_evaluation_with_captions_is_of_a_tagger_that_sees_them(saved: Path, gold: Path) -> None:
    predictor, batches = noting(Predictor.load(saved, "cpu"))
    result = evaluate_checkpoint(predictor, gold, gold.with_suffix(".captions.tsv"))
    assert result["data"]["captions"] == 1
    assert "without_images" in result
    assert [tuple(batch.caption_ids.shape) for batch in batches] == [(1, 2), (1, 0)]


def test_a_report_scores_it_with_captions_too(saved: Path, gold: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "kept"))
    rows = measure("side words", 0, folder, scored_sets([gold]), "cpu", lambda line: None)
    assert [row.with_images for row in rows] == [False, True]
