"""`mner-worker dead list` and `show`: which posts became dead letters, and one of them wholly."""

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from rich.console import Console
from rich.text import Text

from mner_model.posts.fields import format_timestamp
from worker.delivery.topics import TopicsUnavailable
from worker.errors import DeadReason, ExitStatus
from worker.messages.records import ConsumedRecord, Place
from worker.messages.wire import from_milliseconds
from worker.settings import Settings
from worker.watch.dead.letter import DeadLetter, NotADeadLetter, read_letter, value_as_it_came
from worker.watch.foreground import quiet_clients, run_in_foreground
from worker.watch.output import print_json, say, terminal
from worker.watch.reading_start import Start
from worker.watch.record_view import printable, text_or_base64
from worker.watch.topic_reader import TopicReader

REASON_WIDTH = max(map(len, DeadReason))
KEY_MAX_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class LetterSelection:
    """Which dead letters are meant."""

    reasons: frozenset[str] = frozenset()
    """Empty: for whatever reason."""
    post_ids: frozenset[str] = frozenset()
    """Empty: of all posts."""

    def takes(self, letter: DeadLetter) -> bool:
        """Whether this one is."""
        return (not self.reasons or letter.reason in self.reasons) and (
            not self.post_ids or any(map(letter.is_about, self.post_ids))
        )


async def selected_letters(
    reader: TopicReader, selection: LetterSelection, tell: Callable[[str], None] = say
) -> AsyncGenerator[DeadLetter, None]:
    """Those that there were when the reader was opened; tells of records that are no dead letters."""
    async with aclosing(reader.present()) as records:
        async for record in records:
            try:
                letter = read_letter(record)
            except NotADeadLetter as error:
                tell(f"{Place.of(record)} passed over: {error}")
                continue
            if selection.takes(letter):
                yield letter


# All of them, a line or two each


def run_list(settings: Settings, selection: LetterSelection, start: Start, count: int | None) -> ExitStatus:
    """List the dead letters that there are, the first `count` of them."""
    quiet_clients(settings)
    return run_in_foreground(_list(settings, selection, start, count), interrupted=ExitStatus.DONE)


async def _list(settings: Settings, selection: LetterSelection, start: Start, count: int | None) -> ExitStatus:
    listed, console = 0, terminal()
    try:
        async with (
            TopicReader(settings, settings.dead_topic, start=start) as reader,
            aclosing(selected_letters(reader, selection)) as letters,
        ):
            async for letter in letters:
                if console is None:
                    print_json(_row(letter))
                else:
                    _print_letter(console, letter)
                listed += 1
                if listed == count:
                    break
    except TopicsUnavailable as error:
        say(str(error))
        return ExitStatus.FAILED
    if not listed:
        say(f"no such letters on {settings.dead_topic}")
    return ExitStatus.DONE


def _row(letter: DeadLetter) -> dict[str, Any]:
    row = {
        "partition": letter.place.partition,
        "offset": letter.place.offset,
        "published_at": format_timestamp(letter.published_at),
        "failed_at": letter.failed_at,
        "reason": letter.reason,
        "detail": letter.detail,
        "attempts": letter.attempts,
        "source": letter.source._asdict(),
        **text_or_base64("key", letter.key),
        "value_bytes": None if letter.value is None else len(letter.value),
    }
    return row | ({"omitted_bytes": dict(letter.omitted_bytes)} if letter.omitted_bytes else {})


def _print_letter(console: Console, letter: DeadLetter) -> None:
    place = f"{letter.place.partition}:{letter.place.offset}"
    head = Text.assemble(
        (f"{place:<10}", "bold"),
        f"  {letter.published_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z  ",
        (f"{printable(letter.reason):<{REASON_WIDTH}}", "red"),
        (f"  {_size(letter):>9}", "" if not letter.omitted_bytes else "yellow"),
        (f"  from {printable(str(letter.source))}", "dim"),
        f"  {printable(short_key(letter))}",
    )
    console.print(head, soft_wrap=True)
    console.print(Text(f"{'':<10}  {printable(letter.detail)}", "dim"), soft_wrap=True)


def short_key(letter: DeadLetter) -> str:
    """The key as a line has room for."""
    key = "no key" if letter.key_text is None else letter.key_text
    return key if len(key) <= KEY_MAX_CHARACTERS else key[: KEY_MAX_CHARACTERS - 1] + "…"


def _size(letter: DeadLetter) -> str:
    if "value" in letter.omitted_bytes:
        return "left out"
    return "null" if letter.value is None else f"{len(letter.value):,} B"


# One of them, wholly


def run_show(settings: Settings, partition: int, offset: int) -> ExitStatus:
    """Show all that a record of the dead-letter topic holds, whether it is a dead letter or not."""
    quiet_clients(settings)
    return run_in_foreground(_show(settings, partition, offset), interrupted=ExitStatus.DONE)


async def _show(settings: Settings, partition: int, offset: int) -> ExitStatus:
    try:
        async with TopicReader(settings, settings.dead_topic) as reader:
            record, held = await reader.at(partition, offset), reader.held(partition)
    except TopicsUnavailable as error:
        say(str(error))
        return ExitStatus.FAILED
    if record is None:
        say(f"{settings.dead_topic} {partition}:{offset}: no letter there; {held}")
        return ExitStatus.FAILED
    if (console := terminal()) is None:
        print_json(_whole(record))
    else:
        for line in _lines(record):
            console.print(line, soft_wrap=True)
    return ExitStatus.DONE


def _whole(record: ConsumedRecord) -> dict[str, Any]:
    return {
        **Place.of(record)._asdict(),
        "published_at": format_timestamp(from_milliseconds(record.timestamp)),
        "headers": [{"name": name, **text_or_base64("value", value)} for name, value in record.headers],
        **text_or_base64("key", record.key),
        **text_or_base64("value", value_as_it_came(record)),
    }


def _lines(record: ConsumedRecord) -> Iterator[Text]:
    about = [("published", f"{from_milliseconds(record.timestamp).astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}Z")]
    about += [(name, _shown(value)) for name, value in record.headers]
    about.append(("key", _shown(record.key)))
    width = max(len(printable(name)) for name, _ in about)
    yield Text(str(Place.of(record)), "bold red")
    for name, text in about:
        yield Text.assemble((f"{printable(name):<{width}}", "bold"), f"  {printable(text)}")
    if (value := value_as_it_came(record)) is None:
        yield Text.assemble((f"{'value':<{width}}", "bold"), "  (null)")
        return
    yield Text(f"value, {len(value):,} bytes", "bold")
    for line in _shown(value).splitlines():
        yield Text(printable(line))


def _shown(value: bytes | None) -> str:
    """Text as it is, what is none in base64, and a word for nothing at all."""
    [(name, text)] = text_or_base64("value", value).items()
    if text is None:
        return "(null)"
    return f"(base64) {text}" if name.endswith("_base64") else text
