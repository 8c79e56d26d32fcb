"""What a report prints: Markdown tables, what their figures rest on, and the command that gives them again."""

import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from mner_model.reporting.results import Measured, posts_per_second

_READING = (
    "F1 in percent, means over the seeds. Beside lenient F1 in parentheses its lowest and highest seed, in brackets "
    "its 95 % bootstrap interval over posts, with several seeds the mean of theirs. Validation is lenient F1, the mean "
    "of the sets that the pass was chosen by. posts/s is of one core's time (on a GPU, of the clock)."
)
_PROGRAM = "mner-model"
_MOST_COLUMNS = 3  # data sets that stand side by side
_SHORTENED = "# of paths from elsewhere the last two parts are shown\n"
_TYPES_READING = "Lenient F1 by type, and of mentions that are in the training data and that are not:"


def command_line(words: Iterable[str]) -> str:
    """The command with these words, by which nobody is told where the data lie.

    Of a path that does not begin in the folder it was given in, its folder's name and its own are left; where there is
    one, a line of comment above the command says so.
    """
    words = list(words)
    shown: list[str] = []
    for word in words:
        option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
        before = option or (shown[-1] if shown else "")
        shown.append(f"{option}{equals}{_shown(before, value)}")
    return (_SHORTENED if shown != words else "") + shlex.join([_PROGRAM, *shown])


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
    of_scores = scores_table if len({one.data for one in measured}) <= _MOST_COLUMNS else sets_table
    parts = [of_scores(measured), _READING, _TYPES_READING, types_table(measured), lines(about)]
    return "\n\n".join([*parts, *_recipe_lines(measured), f"```\n{command}\n```"]) + "\n"


def scores_table(measured: Sequence[Measured]) -> str:
    """F1 lenient, strict and of segmentation on each data set; a row a preset, vocabulary and way of reading."""
    sets = list(dict.fromkeys(one.data for one in measured))
    heads = [f"{name}: lenient | strict | segmentation" for name in sets]
    table = [
        f"| preset | {' | '.join(heads)} | validation | seeds | parameters | MB | posts/s |",
        f"|---|{'---|---|---|' * len(sets)}---|---|---|---|---|",
    ]
    for label, rows in _by_label(measured).items():
        cells = [_scores([one.result for one in rows if one.data == name]) for name in sets]
        seeds = ", ".join(str(seed) for seed in dict.fromkeys(one.seed for one in rows))
        parameters, megabytes = rows[0].result["model"]["parameters"], rows[0].size_bytes / 1e6
        speed = fmean(map(posts_per_second, rows))
        about = f"{_validation(rows)} | {seeds} | {parameters:,} | {megabytes:.0f} | {speed:,.0f}"
        table.append(f"| {label} | {' | '.join(cells)} | {about} |")
    return "\n".join(table)


def sets_table(measured: Sequence[Measured]) -> str:
    """Lenient F1 for many data sets: a row a set, a column a preset, the mean over sets of a folder below them."""
    columns = _by_label(measured)
    sets = list(dict.fromkeys(one.data for one in measured))
    table = [f"| data | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for name in sets:
        cells = [_lenient([one.result for one in rows if one.data == name]) for rows in columns.values()]
        table.append(f"| {name} | {' | '.join(cells)} |")
    for folder in dict.fromkeys(name.partition("/")[0] for name in sets):
        within = [[one.result for one in rows if one.data.startswith(f"{folder}/")] for rows in columns.values()]
        cells = [_mean(result["lenient"] for result in results) if results else "" for results in within]
        table.append(f"| mean of {folder} | {' | '.join(cells)} |")
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
    """What differs from the defaults in each preset's model and recipe: a list, as versions may have other defaults."""
    about = {}
    for one in measured:
        chosen = {**one.result["model"].get("choices", {}), **((one.training or {}).get("recipe") or {})}
        about[_model(one)] = ", ".join(f"{name} {_plainly(value)}" for name, value in chosen.items())
    told = [f"- {model}: {choices}" for model, choices in about.items() if choices]
    return ["What differs from the defaults in each model and its recipe:\n\n" + "\n".join(told)] if told else []


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
    others = [_mean(result[reading] for result in results) for reading in ("strict", "segmentation")]
    return " | ".join([_lenient(results), *others])


def _lenient(results: Sequence[Mapping[str, Any]]) -> str:
    """Lenient F1, mean over seeds, and how far it may be trusted; nothing where nothing was measured."""
    return f"{_mean(result['lenient'] for result in results)} {_spread(results)}" if results else ""


def _validation(rows: Iterable[Measured]) -> str:
    """Lenient F1 on the validation sets, mean over sets and seeds; nothing where a checkpoint did not tell it."""
    told = {one.seed: (one.training or {}).get("validation_lenient_f1") for one in rows}
    means = [fmean(of_set.values()) for of_set in told.values() if of_set]
    return f"{100 * fmean(means):.2f}" if len(means) == len(told) else ""


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
