"""Presets trained with several seeds and scored: tables with everything needed to repeat them.

What is done already is kept: a report that is stopped goes on, and one with a further preset trains only that one.
"""

import json
import os
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from mner_model.checkpoint import training_story
from mner_model.config import ConfigError
from mner_model.data import captions_fingerprint, fingerprint, read_conll
from mner_model.evaluation_run import evaluate_checkpoint, features_fingerprint
from mner_model.predictor import Predictor
from mner_model.results import Measured, ResultsError, posts_per_second, training_in_short
from mner_model.training_run import captions_beside, set_name

_READING = (
    "F1 in percent, means over the seeds. Beside lenient F1 in parentheses its lowest and highest seed, in brackets "
    "its 95 % bootstrap interval over posts, with several seeds the mean of theirs. posts/s is of one core's time (on "
    "a GPU, of the clock)."
)
_PROGRAM = "mner-model"
_TYPES_READING = "Lenient F1 by type, and of mentions that are in the training data and that are not:"


@dataclass(frozen=True)
class ScoredSet:
    """A data set to score on, with what it holds now.

    captions              file of its images' captions; None where no post has one
    fingerprint           as `mner_model.data.fingerprint` gives it
    captions_fingerprint  likewise; None without captions
    """

    name: str
    file: Path
    captions: Path | None
    fingerprint: str
    captions_fingerprint: str | None

    def told(self, with_images: bool) -> dict[str, str | None]:
        """Its fingerprints, as scores on it tell them."""
        captions = self.captions_fingerprint if with_images else None
        return {"fingerprint": self.fingerprint, "captions_fingerprint": captions}


def scored_sets(files: Iterable[Path]) -> list[ScoredSet]:
    """Raises DataError for a file that cannot be read, ConfigError for a second one of a name."""
    sets: dict[str, ScoredSet] = {}
    for file in files:
        name = set_name(file)
        if name in sets:
            raise ConfigError(f"--test {file}: a second one of the name {name}; give its folder another")
        examples = read_conll(file, captions=captions_beside(file))
        of_captions = captions_fingerprint(examples)
        captions = captions_beside(file) if of_captions else None
        sets[name] = ScoredSet(name, file, captions, fingerprint(examples), of_captions)
    return list(sets.values())


def measure(
    preset: str,
    seed: int,
    folder: Path,
    tests: Iterable[ScoredSet],
    device: str,
    say: Callable[[str], None],
    words: int | None = None,
) -> list[Measured]:
    """Scores a trained checkpoint on each data set, from text alone and, where it reads images, with their captions.

    Kept in results.json beside the checkpoint, by the fingerprints of checkpoint, data, captions and all that is read
    of them, so that a version which reads posts otherwise scores again.
    Raises CheckpointError, DataError, or ResultsError for a results.json that is damaged.
    """
    predictor = Predictor.load(folder, device)
    kept = folder.with_name(folder.name + ".results.json")
    found = _kept_scores(kept, predictor.fingerprint)
    size = sum(file.stat().st_size for file in folder.iterdir())
    training = training_in_short(training_story(folder))
    measured = []
    for test in tests:
        for with_images in (False, True) if predictor.reads_captions and test.captions else (False,):
            captions = test.captions if with_images else None
            read = features_fingerprint(predictor, test.file, captions)
            key = _key({**test.told(with_images), "features_fingerprint": read})
            if key not in found:
                say(f"{preset}, seed {seed}: scoring on {test.name}{' with captions' if with_images else ''}")
                found[key] = evaluate_checkpoint(predictor, test.file, captions)
                draft = kept.with_name(f".{kept.name}.{os.getpid()}")
                draft.write_text(json.dumps({predictor.fingerprint: found}), encoding="utf-8")
                draft.replace(kept)
            measured.append(Measured(preset, seed, test.name, with_images, found[key], size, words, training))
    return measured


def _kept_scores(file: Path, checkpoint: str) -> dict[str, Any]:
    """Of a checkpoint, by what was scored: its fingerprints stand in the scores, whatever key they were kept under."""
    if not file.exists():
        return {}
    try:
        results = json.loads(file.read_text(encoding="utf-8")).get(checkpoint, {}).values()
        return {_key(one["data"]): one for one in results}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ResultsError(f"{file}: damaged: {error}; remove it to score again") from error


def _key(data: Mapping[str, Any]) -> str:
    names = ("fingerprint", "captions_fingerprint", "features_fingerprint")
    return ", ".join(f"{name} {data[name]}" for name in names if data.get(name))


def command_line(words: Iterable[str]) -> str:
    """The command with these words so that it can be given again, and nobody is told where the data lie.

    Of a path that does not begin in the folder it was given in, its folder's name and its own are left.
    """
    shown: list[str] = []
    for word in words:
        option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        before = option or (shown[-1] if shown else "")
        shown.append(f"{option}{equals}{_shown(before, value)}")
    return shlex.join([_PROGRAM, *shown])


def _shown(option: str, value: str) -> str:
    head = ""
    if option == "--text-encoder":
        head, equals, _ = value.partition(os.sep)[0].rpartition("=")  # a preset's name has no slash
        head += equals
    path = Path(value.removeprefix(head))
    if not path.is_absolute() and ".." not in path.parts:
        return value
    return head + "/".join([part for part in path.parts if part not in (path.anchor, "..")][-2:])


def markdown(measured: Sequence[Measured], command: str) -> str:
    """The tables, and below them what the figures rest on."""
    about = [*data_lines(measured), *_training_lines(measured), _checkpoints(measured), *_made_with_lines(measured)]
    parts = [scores_table(measured), _READING, _TYPES_READING, types_table(measured), lines(about)]
    return "\n\n".join([*parts, *_recipe_lines(measured), f"```\n{command}\n```"]) + "\n"


def scores_table(measured: Sequence[Measured]) -> str:
    """F1 lenient, strict and of segmentation on each data set; a row a preset, vocabulary and way of reading."""
    sets = list(dict.fromkeys(one.data for one in measured))
    heads = [f"{name}: lenient | strict | segmentation" for name in sets]
    table = [
        f"| preset | {' | '.join(heads)} | seeds | parameters | MB | posts/s |",
        f"|---|{'---|---|---|' * len(sets)}---|---|---|---|",
    ]
    for label, rows in _by_label(measured).items():
        cells = [_scores([one.result for one in rows if one.data == name]) for name in sets]
        seeds = ", ".join(str(seed) for seed in dict.fromkeys(one.seed for one in rows))
        parameters, megabytes = rows[0].result["model"]["parameters"], rows[0].size_bytes / 1e6
        speed = fmean(map(posts_per_second, rows))
        table.append(f"| {label} | {' | '.join(cells)} | {seeds} | {parameters:,} | {megabytes:.0f} | {speed:,.0f} |")
    return "\n".join(table)


def types_table(measured: Sequence[Measured]) -> str:
    """Lenient F1 of each type, and of mentions seen and not seen in training; a row a data set too."""
    types = list(dict.fromkeys(type_ for one in measured for type_ in one.result["per_type"]))
    table = [f"| preset | data | {' | '.join(types)} | seen | unseen |", f"|---|---|{'---|' * len(types)}---|---|"]
    for label, rows in _by_label(measured).items():
        for name in dict.fromkeys(one.data for one in rows):
            results = [one.result for one in rows if one.data == name]
            cells = [_mean(result["per_type"][type_] for result in results) for type_ in types]
            cells += [_mean(result[reading] for result in results) for reading in ("seen", "unseen")]
            table.append(f"| {label} | {name} | {' | '.join(cells)} |")
    return "\n".join(table)


def data_lines(measured: Sequence[Measured]) -> list[str]:
    """Which data the figures are of; a line each, as two files of one name may differ."""
    about = {(one.data, one.result["data"]["fingerprint"]): one.result["data"] for one in measured}
    return [
        f"{name}: {data['posts']:,} posts, {data['mentions']:,} mentions, data {fingerprint[:12]}."
        for (name, fingerprint), data in about.items()
    ]


def _training_lines(measured: Sequence[Measured]) -> list[str]:
    """What they were trained on: a line for all, unless checkpoints that were there were trained on something else."""
    about: dict[str, list[str]] = {}
    for one in measured:
        told = ", ".join(_fingerprints(one.training["data"])) if one.training else ""
        about.setdefault(told or "nothing told", []).append(f"{_model(one)} seed {one.seed}")
    return [f"Trained on {told}: {', '.join(dict.fromkeys(labels))}." for told, labels in about.items()]


def _made_with_lines(measured: Sequence[Measured]) -> list[str]:
    """The program, its libraries and the device, of training and of scoring: a line for all that share them."""
    about: dict[str, list[str]] = {}
    for one in measured:
        trained = _made_with((one.training or {}).get("made_with"))
        scored = _made_with(one.result.get("made_with"))
        about.setdefault(f"Trained with {trained}; scored with {scored}", []).append(f"{_model(one)} seed {one.seed}")
    return [f"{told}: {', '.join(dict.fromkeys(labels))}." for told, labels in about.items()]


def _made_with(about: Mapping[str, Any] | None) -> str:
    if about is None:
        return "a version that did not tell itself"
    device = f"cpu (threads: {about['threads']})" if about["device"] == "cpu" else about["device"]
    return f"{_PROGRAM} {about['mner_model']}, code {about['code'][:12]}, torch {about['torch']}, {device}"


def _recipe_lines(measured: Sequence[Measured]) -> list[str]:
    """Model and recipe of each preset, as far as they are not as they come: a list, as versions may differ in them."""
    about = {}
    for one in measured:
        chosen = {**one.result["model"].get("choices", {}), **((one.training or {}).get("recipe") or {})}
        about[_model(one)] = ", ".join(f"{name} {_plainly(value)}" for name, value in chosen.items())
    told = [f"- {model}: {choices}" for model, choices in about.items() if choices]
    return ["What is not as it comes in each model and its recipe:\n\n" + "\n".join(told)] if told else []


def _plainly(value: Any) -> str:
    return "+".join(value) if isinstance(value, list | tuple) else str(value)


def _fingerprints(part: Any, name: str = "") -> Iterator[str]:
    """Each fingerprint in what a checkpoint tells of its data, under the names that lead to it."""
    if isinstance(part, Mapping):
        for key, value in part.items():
            more = {"fingerprint": "", "captions_fingerprint": "captions"}.get(key, key)
            yield from _fingerprints(value, f"{name} {more}".strip())
    elif isinstance(part, list):
        for value in part:
            yield from _fingerprints(value, name)
    elif isinstance(part, str) and re.fullmatch(r"[0-9a-f]{64}", part):
        yield f"{name} {part[:12]}"


def lines(texts: Iterable[str]) -> str:
    """Lines that Markdown shows as lines."""
    return "\n".join(f"{text}  " for text in texts)


def _by_label(measured: Sequence[Measured]) -> dict[str, list[Measured]]:
    rows: dict[str, list[Measured]] = {}
    for one in measured:
        rows.setdefault(_label(one), []).append(one)
    return rows


def _label(one: Measured) -> str:
    return f"{_model(one)}, with images' captions" if one.with_images else _model(one)


def _model(one: Measured) -> str:
    return one.preset if one.words is None else f"{one.preset}, {one.words:,} words"


def _scores(results: Sequence[Mapping[str, Any]]) -> str:
    """The cells of one data set: means over seeds, and how far lenient F1 may be trusted."""
    if not results:
        return " | | "
    lenient = _mean(result["lenient"] for result in results)
    others = [_mean(result[reading] for result in results) for reading in ("strict", "segmentation")]
    return " | ".join([f"{lenient} {_spread(results)}", *others])


def _spread(results: Sequence[Mapping[str, Any]]) -> str:
    low, high = (fmean(result["lenient_f1_interval"][end] for result in results) for end in (0, 1))
    of_posts = f"[{100 * low:.2f} to {100 * high:.2f}]"
    if len(results) == 1:
        return of_posts
    f1 = [result["lenient"]["f1"] for result in results]
    return f"({100 * min(f1):.2f} to {100 * max(f1):.2f}) {of_posts}"


def _mean(scores: Iterable[Mapping[str, float]]) -> str:
    return f"{100 * fmean(score['f1'] for score in scores):.2f}"


def _checkpoints(measured: Sequence[Measured]) -> str:
    about = dict.fromkeys(
        f"{_model(one)} seed {one.seed} {one.result['model']['fingerprint'][:12]}" for one in measured
    )
    return f"Checkpoints: {', '.join(about)}."
