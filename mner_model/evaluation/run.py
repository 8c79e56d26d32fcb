"""`mner-model evaluate`: a checkpoint against a file with gold, with everything needed to believe the numbers."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

from mner_model.checkpoints.provenance import made_with
from mner_model.data.examples import Example, Judged, captions_fingerprint, fingerprint, mention_count, mention_hash
from mner_model.data.reader import read_examples
from mner_model.evaluation.scores import Evaluation, evaluate, f1_interval
from mner_model.predictor import Document, Prediction, Predictor

_POSTS_PER_CALL = 256


def evaluate_checkpoint(
    predictor: Predictor,
    data: str | Path,
    captions: str | Path | None = None,
    on_progress: Callable[[int, int], None] = lambda done, posts: None,
) -> dict[str, Any]:
    """Tags a file's posts through the predictor, as serving does, and scores it.

    captions     machine captions of the posts' images; their words stand for the image. None: text alone. With them the
                 same posts are scored once more without, as `without_images`; not read for a tagger that reads none
    on_progress  is told how many posts are done, and of how many
    returns      the object that `mner-model evaluate --json` prints; posts_per_core_second is of text to mentions, in
                 the processor's time, which other work on the machine takes nothing from, and is None on a GPU
    Raises DataError for a file that cannot be read.
    """
    if not predictor.reads_captions:
        captions = None
    examples = read_examples(data, captions=captions)
    started, worked = perf_counter(), process_time()
    predictions = _predictions(predictor, examples, on_progress)
    seconds, core_seconds = perf_counter() - started, process_time() - worked
    judged = _judged(examples, predictions)
    scores = _score(predictor, judged).to_json()
    scores["lenient_f1_interval"] = f1_interval(judged)
    if captions is not None:
        alone = [replace(example, caption=None) for example in examples]
        predictions = _predictions(predictor, alone, on_progress)
        without = _score(predictor, _judged(alone, predictions)).to_json()
        scores["without_images"] = {reading: without[reading] for reading in ("strict", "lenient")}
    return {
        "model": {
            "name": predictor.name,
            "fingerprint": predictor.fingerprint,
            "parameters": predictor.parameters,
            "choices": predictor.choices,
        },
        "data": {
            "fingerprint": fingerprint(examples),
            "posts": len(examples),
            "mentions": mention_count(examples),
            "captions": sum(example.caption is not None for example in examples),
            "captions_fingerprint": captions_fingerprint(examples),
            # after the tagging: what reads hashtags remembers them, and would be timed doing nothing
            "features_fingerprint": _features_fingerprint(predictor, examples),
        },
        **scores,
        "posts_per_second": len(examples) / seconds,
        "posts_per_core_second": None if predictor.is_on_gpu else len(examples) / core_seconds,
        "made_with": made_with(predictor.device),
    }


def features_fingerprint(predictor: Predictor, data: str | Path, captions: str | Path | None = None) -> str:
    """sha256 over all that a tagger reads of a file's posts, as `evaluate_checkpoint` tells it of what it scored.

    It differs where the tokenizer, the segmenter of hashtags or whatever else reads posts has changed since.
    Raises DataError for a file that cannot be read.
    """
    return _features_fingerprint(
        predictor, read_examples(data, captions=captions if predictor.reads_captions else None)
    )


def _features_fingerprint(predictor: Predictor, examples: Sequence[Example]) -> str:
    return predictor.features_fingerprint(_document(predictor, example) for example in examples)


def _predictions(
    predictor: Predictor, examples: Sequence[Example], on_progress: Callable[[int, int], None]
) -> list[Prediction]:
    predictions: list[Prediction] = []
    for start in range(0, len(examples), _POSTS_PER_CALL):
        documents = [_document(predictor, example) for example in examples[start : start + _POSTS_PER_CALL]]
        predictions += predictor.predict(documents)
        on_progress(len(predictions), len(examples))
    return predictions


def _judged(examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[Judged]:
    """What is predicted of each example, beside its gold."""
    pairs = zip(examples, predictions, strict=True)
    return [example.judged(prediction.spans(example.tokens)) for example, prediction in pairs]


def _document(predictor: Predictor, example: Example) -> Document:
    embedding = None if example.caption is None else predictor.caption_embedding(example.caption)
    return Document(example.text, embedding, caption=example.caption)


def _score(predictor: Predictor, judged: Sequence[Judged]) -> Evaluation:
    seen = frozenset(predictor.seen_mentions)
    return evaluate(judged, predictor.types, lambda surface, type_: mention_hash(surface, type_) in seen)
