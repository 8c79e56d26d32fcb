"""Scores of the checkpoints of a report, kept beside them.

What is done already is kept: a report that is stopped goes on, and one with a further preset trains only that one.
`reporting.plan` says which trainings, `reporting.check` what they can be refused for, `reporting.page` prints.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mner_model.checkpoints.config_file import training_story
from mner_model.config import ConfigError
from mner_model.data.examples import captions_fingerprint, fingerprint
from mner_model.data.lines import set_name
from mner_model.data.reader import captions_beside, read_examples
from mner_model.evaluation.run import evaluate_checkpoint, features_fingerprint
from mner_model.files.saved_file import saved_file
from mner_model.predictor import Predictor
from mner_model.reporting.results import Measured, ResultsError, training_in_short


@dataclass(frozen=True)
class ScoredSet:
    """A data set to score on, with what it holds now.

    captions              file of its images' captions; None where no post has one
    fingerprint           as `mner_model.data.examples.fingerprint` gives it
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
        examples = read_examples(file, captions=captions_beside(file))
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
    Raises CheckpointError, DataError, or ResultsError for a results.json that is damaged or cannot be written.
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
                with saved_file(kept, ResultsError) as draft:
                    draft.write_text(json.dumps({predictor.fingerprint: found}), encoding="utf-8")
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
