"""Where to begin reading a topic, as people say it: at its beginning, now, at a time, or some time back."""

import re
from datetime import UTC, datetime, timedelta
from typing import Literal, TypeAlias

Start: TypeAlias = Literal["beginning", "now"] | datetime
"""The beginning of what is there, the end of it, or the first record of this moment or later."""

EXPECTED = (
    "expected beginning, now, a day as in 2026-11-22 (from midnight UTC), a time as in 2026-11-22T01:02:03Z or"
    " 2026-11-22T01:02 (UTC where it has no zone), or a span back as in 90s, 15m, 2h or 1d"
)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_SPAN = re.compile(r"([0-9]+)([smhd])")
_WITHOUT_ZONE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?", re.IGNORECASE)


def parse_start(text: str, now: datetime) -> Start:
    """What somebody typed; spans are counted back from `now`.

    Raises ValueError with what was received and what was expected, for a moment that is still to come too.
    """
    match text:
        case "beginning":
            return "beginning"
        case "now":
            return "now"
    moment = _span_back(text, now) or _day(text) or _time(text)
    if moment is None:
        raise ValueError(f"received {text!r}, {EXPECTED}")
    if moment > now:
        raise ValueError(f"received {text!r}, expected a moment that has passed")
    return moment


def _span_back(text: str, now: datetime) -> datetime | None:
    if (span := _SPAN.fullmatch(text)) is None:
        return None
    try:
        return now - timedelta(**{_UNITS[span[2]]: int(span[1])})
    except OverflowError:  # before the year 1, or beyond what a span can be: before every record in either case
        return datetime.min.replace(tzinfo=UTC)


def _day(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None


def _time(text: str) -> datetime | None:
    """RFC 3339, or the same without seconds or a zone; a day alone is not one."""
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        return None
    if moment.tzinfo is None and _WITHOUT_ZONE.fullmatch(text):
        return moment.replace(tzinfo=UTC)
    return moment if moment.tzinfo is not None else None
