"""Which trainings the options of `mner-model report` ask for."""

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mner_model.config import ConfigError
from mner_model.presets import PRESETS, Preset, preset


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
    text_encoders   FOLDER or PRESET=FOLDER: for the preset and all that read the same Transformer, variants too, unless
                    they are given one of their own
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
        kept: Sequence[int | None] = (limits or [None]) if one.model.in_words else [None]
        for limit, seed in itertools.product(kept, numbers):
            part = f"-{limit}-words" if len(kept) > 1 else ""
            folder = f"{name}{part}-seed{seed}"
            runs.setdefault(folder, Run(one, limit, seed, folder))
    return list(runs.values())


def _text_encoders(options: Sequence[str], chosen: Sequence[Preset]) -> dict[str, str]:
    """The folder of the pretrained Transformer of each preset that was given one."""
    readers = [one for one in chosen if one.model.text_encoder]
    given: dict[str, str] = {}
    for option in options:
        name, folder = _preset_and_folder(option, readers)
        if not any(_means(name, one) for one in readers):
            raise ConfigError(f"--text-encoder {option}: expected {_one_of(readers)}, got {name}")
        if given.setdefault(name, folder) != folder:
            raise ConfigError(f"--text-encoder {option}: {name} has one already, {given[name]}")
    folders = {one.name: _folder(one, given) for one in readers}
    return {name: folder for name, folder in folders.items() if folder is not None}


def _preset_and_folder(option: str, readers: Sequence[Preset]) -> tuple[str, str]:
    # the name of a variant has equals signs in it, so names are looked for and not cut off
    names = sorted({*PRESETS, *(one.name for one in readers)}, key=len, reverse=True)
    name = next((name for name in names if option.startswith(f"{name}=")), None)
    if name is None:
        name, equals, _ = option.partition("=")
        if equals and os.sep not in name:  # a folder may have an equals sign in its name, a preset no slash
            if not name:
                raise ConfigError(f"--text-encoder: expected PRESET=FOLDER, got {option!r}")
            preset(name.partition("+")[0])
            raise ConfigError(f"--text-encoder {option}: expected PRESET=FOLDER with {_one_of(readers)}")
        if len({one.model.text_encoder for one in readers}) != 1:
            raise ConfigError(f"--text-encoder {option}: expected PRESET=FOLDER with {_one_of(readers)}")
        return _base(readers[0]), option
    folder = option.removeprefix(f"{name}=")
    if not folder:
        raise ConfigError(f"--text-encoder: expected PRESET=FOLDER, got {option!r}")
    return name, folder


def _folder(one: Preset, given: Mapping[str, str]) -> str | None:
    """What it was given under its own name, else under that of what it is a variant of, else of its Transformer."""
    for name in (one.name, _base(one)):
        if name in given:
            return given[name]
    folders = {folder for name, folder in given.items() if _means(name, one)}
    if len(folders) > 1:
        raise ConfigError(f"--text-encoder: expected {one.name}=FOLDER too, as {' and '.join(sorted(folders))} differ")
    return next(iter(folders), None)


def _means(name: str, one: Preset) -> bool:
    """Whether a folder given under this name is for this preset: a variant's is for it alone."""
    return name == one.name if "+" in name else PRESETS[name].model.text_encoder == one.model.text_encoder


def _base(one: Preset) -> str:
    return one.name.partition("+")[0]


def _one_of(readers: Sequence[Preset]) -> str:
    names = ", ".join(one.name for one in readers)
    return f"one of {names}" if names else "a preset of this report that reads one, of which it has none"


def _numbers(option: str, text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise ConfigError(f"{option}: expected whole numbers with commas between, got {text!r}") from None
