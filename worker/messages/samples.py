"""Real messages of every topic: a few of the sample's posts, and what the worker with the model that ships answered.

They are the examples in the JSON Schemas and in the AsyncAPI document. `scripts/write_topic_samples.py` makes them.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).resolve().with_name("topic_samples.jsonl")


@dataclass(frozen=True, slots=True)
class TopicSample:
    """One message as it was on its topic, bytes read as UTF-8.

    topic  the topic's name by default
    value  an object where the bytes are one in JSON, None in a tombstone, else a string
    """

    topic: str
    key: str | None
    value: Any
    headers: dict[str, str]


@cache
def topic_samples() -> tuple[TopicSample, ...]:
    """All samples, in the order in which they came to be."""
    lines = SAMPLES.read_text(encoding="utf-8").splitlines()
    return tuple(TopicSample(**json.loads(line)) for line in lines)
