"""What trained presets scored, read from and written to JSON as `mner-model report --results FILE` keeps it.

`mner_model/results.json` is ours: `mner-model presets` and the tables of docs/results.md are made from it.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from mner_model.config import TrainingConfig
from mner_model.errors import Failure
from mner_model.files.saved_file import saved_file

OWN_RESULTS = Path(__file__).parents[1] / "results.json"
_SPEEDS = ("posts_per_second", "posts_per_core_second")
_DIGITS = 10  # of a fraction; with fewer, one that is rounded again to be shown may come out a hundredth of a point off


class ResultsError(Failure, ValueError):
    """A file of results that cannot be read, or one asked for results that it does not have; the message says which."""


@dataclass(frozen=True)
class Measured:
    """One preset, trained with one seed and scored on one data set.

    result      the object that `mner-model evaluate --json` prints
    size_bytes  of the checkpoint's folder
    words       pretrained words that were kept; None for all, and for a preset that reads none
    training    what it was trained on, as `training_in_short` gives it; None where that was not told
    """

    preset: str
    seed: int
    data: str
    with_images: bool
    result: Mapping[str, Any]
    size_bytes: int
    words: int | None = None
    training: Mapping[str, Any] | None = None

    @property
    def key(self) -> tuple[str, float, str, bool, int]:
        """What it is a measurement of, larger vocabularies first: a later one of the same key replaces an earlier."""
        return self.preset, -vocabulary(self), self.data, self.with_images, self.seed


@dataclass(frozen=True)
class Summary:
    """A preset in a line.

    words             pretrained words that were kept; None for all, and for a preset that reads none
    lenient_f1        by data set, as a fraction, from text alone, mean over seeds
    seeds             by data set, how many
    posts_per_second  mean over what was measured, as `posts_per_second` gives it
    """

    parameters: int
    size_bytes: int
    posts_per_second: float
    lenient_f1: Mapping[str, float]
    seeds: Mapping[str, int]
    words: int | None = None


def posts_per_second(one: Measured) -> float:
    """Of one core's time; on a GPU by the clock."""
    of_core: float | None = one.result["posts_per_core_second"]
    return of_core if of_core is not None else float(one.result["posts_per_second"])


def vocabulary(one: Measured) -> float:
    """How many pretrained words were kept; infinite for all."""
    return math.inf if one.words is None else one.words


def largest_vocabulary(measured: Iterable[Measured]) -> list[Measured]:
    """Of each preset, what was measured with the most pretrained words."""
    kept = list(measured)
    largest = {one.preset: max(vocabulary(other) for other in kept if other.preset == one.preset) for one in kept}
    return [one for one in kept if vocabulary(one) == largest[one.preset]]


def summary(preset: str, measured: Iterable[Measured]) -> Summary | None:
    """A preset's means over seeds, from text alone, with the most words it was trained with. None if not measured."""
    rows = largest_vocabulary(one for one in measured if one.preset == preset and not one.with_images)
    if not rows:
        return None
    of_set = {
        name: [one.result["lenient"]["f1"] for one in rows if one.data == name]
        for name in dict.fromkeys(one.data for one in rows)
    }
    return Summary(
        rows[0].result["model"]["parameters"],
        rows[0].size_bytes,
        fmean(map(posts_per_second, rows)),
        {name: fmean(f1) for name, f1 in of_set.items()},
        {name: len(f1) for name, f1 in of_set.items()},
        rows[0].words,
    )


def training_in_short(story: Mapping[str, Any]) -> dict[str, Any] | None:
    """Of what a checkpoint tells of its training: its recipe's differences from the defaults, its data with all that is
    told of them, lenient F1 on each validation set, and what it was made with.

    The seed and the precision, which follows the device, are left out. None for a checkpoint that tells nothing.
    """
    if not story:
        return None
    plain, config = TrainingConfig().to_json(), story.get("config", {})
    chosen = {
        name: value for name, value in config.items() if name not in ("seed", "precision") and plain.get(name) != value
    }
    others = {name: story[name] for name in ("validation_lenient_f1", "made_with") if name in story}
    return {"recipe": chosen, "data": dict(story.get("data", {})), **others}


def differences(
    one: Mapping[str, Any] | None, other: Mapping[str, Any] | None, parts: Iterable[str] | None = None
) -> list[str]:
    """What two trainings in short do not share: the recipe, parts of the data; where one is not told, that.

    parts  of the data that are compared; None for all
    """
    if one is None or other is None:
        return [] if one == other else ["what is told of it"]
    names = one["data"] | other["data"] if parts is None else parts
    different = [name for name in names if one["data"].get(name) != other["data"].get(name)]
    if {"train", "validation"} & {*different}:
        different = [name for name in different if name != "tokens"]  # other posts have other tokens
    return [*(["recipe"] if one["recipe"] != other["recipe"] else []), *different]


def read_results(file: Path = OWN_RESULTS) -> list[Measured]:
    """Raises ResultsError for a file that is not there or holds something else."""
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError("no list of objects")
        return [Measured(**entry) for entry in entries]
    except FileNotFoundError:
        raise ResultsError(f"{file}: no such file") from None
    except (TypeError, ValueError) as error:
        why = "fields are missing or unknown" if isinstance(error, TypeError) else str(error)
        raise ResultsError(f"{file}: expected results as `mner-model report --results` writes them: {why}") from None


def merge_results(file: Path, measured: Iterable[Measured]) -> None:
    """Puts measurements into a file of results, in place of earlier ones of the same key; makes it where there is none.

    Raises ResultsError for a file that holds something else or cannot be written, and where an earlier one is of
    another training or of other data by the same name, which should not go unnoticed. The file is then left alone.
    """
    merged = {one.key: one for one in (read_results(file) if file.exists() else [])}
    for one in measured:
        before = merged.get(one.key)
        if before is not None:
            same_checkpoint = before.result["model"]["fingerprint"] == one.result["model"]["fingerprint"]
            different = [] if same_checkpoint else differences(before.training, one.training)
            refuse_differences(file, before, different, one.result["data"])
        merged[one.key] = one
    with saved_file(file, ResultsError) as draft:
        draft.write_text(results_json(list(merged.values())), encoding="utf-8")


def refuse_differences(file: Path, before: Measured, different: Sequence[str], data: Mapping[str, Any]) -> None:
    """Raises ResultsError if what a file has cannot be replaced by another measurement.

    different  what their trainings do not share
    data       what the other is scored on: fingerprint, captions_fingerprint
    """
    of_data = [before.result["data"][name] == data[name] for name in ("fingerprint", "captions_fingerprint")]
    if different := [*different, *([] if all(of_data) else ["the data scored on"])]:
        raise ResultsError(
            f"{file}: has {before.preset}, seed {before.seed}, on {before.data} already, and it differs in "
            f"{', '.join(different)}; remove that entry, or name another file"
        )


def results_json(measured: Sequence[Measured]) -> str:
    """One JSON list in the order of the keys, fractions rounded, in lines that a diff can be read by."""
    entries = [_entry(one) for one in sorted(measured, key=lambda one: one.key)]
    return "[" + ",".join(f"\n{entry}" for entry in entries) + ("\n]\n" if entries else "]\n")


def to_json(one: Measured) -> dict[str, Any]:
    """Plain values, fractions rounded."""
    about = {"preset": one.preset, "words": one.words, "seed": one.seed, "data": one.data}
    about |= {"with_images": one.with_images, "size_bytes": one.size_bytes}
    # what a training was is compared, so not rounded
    return {**about, "training": one.training, "result": _rounded(one.result)}


def _entry(one: Measured) -> str:
    about = to_json(one)
    parts = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in about.pop("result").items()]
    training = json.dumps(about.pop("training"))
    return f'{json.dumps(about)[:-1]},\n "training": {training},\n "result": {{\n  ' + ",\n  ".join(parts) + "\n}}"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, _DIGITS)
    if isinstance(value, Mapping):
        return {name: _rounded_speed(part) if name in _SPEEDS else _rounded(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(part) for part in value]
    return value


def _rounded_speed(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
