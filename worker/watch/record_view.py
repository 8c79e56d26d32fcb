"""Entity records and dead letters as they come by: one JSON object a line for programs, colours for people.

Posts are written by strangers: whatever could move the cursor or turn the text round is replaced before a terminal
sees it, one code point for one, so that the offsets still fit.
"""

import base64
import json
import sys
import unicodedata
from datetime import UTC, datetime
from typing import BinaryIO, Protocol

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from worker.messages.wire import Entity, EntityRecord, EntityType, ImageReport, ImageStatus
from worker.watch.dead.letter import DeadLetter

TYPE_COLOURS: dict[EntityType, str] = {"PER": "magenta", "LOC": "green", "ORG": "cyan", "MISC": "yellow"}
TYPE_NAMES: dict[EntityType, str] = {"PER": "person", "LOC": "place", "ORG": "organisation", "MISC": "other name"}
UNSURE_BELOW = 0.5
GAP = "   "
VALUE_PREVIEW_CHARACTERS = 100
# line and paragraph separators, and the marks that reorder text for the rest of the line (UAX #9)
_UNSAFE = frozenset("\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class RecordView(Protocol):
    """Shows each answer as it comes."""

    def record(self, value: bytes, latency_s: float | None = None, *, published_at: datetime | None = None) -> None:
        """An entity record, in the bytes that were published."""

    def deleted(self, key: bytes, *, published_at: datetime | None = None) -> None:
        """The record under this key was deleted."""

    def dead_letter(self, letter: DeadLetter, latency_s: float | None) -> None:
        """A post that could not be answered otherwise."""


class JsonLines:
    """One JSON object a line and nothing else: records as published, deletions and dead letters under their names."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def record(self, value: bytes, latency_s: float | None = None, *, published_at: datetime | None = None) -> None:
        """The record's own bytes; written anew only where another producer broke it over lines."""
        self._line(json.dumps(json.loads(value)).encode() if b"\n" in value or b"\r" in value else value)

    def deleted(self, key: bytes, *, published_at: datetime | None = None) -> None:
        """The id of the post; in base64 where it is not text."""
        self._line(json.dumps(text_or_base64("deleted", key), ensure_ascii=False).encode())

    def dead_letter(self, letter: DeadLetter, latency_s: float | None) -> None:
        """The reason, where the post was, and the post; in base64 where it is not text."""
        why = {"reason": letter.reason, "detail": letter.detail}
        post = text_or_base64("key", letter.key) | text_or_base64("value", letter.value)
        fields = {**why, **letter.source._asdict(), **post}
        self._line(json.dumps({"dead": fields}, ensure_ascii=False).encode())

    def _line(self, line: bytes) -> None:
        self._stream.write(line + b"\n")
        self._stream.flush()


class Terminal:
    """Each post with its mentions marked in their type's colour, and what became of its image."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._legend_is_due = True

    def record(self, value: bytes, latency_s: float | None = None, *, published_at: datetime | None = None) -> None:
        """Three lines: which post, its text with the mentions marked, the mentions with what is known of each."""
        self._legend()
        record = EntityRecord.decode(value)
        when = _took(latency_s) + _at(published_at)
        head = Text.assemble(("▌ ", "blue"), (printable(record.post_id), "bold"), (when, "dim"))
        head.append(_image(record.image), "dim" if _image_is_fine(record.image) else "yellow")
        self._console.print(head)
        if record.text:
            self._console.print(Padding(marked(record.text, record.entities), (0, 0, 0, 2)))
        self._console.print(Padding(_found(record, self._console.width - 2), (0, 0, 1, 2)))

    def deleted(self, key: bytes, *, published_at: datetime | None = None) -> None:
        """One line."""
        self._legend()
        post_id = printable(key.decode("utf-8", "replace"))
        head = Text.assemble(("▌ ", "yellow"), (post_id, "bold"), (_at(published_at), "dim"), ("  deleted", "yellow"))
        self._console.print(head, end="\n\n")

    def dead_letter(self, letter: DeadLetter, latency_s: float | None) -> None:
        """The reason, and how the post begins."""
        self._legend()
        head = Text.assemble(
            ("▌ ", "red"), ("dead letter ", "bold red"), (letter.reason, "red"), (_took(latency_s), "dim")
        )
        self._console.print(head)
        self._console.print(Padding(Text(printable(letter.detail)), (0, 0, 0, 2)))
        preview = (letter.value or b"")[: VALUE_PREVIEW_CHARACTERS * 4].decode("utf-8", "replace")
        preview_text = Text(printable(preview[:VALUE_PREVIEW_CHARACTERS]), "dim")
        self._console.print(Padding(preview_text, (0, 0, 1, 2)))

    def _legend(self) -> None:
        """Which colour is which type, before the first post."""
        if not self._legend_is_due:
            return
        self._legend_is_due = False
        legend = Text("  ")
        for entity_type, colour in TYPE_COLOURS.items():
            legend.append(f" {entity_type} ", f"bold black on {colour}").append(f" {TYPE_NAMES[entity_type]}   ")
        self._console.print(legend, end="\n\n")


def view_on_stdout() -> RecordView:
    """For people on a terminal, JSON lines for anything else."""
    return Terminal(Console(highlight=False)) if sys.stdout.isatty() else JsonLines(sys.stdout.buffer)


def marked(text: str, entities: tuple[Entity, ...]) -> Text:
    """The text with each mention in its type's colour, the unsure ones underlined only."""
    shown = Text(printable(text))
    for entity in entities:
        colour = TYPE_COLOURS[entity.type]
        sure = entity.confidence >= UNSURE_BELOW
        shown.stylize(f"bold black on {colour}" if sure else f"underline {colour}", entity.start, entity.end)
    return shown


def printable(text: str) -> str:
    """The same number of code points, none of which a terminal obeys: controls become �, separators a space."""
    return "".join(map(_printable_character, text))


def _printable_character(character: str) -> str:
    if character in "\n\t\r":
        return " "
    unsafe = character in _UNSAFE or unicodedata.category(character) in ("Cc", "Cs")
    return "\ufffd" if unsafe else character


def _found(record: EntityRecord, width: int) -> Text:
    """The mentions, or why there are none."""
    if record.untagged:
        return Text(f"not tagged: {record.untagged}", "dim")
    return _mentions(record.entities, width) if record.entities else Text("no names", "dim")


def _mentions(entities: tuple[Entity, ...], width: int) -> Text:
    """Type, name, confidence and the image's effect on it where known, broken between mentions and not within them."""
    mentions = [_mention(entity) for entity in entities]
    line = mentions[0]
    lines = [line]
    for mention in mentions[1:]:
        if line.cell_len + len(GAP) + mention.cell_len <= width:
            line.append(GAP).append_text(mention)
        else:
            line = mention
            lines.append(line)
    return Text("\n").join(lines)


def _mention(entity: Entity) -> Text:
    sure = "" if entity.confidence >= UNSURE_BELOW else "dim"
    return Text.assemble(
        (entity.type, f"bold {TYPE_COLOURS[entity.type]}"),
        " ",
        printable(entity.text),
        (f" {entity.confidence:.2f}", sure),
        ("" if entity.image_effect is None else f" image {entity.image_effect:+z.2f}", "dim"),
    )


def _took(latency_s: float | None) -> str:
    return "" if latency_s is None else f"  {latency_s * 1_000:,.0f} ms"


def _at(moment: datetime | None) -> str:
    """In UTC, as records and `--from` have it; the day only where it is another."""
    if moment is None:
        return ""
    moment = moment.astimezone(UTC)
    return f"  {moment:%H:%M:%S}Z" if moment.date() == datetime.now(UTC).date() else f"  {moment:%Y-%m-%d %H:%M:%S}Z"


def _image(image: ImageReport) -> str:
    match image.status:
        case ImageStatus.ABSENT if image.reason is None:
            return ""
        case ImageStatus.USED:
            return "  image used, its embedding cached" if image.cached else "  image used"
        case status:
            return f"  image {status.value.replace('_', ' ')}" + (
                f": {printable(image.reason)}" if image.reason else ""
            )


def _image_is_fine(image: ImageReport) -> bool:
    return image.status in (ImageStatus.ABSENT, ImageStatus.USED)


def text_or_base64(name: str, value: bytes | None) -> dict[str, str | None]:
    """One JSON field: the text under this name or, where it is none, the bytes in base64 under `name_base64`."""
    if value is None:
        return {name: None}
    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value).decode("ascii")}
