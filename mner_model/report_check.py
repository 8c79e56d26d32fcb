"""What a report can be refused for, looked for before its first training: a training may take hours."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mner_model.checkpoint import check_destination, training_story
from mner_model.config import TrainingConfig
from mner_model.data import Example, fingerprint, read_conll
from mner_model.labels import TagSet
from mner_model.report import ScoredSet
from mner_model.report_plan import Run
from mner_model.results import (
    Measured,
    differences,
    merge_results,
    read_results,
    refuse_differences,
    training_in_short,
)
from mner_model.soft_target_file import read_soft_targets
from mner_model.text_encoder import TextEncoder, check_extra
from mner_model.training_posts import check_targets
from mner_model.training_run import Sources, captions_beside, set_name
from mner_model.vocabulary import read_vectors


def recipe_of(run: Run, epochs: int | None) -> TrainingConfig:
    """What a run is trained by; epochs None for the preset's own."""
    return replace(run.preset.recipe, seed=run.seed, epochs=epochs or run.preset.recipe.epochs)


def check_runs(
    runs: Sequence[Run],
    out: Path,
    sources: Sources,
    epochs: int | None,
    results: Path | None,
    tests: Iterable[ScoredSet],
    say: Callable[[str], None],
) -> None:
    """Raises what the runs would raise later on, in one sentence, as far as it can be known.

    results  file that the figures will be put into; None for none
    say      is told of checkpoints that are there and were trained otherwise than the report asks for
    """
    before = read_results(results) if results is not None and results.exists() else []
    test_of = {test.name: test for test in tests}
    for run in runs:
        run.preset.check_soft_targets(sources.soft_targets)
        if run.preset.model.text_encoder:
            check_extra()
    data = _data(sources)
    missing = []
    for run in runs:
        folder = out / run.folder
        foreseen = training_in_short({"config": recipe_of(run, epochs).to_json(), "data": data})
        if folder.exists():
            if different := differences(training_in_short(training_story(folder)), foreseen, foreseen=True):
                say(f"{run.folder}: taken as it is, though its training differs in {', '.join(different)}")
            continue
        missing.append(run)
        for one in before:
            if results is not None and one.data in test_of and _is_of(one, run):
                different = differences(one.training, foreseen, foreseen=True)
                refuse_differences(results, one, different, test_of[one.data].told(one.with_images))
    _check_missing(missing, out, sources, epochs)
    if results is not None:
        merge_results(results, [])  # whether it can be written


def _check_missing(runs: Sequence[Run], out: Path, sources: Sources, epochs: int | None) -> None:
    """What trainings ask for; each file is read once, of vectors only the first."""
    for run in runs:
        run.preset.check_vectors(sources.vectors)
        check_targets(run.preset.model, recipe_of(run, epochs), is_taught=run.preset.taught)
        check_destination(out / run.folder)
    if sources.vectors is not None and any(run.preset.in_words for run in runs):
        read_vectors(sources.vectors, 1)
    if sources.soft_targets is not None:
        for types in dict.fromkeys(run.preset.model.types for run in runs if run.preset.taught):
            read_soft_targets(sources.soft_targets, TagSet(types))
    for name in dict.fromkeys(run.preset.model.text_encoder for run in runs):
        if name:
            TextEncoder.pretrained(name)


def _is_of(one: Measured, run: Run) -> bool:
    return (one.preset, one.words, one.seed) == (run.preset.name, run.words, run.seed)


def _data(sources: Sources) -> dict[str, Any]:
    """What a checkpoint will tell of its data, as far as it does not depend on the model."""
    return {
        "train": {"fingerprint": fingerprint(example for file in sources.train for example in _read(file))},
        "validation": {set_name(file): {"fingerprint": fingerprint(_read(file))} for file in sources.valid},
    }


def _read(file: Path) -> list[Example]:
    return read_conll(file, captions=captions_beside(file))
