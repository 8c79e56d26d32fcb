"""The samples of each topic are what the worker with the model that ships says today."""

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from worker.messages.samples import TopicSample, topic_samples

WRITER = Path(__file__).parents[3] / "scripts" / "write_topic_samples.py"
MEND = "run python scripts/write_topic_samples.py, then mner-worker schemas --asyncapi deploy"
# when they were written, and when a post without a time of its own was
TIMES = {"tagged_at", "failed_at", "created_at"}


def exact_parts(value: Any) -> Any:
    """Everything but times and probabilities, which differ in the last digits from machine to machine."""
    if isinstance(value, dict):
        return {name: exact_parts(part) for name, part in value.items() if name not in TIMES}
    if isinstance(value, list):
        return [exact_parts(part) for part in value]
    return None if isinstance(value, float) else value


def fractions(value: Any) -> Iterator[float]:
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from fractions(part)
    elif isinstance(value, float):
        yield value


def told(sample: TopicSample) -> dict[str, Any]:
    return {"topic": sample.topic, "key": sample.key, "value": sample.value, "headers": sample.headers}


async def test_samples_are_what_the_worker_says() -> None:
    said = [told(sample) for sample in await runpy.run_path(str(WRITER))["samples"]()]
    written = [told(sample) for sample in topic_samples()]
    assert exact_parts(said) == exact_parts(written), MEND
    assert list(fractions(said)) == pytest.approx(list(fractions(written)), abs=0.005), MEND


def test_every_topic_has_a_sample() -> None:
    mentions = {f"entities.{type_}" for type_ in ("per", "loc", "org", "misc")}
    assert {sample.topic for sample in topic_samples()} == {"posts", "entities", "posts.dead"} | mentions
