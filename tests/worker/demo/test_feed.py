import asyncio
import itertools
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaTimeoutError, MessageSizeTooLargeError

from worker.delivery.broker import client_options
from worker.delivery.topics import ensure_topics
from worker.demo.embedded import EmbeddedBroker, free_port
from worker.demo.feed import FeedOptions, Sender, feed, paced
from worker.demo.posts import PostLine, brought_posts, post_line, sample_posts, with_new_id
from worker.errors import ExitStatus, Rejected
from worker.messages.topics import worker_topics
from worker.messages.wire import decode_post
from worker.settings import Settings

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with EmbeddedBroker(tmp_path_factory.mktemp("broker")) as broker:
        yield broker.bootstrap


_numbers = itertools.count()


@pytest.fixture
async def settings(bootstrap: str) -> Settings:
    """Settings with a topic of posts of this test's own, which is there."""
    settings = Settings.load({"MNER_BROKERS": bootstrap, "MNER_POSTS_TOPIC": f"posts-{next(_numbers)}"})
    await ensure_topics(worker_topics(settings)[:1], **client_options(settings))
    return settings


async def arrived(settings: Settings, count: int) -> list[tuple[bytes | None, bytes]]:
    """Keys and values of the first posts in the topic; fails where there are fewer."""
    options = {**client_options(settings), "auto_offset_reset": "earliest"}
    async with AIOKafkaConsumer(settings.posts_topic, **options) as consumer, asyncio.timeout(30):
        return [((message := await consumer.getone()).key, message.value) for _ in range(count)]


# Ids


def post_id(value: bytes) -> str:
    return str(json.loads(value)["id"])


@pytest.mark.parametrize("original", ["demo-001", "x" * 256, "ü" * 250])
def test_a_new_id_fits_and_the_key_follows_it(original: str) -> None:
    line = with_new_id(post_line(json.dumps({"id": original, "text": "hi \ud83c"}).encode(), 1), "abcdef-2")
    assert line.key == post_id(line.value).encode()
    assert post_id(line.value).endswith("-abcdef-2")
    assert len(post_id(line.value)) <= 256
    assert json.loads(line.value)["text"] == "hi \ud83c"


@pytest.mark.parametrize("value", [b"not json", b"[1]", b'{"id": 7}'])
def test_a_line_without_an_id_is_sent_again_as_it_is(value: bytes) -> None:
    assert with_new_id(post_line(value, 1), "abcdef-2") == post_line(value, 1)


async def test_no_post_of_the_sample_becomes_readable_or_unreadable_by_its_new_id() -> None:
    def readable(line: PostLine) -> bool:
        try:
            decode_post(line.key, line.value)
        except Rejected:
            return False
        return True

    lines = [line async for line in sample_posts("http://127.0.0.1:8000")]
    assert [readable(with_new_id(line, "abcdef-2")) for line in lines] == [readable(line) for line in lines]


# Pace


async def test_a_pace_that_timers_cannot_keep_post_by_post_is_kept_over_all() -> None:
    async def posts() -> AsyncIterator[PostLine]:
        for number in range(1_000):
            yield post_line(b"x", number)

    started = asyncio.get_running_loop().time()
    assert len([post async for post in paced(posts(), 5_000.0)]) == 1_000
    assert asyncio.get_running_loop().time() - started > 1_000 / 5_000 - 0.01


async def test_after_the_last_post_nobody_waits_for_the_next() -> None:
    async def one() -> AsyncIterator[PostLine]:
        yield post_line(b"x", 1)

    async with asyncio.timeout(5):
        assert len([post async for post in paced(one(), 0.001)]) == 1


# Sending


class SlowProducer:
    """Confirms when told, and refuses what is too large."""

    def __init__(self) -> None:
        self.confirmations: list[asyncio.Future[object]] = []

    async def send(self, topic: str, value: bytes, key: bytes | None) -> asyncio.Future[object]:
        if len(value) > 5:
            raise MessageSizeTooLargeError(f"{len(value)} bytes")
        self.confirmations.append(asyncio.get_running_loop().create_future())
        return self.confirmations[-1]


async def test_only_what_the_broker_confirmed_counts_as_sent() -> None:
    producer = SlowProducer()
    sender = Sender(producer, "posts")
    for value in (b"one", b"two", b"too large"):
        await sender.send(post_line(value, 1))
    assert sender.summary() == "0 posts sent, 1 refused, 2 not confirmed"

    settling = asyncio.create_task(sender.settle())
    producer.confirmations[0].set_result(None)
    await asyncio.sleep(0)
    settling.cancel()
    await asyncio.gather(settling, return_exceptions=True)
    assert not producer.confirmations[1].cancelled()

    producer.confirmations[1].set_exception(MessageSizeTooLargeError("the broker thinks so"))
    await sender.settle()
    assert sender.summary() == "1 posts sent, 2 refused"
    assert not sender.all_confirmed


async def test_what_the_broker_failed_to_take_is_not_confirmed() -> None:
    producer = SlowProducer()
    sender = Sender(producer, "posts")
    for value in (b"one", b"two", b"three"):
        await sender.send(post_line(value, 1))
    producer.confirmations[0].set_result(None)
    producer.confirmations[1].set_exception(KafkaTimeoutError())
    with pytest.raises(KafkaTimeoutError):
        await sender.settle()
    assert sender.summary() == "1 posts sent, 2 not confirmed"


@pytest.mark.integration
async def test_where_it_stops_on_an_error_it_says_how_many_were_sent(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def two_and_no_more(*_: object) -> AsyncIterator[PostLine]:
        for number in (1, 2):
            yield post_line(b'{"id": "a", "text": "Rome"}', number)
        raise OSError("the disk is gone")

    monkeypatch.setattr("worker.demo.feed._posts", two_and_no_more)
    caplog.set_level("INFO")
    with pytest.raises(OSError, match="the disk is gone"):
        await feed(settings, FeedOptions(1_000.0, posts=Path("gone")))
    assert caplog.messages[-1] == "2 posts sent"


@pytest.mark.integration
async def test_the_sample_comes_again_under_new_ids_until_there_are_enough(settings: Settings) -> None:
    assert await feed(settings, FeedOptions(1_000.0, count=100, pictures_port=free_port())) == ExitStatus.DONE
    keys = [key for key, _ in await arrived(settings, 100) if key is not None]
    assert len(set(keys)) == len(keys) >= 94, "44 posts a round, two of them without an id or malformed"
    assert {key.rpartition(b"-")[2] for key in keys} == {b"1", b"2", b"3"}


@pytest.mark.integration
async def test_what_was_brought_is_sent_once_and_as_it_is_but_again_where_more_are_asked_for(
    settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "posts.jsonl"
    path.write_bytes(b'{"id": "a",  "text": "Rome"}\nnot json\n')
    assert await feed(settings, FeedOptions(1_000.0, posts=path)) == ExitStatus.DONE
    assert await feed(settings, FeedOptions(1_000.0, count=3, posts=path)) == ExitStatus.DONE
    sent = sorted(value for _, value in await arrived(settings, 5))
    original = [line.value async for line in brought_posts(path)]
    again = [value for value in sent if value not in original]
    assert sorted(sent) == sorted([*original, *original, *again])
    assert [post_id(value).startswith("a-") for value in again] == [True]


@pytest.mark.integration
async def test_no_posts_at_all_end_it_even_where_some_were_asked_for(settings: Settings, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    assert await feed(settings, FeedOptions(count=3, posts=empty)) == ExitStatus.DONE


@pytest.mark.integration
async def test_until_sigterm_it_feeds_and_serves_the_pictures_that_its_posts_link_to(settings: Settings) -> None:
    port = free_port()
    command = [sys.executable, "-m", "worker", "feed", "--rate", "50", "--pictures-port", str(port)]
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("MNER_")},
        "MNER_BROKERS": ",".join(settings.brokers),
        "MNER_POSTS_TOPIC": settings.posts_topic,
        "PYTHONPATH": str(ROOT),
    }
    feeding = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, env=environ)
    try:
        posts = [json.loads(value) for key, value in await arrived(settings, 10) if key is not None]
        url = next(post["image_url"] for post in posts if "image_url" in post)
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            assert (answer.status, answer.url.port) == (200, port)
    finally:
        feeding.send_signal(signal.SIGTERM)
        output, said = await feeding.communicate()
    assert (feeding.returncode, output) == (0, b"")
    assert b"posts sent" in said.splitlines()[-1]
