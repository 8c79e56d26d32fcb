import json

import pytest

from mner_model.config import ConfigError, ModelConfig, TrainingConfig


def test_a_configuration_survives_its_way_through_json() -> None:
    config = ModelConfig(modalities=("word",), hidden=7)
    assert ModelConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_fields_are_changed_from_their_text() -> None:
    config = ModelConfig().changed(
        {"hidden": "256", "dropout": "0.6", "modalities": "word,char", "fusion": "attention"}
    )
    assert (config.hidden, config.dropout, config.modalities, config.fusion) == (
        256,
        0.6,
        ("word", "char"),
        "attention",
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sparkle": "1"}, "no field sparkle: expected one of types, modalities"),
        ({"reads_captions": "true"}, "no field reads_captions: expected one of types, modalities"),
        ({"hidden": "many"}, "hidden: expected a whole number, got 'many'"),
        ({"hidden": "0"}, "hidden: expected at least 1, got 0"),
        ({"modalities": "word,sound"}, "expected one or more of word, char, piece, text, image"),
        ({"modalities": "word,word"}, "expected one or more of word, char, piece, text, image"),
        ({"modalities": "char,hashtag"}, "modalities: expected word with caption and hashtag, got"),
        ({"modalities": "image"}, "modalities: expected word, char or text with image, got"),
        ({"text_reads_captions": "true"}, "text_reads_captions: expected true with the modality text only"),
        ({"side_hidden": "0"}, "side_hidden: expected at least 1, got 0"),
        ({"fusion": "glue"}, "fusion: expected one of concatenation, attention, gated_attention"),
        ({"types": "PER,GPE"}, "types: expected PER, LOC, ORG, MISC"),
        ({"segmentation_weight": "inf"}, "segmentation_weight: expected a finite number, got inf"),
        ({"dropout": "1"}, r"expected a dropout in \[0, 1\), got 1.0"),
    ],
)
def test_a_model_that_cannot_be_is_refused(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ModelConfig().changed(changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch_posts": "0"}, "batch_posts: expected at least 1"),
        ({"seed": str(2**63)}, "seed: expected a whole number of 64 bits, got 9223372036854775808"),
        ({"learning_rate": "nan"}, "learning_rate: expected more than 0, got nan"),
        ({"learning_rate": "inf"}, "learning_rate: expected a finite number, got inf"),
        ({"weight_decay": "nan"}, "weight_decay: expected a finite number, got nan"),
        ({"word_dropout": "1.5"}, "word_dropout: expected 0 to 1"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused(changes: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainingConfig().changed(changes)
