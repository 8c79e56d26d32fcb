"""Which trainings the options of `mner-model report` ask for."""

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from mner_model.config import ConfigError
from mner_model.presets import Preset, preset

_NEEDS_NO_VECTORS = {"char", "text"}  # modalities


@dataclass(frozen=True)
class Run:
    """One training of a report.

    words   pretrained words to keep; None for all
    folder  name of its checkpoint
    """

    preset: Preset
    words: int | None
    seed: int
    folder: str


def planned(
    preset_options: Sequence[str], seeds: str, text_encoders: Sequence[str] = (), words: Sequence[int] = ()
) -> list[Run]:
    """The trainings that options ask for: each preset with each number of words and each seed, none twice.

    preset_options  NAME or NAME:SEEDS
    seeds           of presets that have none of their own: whole numbers with commas between
    text_encoders   FOLDER or PRESET=FOLDER
    words           pretrained words to keep; with several each has a checkpoint of its own, where words are read at all

    Raises ConfigError for an option that is not of its form, or names a preset that is not there.
    """
    of_all, limits = _numbers("--seeds", seeds), list(dict.fromkeys(words))
    chosen: dict[str, list[int]] = {}
    for option in preset_options:
        name, colon, own = option.partition(":")
        preset(name)
        chosen.setdefault(name, []).extend(_numbers(f"--preset {name}", own) if colon else of_all)
    folder_of = _text_encoders(text_encoders, [preset(name) for name in chosen])
    runs: dict[str, Run] = {}
    for name, numbers in chosen.items():
        one = preset(name)
        if name in folder_of:
            one = replace(one, model=replace(one.model, text_encoder=folder_of[name]))
        kept: Sequence[int | None] = [None] if set(one.model.modalities) <= _NEEDS_NO_VECTORS else limits or [None]
        for limit, seed in itertools.product(kept, numbers):
            part = f"-{limit}-words" if len(kept) > 1 else ""
            folder = f"{name}{part}-seed{seed}"
            runs.setdefault(folder, Run(one, limit, seed, folder))
    return list(runs.values())


def _text_encoders(options: Sequence[str], chosen: Sequence[Preset]) -> dict[str, str]:
    """The folder of the pretrained Transformer of each preset that was given one."""
    readers = [one.name for one in chosen if one.model.text_encoder]
    folders: dict[str, str] = {}
    for option in options:
        name, folder = _preset_and_folder(option, readers)
        if preset(name).name not in readers:
            raise ConfigError(f"--text-encoder {option}: expected {_one_of(readers)}, got {name}")
        if folders.setdefault(name, folder) != folder:
            raise ConfigError(f"--text-encoder {option}: {name} has one already, {folders[name]}")
    return folders


def _preset_and_folder(option: str, readers: Sequence[str]) -> tuple[str, str]:
    name, equals, folder = option.partition("=")
    if equals and os.sep not in name:  # a folder may have an equals sign in its name, a preset no slash
        if not name or not folder:
            raise ConfigError(f"--text-encoder: expected PRESET=FOLDER, got {option!r}")
        return name, folder
    if len(readers) != 1:
        raise ConfigError(f"--text-encoder {option}: expected PRESET=FOLDER with {_one_of(readers)}")
    return readers[0], option


def _one_of(readers: Sequence[str]) -> str:
    return f"one of {', '.join(readers)}" if readers else "a preset of this report that reads one, of which it has none"


def _numbers(option: str, text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise ConfigError(f"{option}: expected whole numbers with commas between, got {text!r}") from None
