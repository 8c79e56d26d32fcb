"""Presets trained with several seeds and scored: tables with everything needed to repeat them.

What is done already is kept: a report that is stopped goes on, and one with a further preset trains only that one.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from mner_model.evaluation_run import evaluate_checkpoint
from mner_model.predictor import Predictor
from mner_model.results import Measured
from mner_model.training_run import captions_beside, set_name

_READING = (
    "F1 in percent, means over the seeds. Beside lenient F1 in parentheses its lowest and highest seed or, of a single "
    "seed, in brackets its 95 % bootstrap interval. Speed is of whatever machine this ran on, and of what else it did."
)
_TYPES_READING = "Lenient F1 by type, and of mentions that are in the training data and that are not:"


def measure(
    preset: str,
    seed: int,
    folder: Path,
    tests: Iterable[Path],
    device: str,
    say: Callable[[str], None],
    words: int | None = None,
) -> list[Measured]:
    """Scores a trained checkpoint on each data set, from text alone and, where it reads images, with their captions.

    Kept in results.json beside the checkpoint, by the checkpoint's fingerprint.
    """
    predictor = Predictor.load(folder, device)
    kept = folder.with_name(folder.name + ".results.json")
    before = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    found = before.get(predictor.fingerprint, {})
    size = sum(file.stat().st_size for file in folder.iterdir())
    measured = []
    for test in tests:
        captions = captions_beside(test) if predictor.reads_captions else None
        for beside in dict.fromkeys((None, captions)):
            key = f"{set_name(test)}{' with captions' if beside else ''}"
            if key not in found:
                say(f"{preset}, seed {seed}: scoring on {key}")
                found[key] = evaluate_checkpoint(predictor, test, beside)
                kept.write_text(json.dumps({predictor.fingerprint: found}), encoding="utf-8")
            measured.append(Measured(preset, seed, set_name(test), beside is not None, found[key], size, words))
    return measured


def markdown(measured: Sequence[Measured], command: str) -> str:
    """The tables, and below them what the figures rest on."""
    about = [*data_lines(measured), _checkpoints(measured)]
    parts = [scores_table(measured), _READING, _TYPES_READING, types_table(measured), lines(about)]
    return "\n\n".join([*parts, f"```\n{command}\n```"]) + "\n"


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
        speed = fmean(one.result["posts_per_second"] for one in rows)
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
    if len(results) == 1:
        low, high = results[0]["lenient_f1_interval"]
        return f"[{100 * low:.2f} to {100 * high:.2f}]"
    f1 = [result["lenient"]["f1"] for result in results]
    return f"({100 * min(f1):.2f} to {100 * max(f1):.2f})"


def _mean(scores: Iterable[Mapping[str, float]]) -> str:
    return f"{100 * fmean(score['f1'] for score in scores):.2f}"


def _checkpoints(measured: Sequence[Measured]) -> str:
    about = dict.fromkeys(
        f"{_model(one)} seed {one.seed} {one.result['model']['fingerprint'][:12]}" for one in measured
    )
    return f"Checkpoints: {', '.join(about)}."
