"""Log lines on stderr, for people or as one JSON object each."""

import json
import logging
import sys
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Literal

OURS = ("worker", "mner_model")
# What they tell of every rebalance and connection is ours to say in a line, or nobody's to read.
CHATTY = ("faust", "mode", "aiokafka", "asyncio")
REPEATED_AFTER_S = 60.0
# Errors to aiokafka, which tries again: a broker that is new or starts anew has no coordinator or topic for a moment.
PASSING = {
    ("aiokafka.consumer.group_coordinator", "Group Coordinator Request failed: %s"),
    ("aiokafka.cluster", "Topic %s not found in cluster metadata"),
}

about: ContextVar[Mapping[str, str]] = ContextVar("about", default=MappingProxyType({}))
"""What all lines of this task are about, such as the window it answers; set it anew, and it ends with the task."""


class FewRepeats(logging.Filter):
    """Lets a library complain of one thing once a minute: without a broker aiokafka does so 40 times a second.

    What mostly passes is a warning at first, and the error that the library calls it when it is still there after that.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said_at: dict[tuple[str, str], float] = {}
        self._heard_at: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be written; ours always are, and what is no complaint."""
        if record.levelno < logging.WARNING or record.name.partition(".")[0] in OURS:
            return True
        what, now = (record.name, str(record.msg)), self._clock()
        is_new = now - self._heard_at.get(what, -REPEATED_AFTER_S) >= REPEATED_AFTER_S
        self._heard_at[what] = now
        if now - self._said_at.get(what, -REPEATED_AFTER_S) < REPEATED_AFTER_S:
            return False
        self._said_at[what] = now
        if what in PASSING and is_new:
            record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
            return logging.getLogger(record.name).isEnabledFor(logging.WARNING)
        return True


class Recurring:
    """Warns of a thing of ours that happens again and again: at once, then once a minute and how often it was."""

    def __init__(self, logger: logging.Logger, what: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._what = what
        self._clock = clock
        self._times = 0
        self._said_at = 0.0

    def happened(self, why: str) -> None:
        """It happened, perhaps again."""
        self._times += 1
        now = self._clock()
        if self._times == 1:
            self._logger.warning("%s: %s", self._what, why)
        elif now - self._said_at >= REPEATED_AFTER_S:
            self._logger.warning("%s, %d times by now: %s", self._what, self._times, why)
        else:
            return
        self._said_at = now

    def ended(self, what: str) -> None:
        """It no longer happens, if it did."""
        if self._times:
            self._logger.warning("%s, after %d times", what, self._times)
        self._times = 0


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, what it is about, its figures, and a traceback if any.

    Figures are what the caller gave as `extra={"figures": {…}}`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_known(),
            **getattr(record, "figures", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class PlainLines(logging.Formatter):
    """For people: time, level, logger and message, and in brackets what it is about."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The first line of it."""
        known = " ".join(f"{name} {value}" for name, value in _known().items())
        return super().formatMessage(record) + (f" [{known}]" if known else "")


def _known() -> dict[str, str]:
    return {name: value for name, value in about.get().items() if value}


def configure(level: str, style: Literal["text", "json"]) -> None:
    """Log to stderr from here on: ours from `level` on, chatty libraries' from warnings on unless all is to be told.

    All of a library's is never told: aiokafka's debug lines have whole requests in them, posts and all.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(FewRepeats())
    handler.setFormatter(JsonLines() if style == "json" else PlainLines())
    wanted = logging.getLevelNamesMapping()[level]
    logging.basicConfig(level=max(logging.INFO, wanted), handlers=[handler], force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(wanted)
    quieter = logging.INFO if level == "DEBUG" else max(logging.WARNING, wanted)
    for name in CHATTY:
        logging.getLogger(name).setLevel(quieter)
