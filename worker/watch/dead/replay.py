"""`mner-worker dead replay`: posts that became dead letters go to their topic again, as they first came.

Only letters that there are when it begins are sent, so that posts that fail again are not sent for ever. Of one key
they go in the order in which they failed, to the partition that they came from.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from worker.delivery.broker import client_options
from worker.delivery.topics import TopicsUnavailable
from worker.errors import ExitStatus
from worker.settings import Settings
from worker.watch.dead.letter import DeadLetter
from worker.watch.dead.listing import LetterSelection, selected_letters
from worker.watch.dead.report import Report, WhyNot, by_topic
from worker.watch.foreground import quiet_clients, run_in_foreground
from worker.watch.output import by_kind, say
from worker.watch.reading_start import Start
from worker.watch.record_view import printable
from worker.watch.topic_reader import MAX_RECORD_BYTES, TopicReader

UNCONFIRMED_MAX = 500
UNCONFIRMED_MAX_BYTES = 32 * 1024 * 1024
_TOO_LARGE = (MessageSizeTooLargeError, RecordListTooLargeError)


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What was asked for on the command line."""

    selection: LetterSelection
    start: Start
    dry_run: bool
    """Tell what would be sent, and send nothing."""


@dataclass(slots=True)
class _Plan:
    """What a look at the letters found: how many would be sent where, how many could not be, and up to where."""

    topics: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    ends: Mapping[TopicPartition, int] = field(default_factory=dict)

    def __str__(self) -> str:
        refused = f"; {self.refused.total():,} cannot be sent ({by_kind(self.refused)})" if self.refused else ""
        return f"{by_topic(self.topics)}{refused}"


def run_replay(settings: Settings, options: ReplayOptions, confirm: Callable[[str], bool] | None) -> ExitStatus:
    """Send the letters' posts again.

    confirm  asked with what would be sent before anything is; None: nobody is asked
    returns  FAILED if any letter was not sent, or nobody agreed
    """
    quiet_clients(settings)
    plan = _Plan()
    if confirm is not None and not options.dry_run:
        looked = run_in_foreground(_look(settings, options, plan), interrupted=ExitStatus.FAILED)
        if looked is not ExitStatus.DONE:
            return looked
        if plan.topics and not confirm(f"Send letters again: {printable(str(plan))}?"):
            return ExitStatus.FAILED
    return run_in_foreground(_replay(settings, options, plan.ends), interrupted=ExitStatus.FAILED)


async def _look(settings: Settings, options: ReplayOptions, plan: _Plan) -> ExitStatus:
    try:
        async with (
            TopicReader(settings, settings.dead_topic, start=options.start) as reader,
            aclosing(selected_letters(reader, options.selection, tell=_told_later)) as letters,
        ):
            plan.ends = reader.ends
            async for letter in letters:
                if (why_not := _why_not(letter, reader, settings)) is None:
                    plan.topics[letter.source.topic] += 1
                else:
                    plan.refused[why_not.kind] += 1
    except TopicsUnavailable as error:
        say(str(error))
        return ExitStatus.FAILED
    return ExitStatus.DONE


async def _replay(settings: Settings, options: ReplayOptions, ends: Mapping[TopicPartition, int]) -> ExitStatus:
    report = Report(options.dry_run)
    try:
        async with (
            TopicReader(settings, settings.dead_topic, start=options.start, until=ends) as reader,
            AIOKafkaProducer(
                **client_options(settings),
                acks="all",
                # its batches stay at 16 KiB: brokers refuse them as a whole, so a large post goes by itself
                max_request_size=MAX_RECORD_BYTES,
            ) as producer,
            aclosing(selected_letters(reader, options.selection)) as letters,
        ):
            sender = _Sender(producer, report)
            try:
                async for letter in letters:
                    if (why_not := _why_not(letter, reader, settings)) is not None:
                        report.not_sent(letter, why_not)
                    elif options.dry_run:
                        report.would_send(letter, _partition(letter, reader))
                    else:
                        await sender.send(letter, _partition(letter, reader))
            finally:
                await sender.settle()
    except TopicsUnavailable as error:
        report.stopped(str(error))
    except KafkaError as error:
        report.stopped(f"no letter could be sent: {error!r}")
    except _Stopped as stopped:
        report.stopped(str(stopped))
    finally:
        report.summary(settings.dead_topic)
    return ExitStatus.FAILED if report.failed else ExitStatus.DONE


def _told_later(_: str) -> None:
    """It will be, when the letters are sent."""


# Which can be sent, and where to


def _why_not(letter: DeadLetter, reader: TopicReader, settings: Settings) -> WhyNot | None:
    if letter.omitted_bytes:
        sizes = ", ".join(f"{part} of {size:,} bytes" for part, size in letter.omitted_bytes.items())
        kind = f"{' and '.join(letter.omitted_bytes)} left out"
        return WhyNot(kind, f"the letter had to go without {sizes}; the original was at {letter.source}")
    if letter.key is None and letter.value is None:
        return WhyNot("neither key nor value", "the letter has neither a key nor a value, and so names no post")
    topic = letter.source.topic
    if topic in {settings.dead_topic, settings.entities_topic, *settings.mention_topics}:
        return WhyNot("not from a topic of posts", f"it says that it came from {topic}, which holds no posts")
    if not reader.partitions_of(topic):
        return WhyNot("no such topic", f"it came from {topic}, which there is no more")
    return None


def _partition(letter: DeadLetter, reader: TopicReader) -> int | None:
    """The one it came from, so that it stays in line with its key's other posts whoever chose it; None: by its key."""
    partition = letter.source.partition
    return partition if partition in reader.partitions_of(letter.source.topic) else None


# Sending, and knowing that the broker has them


class _Stopped(Exception):
    """The broker takes no more; what was not sent by then is left."""


class _Sender:
    """Sends in order, some of them unconfirmed at a time."""

    def __init__(self, producer: AIOKafkaProducer, report: Report) -> None:
        self._producer = producer
        self._report = report
        self._unconfirmed: deque[tuple[DeadLetter, asyncio.Future[Any]]] = deque()
        self._unconfirmed_bytes = 0

    async def send(self, letter: DeadLetter, partition: int | None) -> None:
        """Hand it to the producer, when there is room. Raises _Stopped when an earlier one could not be sent."""
        size = len(letter.value or b"")
        while self._unconfirmed and (
            len(self._unconfirmed) >= UNCONFIRMED_MAX or self._unconfirmed_bytes + size > UNCONFIRMED_MAX_BYTES
        ):
            await self._confirm_oldest()
        try:
            confirmation = await self._producer.send(
                letter.source.topic, letter.value, letter.key, partition=partition, headers=list(letter.headers)
            )
        except _TOO_LARGE as error:
            self._report.not_sent(letter, WhyNot("too large", f"this client refuses it: {error}"))
            return
        self._unconfirmed.append((letter, confirmation))
        self._unconfirmed_bytes += size

    async def settle(self) -> None:
        """Wait for the broker's word about all that was sent; the producer gives up after 40 s without one."""
        stopped: _Stopped | None = None
        while self._unconfirmed:
            try:
                await self._confirm_oldest()
            except _Stopped as error:
                stopped = stopped or error
        if stopped is not None:
            raise stopped

    async def _confirm_oldest(self) -> None:
        letter, confirmation = self._unconfirmed[0]
        try:
            sent = await asyncio.shield(confirmation)  # Ctrl-C does not unsend it
        except _TOO_LARGE:
            self._report.not_sent(letter, WhyNot("too large", f"{letter.source.topic} does not take it: too large"))
        except KafkaError as error:
            self._report.not_sent(letter, WhyNot(type(error).__name__, f"the broker did not take it: {error!r}"))
            raise _Stopped(f"stopped at {letter.place}: {error!r}") from error
        else:
            self._report.sent(letter, sent)
        finally:
            if confirmation.done():
                self._unconfirmed.popleft()
                self._unconfirmed_bytes -= len(letter.value or b"")
