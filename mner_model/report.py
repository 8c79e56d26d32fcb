"""Presets trained with several seeds and scored: a table with everything needed to repeat it.

What is done already is kept: a report that is stopped goes on, and one with a further preset trains only that one.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from mner_model.evaluation_run import evaluate_checkpoint
from mner_model.predictor import Predictor
from mner_model.training_run import captions_beside, set_name


@dataclass(frozen=True)
class Measured:
    """One preset, trained with one seed and scored on one data set.

    result  the object that `mner-model evaluate --json` prints
    """

    preset: str
    seed: int
    data: str
    with_images: bool
    result: Mapping[str, Any]
    size_bytes: int


def measure(
    preset: str, seed: int, folder: Path, tests: Iterable[Path], device: str, say: Callable[[str], None]
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
            measured.append(Measured(preset, seed, set_name(test), beside is not None, found[key], size))
    return measured


def markdown(measured: Sequence[Measured], command: str) -> str:
    """The table, a row for each preset and way of reading, and below it what the figures rest on."""
    sets = list(dict.fromkeys(one.data for one in measured))
    head = [f"{name}: lenient / strict F1" for name in sets]
    lines = [
        f"| preset | {' | '.join(head)} | seeds | parameters | MB | posts/s |",
        f"|---|{'---|' * len(sets)}---|---|---|---|",
    ]
    for preset, with_images in dict.fromkeys((one.preset, one.with_images) for one in measured):
        rows = [one for one in measured if (one.preset, one.with_images) == (preset, with_images)]
        cells = [_scores([one.result for one in rows if one.data == name]) for name in sets]
        seeds = ", ".join(str(seed) for seed in dict.fromkeys(one.seed for one in rows))
        name = f"{preset}, with images' captions" if with_images else preset
        parameters, megabytes = rows[0].result["model"]["parameters"], rows[0].size_bytes / 1e6
        speed = fmean(one.result["posts_per_second"] for one in rows)
        lines.append(f"| {name} | {' | '.join(cells)} | {seeds} | {parameters:,} | {megabytes:.0f} | {speed:,.0f} |")
    return "\n".join([*lines, "", *_foundations(measured), "", "```", command, "```", ""])


def _scores(results: Sequence[Mapping[str, Any]]) -> str:
    """The mean over seeds, and from where to where where there are several."""
    if not results:
        return ""
    lenient = [100 * result["lenient"]["f1"] for result in results]
    strict = fmean(100 * result["strict"]["f1"] for result in results)
    spread = f" ({min(lenient):.2f} to {max(lenient):.2f})" if len(lenient) > 1 else ""
    return f"{fmean(lenient):.2f} / {strict:.2f}{spread}"


def _foundations(measured: Sequence[Measured]) -> list[str]:
    lines = []
    for name in dict.fromkeys(one.data for one in measured):
        about = next(one.result["data"] for one in measured if one.data == name)
        lines.append(
            f"{name}: {about['posts']:,} posts, {about['mentions']:,} mentions, data {about['fingerprint'][:12]}."
        )
    fingerprints = dict.fromkeys((one.preset, one.seed, one.result["model"]["fingerprint"][:12]) for one in measured)
    lines.append(
        "Checkpoints: " + ", ".join(f"{preset} seed {seed} {print_}" for preset, seed, print_ in fingerprints) + "."
    )
    return [f"{line}  " for line in lines]
