"""config.json of a checkpoint: read, and everything in it looked at before a model is made of it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mner_model.config import ConfigError, ModelConfig, check_type
from mner_model.errors import CheckpointError, reason
from mner_model.network.text_encoder import ExtraMissing
from mner_model.text.labels import ENTITY_TYPES

FORMAT = 1
CONFIG_FILE = "config.json"


def training_story(folder: Path) -> dict[str, Any]:
    """How a checkpoint was trained and on what, without its weights; raises CheckpointError where there is none."""
    return dict(read_config(folder)["training"])


def model_choices(folder: Path) -> dict[str, Any]:
    """What was chosen of a checkpoint's model, without its weights; raises CheckpointError where it tells none."""
    with described_by(folder):
        return ModelConfig.from_json(read_config(folder)["model"]).choices()


def read_config(folder: Path) -> dict[str, Any]:
    """All fields, those that older versions did not write with their defaults.

    Raises CheckpointError where it cannot be read, is of another format or other tags, or has values of wrong types.
    """
    try:
        config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"checkpoint {folder}: {CONFIG_FILE} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"checkpoint {folder}: {CONFIG_FILE} is not JSON: {error}") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        found = config.get("format") if isinstance(config, dict) else type(config).__name__
        raise CheckpointError(f"checkpoint {folder}: expected format {FORMAT}, got {found!r}")
    model = config.get("model")
    types = model.get("types") if isinstance(model, dict) else None
    types = tuple(map(str, types)) if isinstance(types, list) else ()
    if set(types) != set(ENTITY_TYPES):
        raise CheckpointError(
            f"checkpoint {folder}: tags {', '.join(types) or 'nothing'}, expected {', '.join(ENTITY_TYPES)}"
        )
    config = {"name": folder.name, "text_encoder": None, "image_encoder": None, "training": {}, **config}
    with described_by(folder):
        _check_types(config)
    return config


def _check_types(config: Mapping[str, Any]) -> None:
    """Raises ConfigError for a field that is of another type; those of the model are looked at apart."""
    expected: dict[str, type] = {"name": str, "alphabet": str, "trained_words": int, "training": dict}
    if config["text_encoder"] is not None:
        expected |= {"text_encoder": dict, "text_longest_window": int}
    if config["image_encoder"] is not None:
        expected["image_encoder"] = dict
    for name in expected.keys() & config.keys():
        check_type(name, config[name], expected[name])
    for name, value in (config["image_encoder"] or {}).items():
        if value is not None or name != "weights":
            check_type(f"image_encoder: {name}", value, str)


@contextmanager
def described_by(folder: Path) -> Iterator[None]:
    """Turns what is wrong with values of config.json into a CheckpointError."""
    try:
        yield
    except ExtraMissing as error:
        raise CheckpointError(f"checkpoint {folder}: {error}") from error
    except KeyError as error:
        raise CheckpointError(
            f"checkpoint {folder}: {CONFIG_FILE} does not describe a model: {error.args[0]} is missing"
        ) from error
    # all but ConfigError are torch's, for sizes that are none
    except (ConfigError, TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise CheckpointError(
            f"checkpoint {folder}: {CONFIG_FILE} does not describe a model: {reason(error)}"
        ) from error


def check_text_encoder(config: Mapping[str, Any], model_config: ModelConfig) -> None:
    """Raises ConfigError unless a text encoder is described where the model reads text by one, and only there."""
    if (config["text_encoder"] is None) == ("text" in model_config.modalities):
        found = "nothing" if config["text_encoder"] is None else "one"
        raise ConfigError(f"text_encoder: expected one with the modality text and only with it, got {found}")
