"""Posts for a deployment that has no source of its own yet: sent at a steady pace, each confirmed by the broker."""

import asyncio
import itertools
import logging
import secrets
import signal
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, MessageSizeTooLargeError

from worker.delivery.broker import client_options, start_when_a_broker_answers, wait_for_topics
from worker.delivery.publisher import MAX_REQUEST_BYTES
from worker.demo.pictures import serve_pictures
from worker.demo.posts import PostLine, brought_posts, sample_posts, with_new_id
from worker.errors import ExitStatus
from worker.settings import Settings
from worker.telemetry import logs

logger = logging.getLogger(__name__)

OPEN_POSTS_MAX = 1_000
# Timers fire a little late; so much is made up for, and a longer pause is not followed by a burst.
CATCH_UP_S = 0.25
LAST_CONFIRMATIONS_S = 5.0


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """What was asked for on the command line."""

    posts_per_s: float = 2.0
    count: int | None = None
    """End after so many posts; None: never with the sample, else after the last that was brought."""
    posts: Path | None = None
    """JSON lines to send instead of the sample, `-` for standard input."""
    pictures_host: str = "127.0.0.1"
    """The name by which workers reach this machine, for the sample's pictures."""
    pictures_port: int = 8000


def run_feed(settings: Settings, options: FeedOptions) -> ExitStatus:
    """Feed until the posts are sent, or Ctrl-C or SIGTERM. DONE only if the broker confirmed every post."""
    logs.configure(settings.log_level, settings.log_format)
    try:
        return asyncio.run(feed(settings, options))
    except (KafkaError, OSError) as error:
        logger.error("stopped: %s", str(error) or repr(error))
        return ExitStatus.FAILED


async def feed(settings: Settings, options: FeedOptions) -> ExitStatus:
    """As `run_feed`, in the main thread's loop. Raises KafkaError when the broker goes away, OSError for a port."""
    async with AsyncExitStack() as stack:
        pictures_url = ""
        if options.posts is None:
            serving = serve_pictures(options.pictures_port, options.pictures_host)
            pictures_url = await stack.enter_async_context(serving)
        producer = AIOKafkaProducer(**client_options(settings), acks="all", max_request_size=MAX_REQUEST_BYTES)
        stack.push_async_callback(producer.stop)
        sender = Sender(producer, settings.posts_topic)

        async def send_all() -> None:
            await start_when_a_broker_answers(producer, settings.brokers)
            await wait_for_topics(producer, [settings.posts_topic])
            logger.info("feeding %s, %g posts a second", settings.posts_topic, options.posts_per_s)
            async for post in paced(_posts(options, pictures_url), options.posts_per_s):
                await sender.send(post)

        sending = asyncio.create_task(send_all())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, sending.cancel)
        patience_s: float | None = LAST_CONFIRMATIONS_S
        try:
            with suppress(asyncio.CancelledError):
                await sending
                patience_s = None
        finally:  # also where it stops on an error
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(patience_s):
                        await sender.settle()
            finally:
                logger.info("%s", sender.summary())
        return ExitStatus.DONE if sender.all_confirmed else ExitStatus.FAILED


class Sender:
    """Sends posts without waiting for each, and counts those that the broker confirmed."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self.confirmed = 0
        self.refused = 0
        self._producer, self._topic = producer, topic
        self._open: deque[tuple[PostLine, asyncio.Future[object]]] = deque()

    async def send(self, post: PostLine) -> None:
        """Send one more; waits while too many are unconfirmed. Raises KafkaError where no broker takes them."""
        await self.settle(down_to=OPEN_POSTS_MAX)
        try:
            confirmation = await self._producer.send(self._topic, post.value, post.key)
        except MessageSizeTooLargeError as error:
            self._refuse(post, error)
        else:
            self._open.append((post, confirmation))

    async def settle(self, down_to: int = 0) -> None:
        """Until at most so many are unconfirmed; those that were confirmed meanwhile are counted in any case."""
        while len(self._open) > down_to or (self._open and self._open[0][1].done()):
            post, confirmation = self._open[0]
            await asyncio.wait({confirmation})  # awaited itself, it would be cancelled with us
            try:
                confirmation.result()
            except MessageSizeTooLargeError as error:
                self._refuse(post, error)
            else:
                self.confirmed += 1
            self._open.popleft()  # one that failed otherwise stays: it is not confirmed

    @property
    def all_confirmed(self) -> bool:
        """Whether the broker has every post that was to be sent."""
        return not self.refused and not self._open

    def summary(self) -> str:
        """What became of the posts."""
        others = {"refused": self.refused, "not confirmed": len(self._open)}
        return f"{self.confirmed:,} posts sent" + "".join(
            f", {count:,} {what}" for what, count in others.items() if count
        )

    def _refuse(self, post: PostLine, error: MessageSizeTooLargeError) -> None:
        self.refused += 1
        logger.error("%s: too large for topic %s: %s", post.name, self._topic, error)


async def paced(posts: AsyncIterator[PostLine], posts_per_s: float) -> AsyncIterator[PostLine]:
    """The posts, so many a second."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    async for post in posts:
        await asyncio.sleep(due - loop.time())
        yield post
        due = max(due + 1 / posts_per_s, loop.time() - CATCH_UP_S)


async def _posts(options: FeedOptions, pictures_url: str) -> AsyncIterator[PostLine]:
    """As many as were asked for: the sample again and again, or what was brought, again only if that is too few."""
    path, run = options.posts, secrets.token_hex(3)
    left = options.count
    for round_number in itertools.count(1):
        empty = True
        async for post in sample_posts(pictures_url) if path is None else brought_posts(path):
            if left == 0:
                return
            left = None if left is None else left - 1
            as_it_is = path is not None and round_number == 1
            yield post if as_it_is else with_new_id(post, f"{run}-{round_number}")
            empty = False
        if empty or str(path) == "-" or (path is not None and options.count is None):
            return
