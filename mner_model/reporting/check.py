"""What a report can be refused for, looked for before its first training: a training may take hours."""

import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from mner_model.checkpoints.checkpoint import check_destination, folder_fingerprint
from mner_model.checkpoints.config_file import model_choices, training_story
from mner_model.config import ConfigError, TrainingConfig, two_choices
from mner_model.data.examples import Example
from mner_model.data.lines import set_name
from mner_model.data.reader import captions_beside, read_examples
from mner_model.network.text_encoder import TextEncoder, check_extra
from mner_model.presets import variant_fields
from mner_model.reporting.plan import Run
from mner_model.reporting.results import (
    Measured,
    differences,
    merge_results,
    read_results,
    refuse_differences,
    training_in_short,
)
from mner_model.reporting.scores import ScoredSet
from mner_model.text.labels import TagSet
from mner_model.text.piece_vectors import read_piece_vectors
from mner_model.text.vocabulary import WordVectors, read_vectors
from mner_model.training.posts import check_targets
from mner_model.training.precision import precision_of
from mner_model.training.run import Sources, check_words, tell_of_shared
from mner_model.training.soft_target_file import read_soft_targets, together
from mner_model.training.story import (
    piece_vectors_story,
    posts_story,
    soft_targets_story,
    text_encoder_story,
    vectors_story,
)

_ALWAYS_TOLD = ("train", "validation", "soft_targets")  # of its data, by checkpoints of older versions too
_TOLD = (*_ALWAYS_TOLD, "tokens", "vectors", "piece_vectors", "text_encoder")
# in a model; what is read decides them
_OF_VECTORS_OR_FOLDER = ("word_dimension", "image_dimension", "piece_dimension", "text_encoder")


def recipe_of(run: Run, epochs: int | None) -> TrainingConfig:
    """What a run is trained by; epochs None for the preset's own."""
    return replace(run.preset.recipe, seed=run.seed, epochs=epochs or run.preset.recipe.epochs)


def check_runs(
    runs: Sequence[Run],
    out: Path,
    sources: Sources,
    epochs: int | None,
    results: Path | None,
    tests: Sequence[ScoredSet],
    device: str,
    say: Callable[[str], None],
) -> None:
    """Raises what the runs would raise later on, in one sentence, as far as it can be known.

    results  file that the figures will be put into; None for none
    device   that the missing ones will be trained on
    say      is told what takes a while
    """
    for run in runs:
        if epochs and "epochs" in variant_fields(run.preset.name):
            raise ConfigError(f"--epochs {epochs}: expected none, preset {run.preset.name} says its own")
    before = read_results(results) if results is not None and results.exists() else []
    for run in runs:
        run.preset.check_soft_targets(sources.soft_targets)
        if run.preset.model.text_encoder:
            check_extra()
    asked = _Asked(runs, sources, epochs, say)
    for run in runs:
        if (out / run.folder).exists():
            _check_kept(run, out / run.folder, sources, asked)
    for test in tests:
        tell_of_shared(_read(test.file), asked.train, f"--test {test.name}", say)
    missing = [run for run in runs if not (out / run.folder).exists()]
    _check_missing(missing, sources, device, asked)
    if results is not None:
        _check_results(results, before, runs, out, tests, asked)
    for run in missing:
        check_destination(out / run.folder)
    if results is not None:
        merge_results(results, [])  # whether it can be written


class _Asked:
    """What the checkpoints of trainings that are asked for will tell; each file is read once at most."""

    def __init__(self, runs: Iterable[Run], sources: Sources, epochs: int | None, say: Callable[[str], None]) -> None:
        self._sources = sources
        self._epochs = epochs
        self._say = say
        limits = [run.words for run in runs if run.preset.model.in_words]
        self._most_words = max((limit or sys.maxsize for limit in limits), default=1)
        self.train = [example for file in sources.train for example in _read(file)]
        self._validation = {set_name(file): _read(file) for file in sources.valid}
        self._vectors = cache(self._read_vectors)
        self.piece_vectors = cache(self._piece_vectors)
        self.text_encoder = cache(self._text_encoder)
        self.soft_targets = cache(self._soft_targets)

    def recipe(self, run: Run) -> TrainingConfig:
        """What a run is trained by."""
        return recipe_of(run, self._epochs)

    def training(self, run: Run, parts: Collection[str]) -> dict[str, Any] | None:
        """A run in short, with these parts of its data."""
        model = run.preset.model
        data = posts_story(self.train, self._validation, model, self.recipe(run))
        if "vectors" in parts:
            data["vectors"] = vectors_story(self.vectors(run))
        if "piece_vectors" in parts and "piece" in model.modalities:
            data["piece_vectors"] = self.piece_vectors()
        if "text_encoder" in parts:
            data["text_encoder"] = self.text_encoder(model.text_encoder) if model.text_encoder else None
        if run.preset.taught:
            data["soft_targets"] = self.soft_targets(model.types)
        return training_in_short({"config": self.recipe(run).to_json(), "data": data})

    def vectors(self, run: Run) -> WordVectors | None:
        """The words that a run keeps; None where it reads none."""
        if not run.preset.model.in_words or self._sources.vectors is None:
            return None
        read = self._vectors(self._sources.vectors)
        return WordVectors(read.forms[: run.words], read.vectors[: run.words])

    def _read_vectors(self, file: Path) -> WordVectors:
        self._say(f"reading {file.name}, to know what it has")
        return read_vectors(file, self._most_words)

    def _piece_vectors(self) -> dict[str, Any] | None:
        file = self._sources.piece_vectors
        return piece_vectors_story(read_piece_vectors(file)) if file is not None else None

    def _text_encoder(self, name: str) -> dict[str, Any] | None:
        return text_encoder_story(TextEncoder.pretrained(name))

    def _soft_targets(self, types: tuple[str, ...]) -> dict[str, Any] | None:
        parts = [read_soft_targets(file, TagSet(types)) for file in self._sources.soft_targets]
        return soft_targets_story(together(parts)) if parts else None


def _check_kept(run: Run, folder: Path, sources: Sources, asked: _Asked) -> None:
    """Raises ConfigError for a checkpoint that is there and was trained otherwise: its figures would stand beside a
    command that does not give them.

    What it does not tell and what the options do not say is not compared.
    """
    told = training_in_short(training_story(folder))
    unsaid: set[str] = set()
    if run.preset.model.in_words and sources.vectors is None:
        unsaid.add("vectors")
    if "piece" in run.preset.model.modalities and sources.piece_vectors is None:
        unsaid.add("piece_vectors")
    if run.preset.model.text_encoder and not Path(run.preset.model.text_encoder).exists():
        unsaid.add("text_encoder")  # the hub need not be asked for what is there
    data = told["data"] if told else {}
    parts = [name for name in _TOLD if name in {*_ALWAYS_TOLD, *data} - unsaid]
    training = asked.training(run, parts)
    different = differences(told, training, parts)
    said = {
        "recipe": lambda: two_choices(told["recipe"] if told else {}, training["recipe"] if training else {}),
        "vectors": lambda: f"{_named(data['vectors'])}, asked for {_named(vectors_story(asked.vectors(run)))}",
    }
    reasons = [f"{name} ({said[name]()})" if name in said else name for name in different]
    model, wanted = _same_everywhere(model_choices(folder)), _same_everywhere(run.preset.model.choices())
    if model != wanted:
        reasons.insert(0, f"model ({two_choices(model, wanted)})")
    if reasons:
        raise ConfigError(
            f"{folder}: was trained otherwise than this report asks for, it differs in {'; '.join(reasons)}: "
            "name another --out, or remove that folder"
        )


def _named(vectors: dict[str, Any] | None) -> str:
    return f"{vectors['words']:,} word vectors ({vectors['fingerprint'][:12]})" if vectors else "no word vectors"


def _same_everywhere(choices: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in choices.items() if name not in _OF_VECTORS_OR_FOLDER}


def _check_missing(runs: Sequence[Run], sources: Sources, device: str, asked: _Asked) -> None:
    """What trainings ask for; of vectors only the first is read."""
    for run in runs:
        run.preset.model.check_vectors(sources.vectors)
        run.preset.model.check_piece_vectors(sources.piece_vectors)
        check_targets(run.preset.model, asked.recipe(run), is_taught=run.preset.taught)
        precision_of(asked.recipe(run), device)
    if sources.vectors is not None and any(run.preset.model.in_words for run in runs):
        read_vectors(sources.vectors, 1)
        for run in runs:
            if run.words is not None and (vectors := asked.vectors(run)) is not None:
                check_words(sources.vectors, run.words, vectors)
    for run in runs:
        if "piece" in run.preset.model.modalities:
            asked.piece_vectors()
        if run.preset.taught:
            asked.soft_targets(run.preset.model.types)
    for run in runs:
        if run.preset.model.text_encoder:
            asked.text_encoder(run.preset.model.text_encoder)


def _check_results(
    file: Path, before: Sequence[Measured], runs: Iterable[Run], out: Path, tests: Iterable[ScoredSet], asked: _Asked
) -> None:
    """Raises ResultsError where figures that are there could not be replaced by those of a run."""
    test_of = {test.name: test for test in tests}
    for run in runs:
        found = [one for one in before if one.data in test_of and _is_of(one, run)]
        if not found:
            continue
        folder = out / run.folder
        kept = folder_fingerprint(folder) if folder.exists() else None
        training = training_in_short(training_story(folder)) if kept else asked.training(run, _TOLD)
        for one in found:
            is_kept = one.result["model"]["fingerprint"] == kept
            different = [] if is_kept else differences(one.training, training)
            refuse_differences(file, one, different, test_of[one.data].told(one.with_images))


def _is_of(one: Measured, run: Run) -> bool:
    return (one.preset, one.words, one.seed) == (run.preset.name, run.words, run.seed)


def _read(file: Path) -> list[Example]:
    return list(read_examples(file, captions=captions_beside(file)))
