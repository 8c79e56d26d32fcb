"""python scripts/write_topic_samples.py

Makes worker/messages/topic_samples.jsonl: sends some posts of the sample through the worker's pipeline, with the model
that ships, and writes down what would be on each topic. To be run when that model or the messages change, and after it
`mner-worker schemas --asyncapi deploy`, whose examples these are.
"""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from worker.demo.posts import PICTURES, SAMPLE
from worker.messages.records import OutgoingMessage
from worker.messages.samples import SAMPLES, TopicSample
from worker.settings import Settings
from worker.tagging.pipeline import Pipeline
from worker.telemetry.metrics import Metrics

# One with an image and a name that is not ASCII; one with organisations and others; one that is deleted later.
POSTS = ("demo-003", "demo-012", "demo-006")
DELETED = "demo-006"
MALFORMED = "this line is not JSON"
# where the sample's pictures are said to be: the demo fills in its own address
PICTURES_URL = "https://example.org"


@dataclass(frozen=True)
class Record:
    """A record as the worker would consume it."""

    key: bytes | None
    value: bytes | None
    offset: int
    timestamp: int
    topic: str = "posts"
    partition: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


def posts() -> list[TopicSample]:
    """The posts as their senders would send them, and the tombstone of one."""
    lines = (SAMPLE / "posts.jsonl").read_text(encoding="utf-8").replace("{pictures}", PICTURES_URL).splitlines()
    [malformed] = [line for line in lines if line.startswith(MALFORMED)]
    found = {post["id"]: post for line in lines if line != malformed and "id" in (post := json.loads(line))}
    return [
        *(TopicSample("posts", post_id, found[post_id], {}) for post_id in POSTS),
        TopicSample("posts", None, malformed, {}),
        TopicSample("posts", DELETED, None, {}),
    ]


def as_consumed(post: TopicSample, offset: int) -> Record:
    """With its picture inside, for there is nobody at its address; records say the same either way."""
    value = post.value
    if isinstance(value, dict) and "image_url" in value:
        picture = PICTURES / value["image_url"].removeprefix(f"{PICTURES_URL}/")
        value = {name: field for name, field in value.items() if name != "image_url"}
        value["image_data"] = base64.b64encode(picture.read_bytes()).decode()
    sent = value if isinstance(value, str) or value is None else json.dumps(value)
    return Record(encoded(post.key), encoded(sent), offset, timestamp=int(time.time() * 1_000))


def as_sample(message: OutgoingMessage) -> TopicSample:
    """A message that the worker would publish."""
    headers = {name: value.decode() for name, value in message.headers}
    return TopicSample(message.topic, decoded(message.key), readable(decoded(message.value)), headers)


async def samples() -> list[TopicSample]:
    """Each post, and after it what answers it."""
    pipeline = Pipeline(Settings.load({"MNER_REDIS_URL": "", "MNER_DEVICE": "cpu"}), Metrics())
    await pipeline.start()
    try:
        return [sample for number, post in enumerate(posts()) async for sample in story(pipeline, post, number)]
    finally:
        await pipeline.close()


async def story(pipeline: Pipeline, post: TopicSample, number: int) -> AsyncIterator[TopicSample]:
    """One post and its answers."""
    yield post
    [outcome] = await pipeline.process([as_consumed(post, number)])
    for message in outcome.messages:
        yield as_sample(message)


def lines(written: list[TopicSample]) -> Iterator[str]:
    """JSON lines."""
    for sample in written:
        yield json.dumps(asdict(sample), ensure_ascii=False) + "\n"


def encoded(text: str | None) -> bytes | None:
    """UTF-8, or nothing."""
    return None if text is None else text.encode()


def decoded(value: bytes | None) -> str | None:
    """From UTF-8, or nothing."""
    return None if value is None else value.decode()


def readable(value: str | None) -> Any:
    """An object where the value is one in JSON, else the value."""
    try:
        return None if value is None else json.loads(value)
    except ValueError:
        return value


if __name__ == "__main__":
    SAMPLES.write_text("".join(lines(asyncio.run(samples()))), encoding="utf-8")
