"""Posts in, answers out: what the demo sends to the broker and reads back from it, and whether the two match."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from worker.delivery.broker import client_options
from worker.demo.ledger import Ledger, SentPost
from worker.demo.posts import PostLine
from worker.demo.summary import Tally
from worker.messages.records import ConsumedRecord
from worker.messages.wire import EntityRecord
from worker.settings import Settings
from worker.watch.dead.letter import read_letter
from worker.watch.record_view import RecordView
from worker.watch.topic_reader import MAX_RECORD_BYTES, TopicReader

MAX_OPEN_POSTS = 64


class AnswersStopped(RuntimeError):
    """Posts wait for their answers, and none came for as long as anybody wanted to wait."""


class Exchange:
    """A producer of posts and a consumer of everything they are answered with, with the ledger between them."""

    def __init__(self, settings: Settings, view: RecordView) -> None:
        self.ledger = Ledger()
        self.tally = Tally()
        self._settings = settings
        self._view = view
        self._answered = asyncio.Event()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._producer = await self._stack.enter_async_context(
            AIOKafkaProducer(**client_options(self._settings), max_request_size=MAX_RECORD_BYTES, acks="all")
        )
        self._answers = await self._stack.enter_async_context(
            TopicReader(self._settings, self._settings.entities_topic, self._settings.dead_topic)
        )
        return self

    async def __aexit__(self, *raised: Any) -> None:
        await self._stack.aclose()

    async def feed(self, posts: AsyncIterator[PostLine], posts_per_s: float | None, patience_s: float) -> None:
        """Send posts at this pace (None: as they are answered), then wait for the last answers.

        Raises AnswersStopped when none came for patience_s while posts were open.
        """
        loop = asyncio.get_running_loop()
        due = loop.time()
        async for post in posts:
            while self.ledger.open >= MAX_OPEN_POSTS:
                await self._next_answer(patience_s)
            await self._send(post)
            if posts_per_s is not None:
                due = max(due + 1 / posts_per_s, loop.time())
                await asyncio.sleep(due - loop.time())
        await self.settle(patience_s)

    async def settle(self, patience_s: float) -> None:
        """Until no post is open. Raises AnswersStopped as `feed` does."""
        while self.ledger.open:
            await self._next_answer(patience_s)

    async def read_answers(self) -> None:
        """Show and count answers as they are published, for as long as it is let."""
        async for message in self._answers.follow():
            if message.topic == self._settings.dead_topic:
                self._dead_letter(message)
            elif message.value is not None:
                self._record(message.value, message.timestamp)
            self._answered.set()

    async def _send(self, post: PostLine) -> None:
        try:
            sent = await self._producer.send_and_wait(self._settings.posts_topic, post.value, post.key)
        except MessageSizeTooLargeError:
            self.ledger.refused(f"{post.name} (too large to be sent)")
            return
        self.ledger.post(SentPost(post.name, post.post_id, (sent.partition, sent.offset), sent.timestamp))

    async def _next_answer(self, patience_s: float) -> None:
        self._answered.clear()
        try:
            async with asyncio.timeout(patience_s):  # wait_for may swallow a cancellation that comes with an answer
                await self._answered.wait()
        except TimeoutError:
            raise AnswersStopped(
                f"no answer came for {patience_s:g} s; posts waiting for one: {self.ledger.open:,}"
            ) from None

    def _record(self, value: bytes, timestamp_ms: int) -> None:
        record = EntityRecord.decode(value)
        latency_s = self.ledger.record(record.post_id, timestamp_ms)
        self.tally.record(record)
        self._view.record(value, latency_s)

    def _dead_letter(self, message: ConsumedRecord) -> None:
        letter = read_letter(message)
        place = (letter.source.partition, letter.source.offset)
        latency_s = self.ledger.dead_letter(place, letter.key_text, message.timestamp)
        self.tally.dead_letter(letter)
        self._view.dead_letter(letter, latency_s)
