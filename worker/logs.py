"""Log lines on stderr, for people or as one JSON object each."""

import json
import logging
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

# What they tell of every rebalance and connection is ours to say in a line, or nobody's to read.
CHATTY = ("faust", "mode", "aiokafka", "asyncio")


REPEATED_AFTER_S = 10.0


class FewRepeats(logging.Filter):
    """Lets a library say one thing once in ten seconds: without a broker aiokafka says the same 40 times a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said_at: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is to be written; ours always are."""
        if record.name.partition(".")[0] not in CHATTY:
            return True
        what, now = (record.name, str(record.msg)), self._clock()
        if now - self._said_at.get(what, -REPEATED_AFTER_S) < REPEATED_AFTER_S:
            return False
        self._said_at[what] = now
        return True


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message and, where there is one, the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def configure(level: str, style: Literal["text", "json"]) -> None:
    """Log to stderr from here on: ours from `level` on, the libraries' from warnings on unless all is to be told."""
    handler = logging.StreamHandler(sys.stderr)
    plain = logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
    if level != "DEBUG":
        handler.addFilter(FewRepeats())
    handler.setFormatter(JsonLines() if style == "json" else plain)
    logging.basicConfig(level=level, handlers=[handler], force=True)
    quieter = logging.DEBUG if level == "DEBUG" else max(logging.WARNING, logging.getLevelNamesMapping()[level])
    for name in CHATTY:
        logging.getLogger(name).setLevel(quieter)
