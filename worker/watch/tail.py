"""`mner-worker tail`: entity records as they are published, for a stranger to subscribe with."""

import time
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import regex

from worker.delivery.topics import TopicsUnavailable
from worker.errors import ExitStatus
from worker.messages.records import ConsumedRecord, Place
from worker.messages.wire import EntityRecord, EntityType, from_milliseconds
from worker.settings import Settings
from worker.watch.foreground import quiet_clients, run_in_foreground
from worker.watch.output import say
from worker.watch.reading_start import Start
from worker.watch.record_view import RecordView, view_on_stdout
from worker.watch.topic_reader import TopicReader

# What it took is lost to the records that follow, and people type patterns that never end.
MATCH_TIMEOUT_S = 0.25


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records are shown: those with a mention of one of the types whose text the pattern is found in."""

    types: frozenset[EntityType] = frozenset()
    """Empty: any."""
    pattern: regex.Pattern[str] | None = None

    @property
    def is_all(self) -> bool:
        """Whether every record is shown, those without a mention too."""
        return not self.types and self.pattern is None

    def takes(self, record: EntityRecord) -> bool:
        """Raises TimeoutError where the pattern takes longer than 0.25 s in one record."""
        if self.is_all:
            return True
        deadline = time.monotonic() + MATCH_TIMEOUT_S
        return any(
            self._is_found(entity.text, deadline)
            for entity in record.entities
            if not self.types or entity.type in self.types
        )

    def _is_found(self, text: str, deadline: float) -> bool:
        if self.pattern is None:
            return True
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        return self.pattern.search(text, timeout=left_s) is not None


@dataclass(frozen=True, slots=True)
class TailOptions:
    """What was asked for on the command line."""

    selection: Selection
    start: Start
    count: int | None
    """How many to show; None: until Ctrl-C."""
    follow: bool
    """Whether to wait for records to come; else it ends with the last that was there when it began."""


def run_tail(settings: Settings, options: TailOptions) -> ExitStatus:
    """Show records until there were as many as asked for, all that there are without following, or Ctrl-C."""
    quiet_clients(settings)
    return run_in_foreground(_tail(settings, options), interrupted=ExitStatus.DONE)


async def _tail(settings: Settings, options: TailOptions) -> ExitStatus:
    shown, view = 0, view_on_stdout()
    waiting = say if options.follow else None  # what is not there need not be waited for
    try:
        async with (
            TopicReader(settings, settings.entities_topic, start=options.start, waiting=waiting) as reader,
            aclosing(reader.follow() if options.follow else reader.present()) as records,
        ):
            async for record in records:
                shown += _show(record, options.selection, view)
                if shown == options.count:
                    break
    except TopicsUnavailable as error:
        say(str(error))
        return ExitStatus.FAILED
    return ExitStatus.DONE


def _show(message: ConsumedRecord, selection: Selection, view: RecordView) -> bool:
    """Show it if it is asked for; whether it was."""
    published_at = from_milliseconds(message.timestamp)
    try:
        if message.value is None:
            return selection.is_all and _show_deletion(message, published_at, view)
        if not selection.takes(EntityRecord.decode(message.value)):
            return False
    except TimeoutError:
        say(f"{Place.of(message)} not shown: the pattern took longer than {MATCH_TIMEOUT_S} s")
        return False
    except ValueError as error:
        say(f"{Place.of(message)} not shown: no entity record that this version can read: {_first_problem(error)}")
        return False
    view.record(message.value, published_at=published_at)
    return True


def _show_deletion(message: ConsumedRecord, published_at: datetime, view: RecordView) -> bool:
    if message.key is None:
        raise ValueError("received neither a key nor a value")
    view.deleted(message.key, published_at=published_at)
    return True


def _first_problem(error: ValueError) -> str:
    """Of pydantic's, without the value: it is as long as it likes."""
    problems: list[Any] = error.errors(include_url=False) if hasattr(error, "errors") else []
    if not problems:
        return str(error)
    where = ".".join(map(str, problems[0]["loc"]))
    return f"{where}: {problems[0]['msg']}" if where else str(problems[0]["msg"])
