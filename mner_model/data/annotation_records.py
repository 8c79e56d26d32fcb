"""Records of an annotation tool's export, JSON lines or one JSON list, and a count of what reading them met.

Knows nothing of what the tools write into their records: `mner_model.data.annotation_forms` does.
"""

import json
import lzma
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mner_model.data.lines import DataError, lines_of

_XZ_MAGIC = b"\xfd7zXZ\x00"
_EXPECTED = "expected a JSON object a line, or one JSON list of objects"


@dataclass(frozen=True)
class Record:
    """One JSON object of a file.

    number   of its line where the file has an object a line, else of its place in the list; from 1
    """

    file: str
    number: int
    fields: Mapping[str, Any]
    has_own_line: bool = True

    @property
    def place(self) -> str:
        """Where it is, for people: line 3, task 3 (id 1875)."""
        if self.has_own_line:
            return f"line {self.number}"
        id_ = self.fields.get("id")
        return f"task {self.number} (id {id_})" if type(id_) is int else f"task {self.number}"

    @property
    def default_id(self) -> str:
        """Of a record without one: the file's name and its number."""
        return f"{Path(self.file).name.partition('.')[0]}-{self.number}"

    def error(self, what: str) -> DataError:
        """The error to raise where something in it is wrong."""
        return DataError(f"{self.file}:{self.number if self.has_own_line else f' {self.place}'}: {what}")


class Tally:
    """What was met, how often, and where first."""

    def __init__(self) -> None:
        self._met: dict[str, tuple[int, str]] = {}

    def add(self, what: str, record: Record) -> None:
        """Counts one more."""
        count, first = self._met.get(what, (0, record.place))
        self._met[what] = count + 1, first

    def told(self) -> str:
        """For people, in the order in which they came: "3 × answer reject (first in line 4)"; empty for none."""
        return ", ".join(f"{count:,} × {what} (first in {first})" for what, (count, first) in self._met.items())


@dataclass(frozen=True)
class Findings:
    """What an import leaves out of a file, what it takes over otherwise than it stands there, and the labels met."""

    left_out: Tally = field(default_factory=Tally)
    changed: Tally = field(default_factory=Tally)
    labels: set[str] = field(default_factory=set)


def shown(value: object) -> str:
    """A value in an error: its beginning."""
    return f"{value!r:.80}"


def read_records(content: bytes, file: str) -> list[Record]:
    """The JSON objects of a file: one a line, a list of them, or a single one over several lines; plain or xz.

    content  of the file, in UTF-8
    file     what errors name

    Raises DataError with file and line for what is no JSON object, not UTF-8 or has a NUL; for a file without an
    object; for xz that is damaged.
    """
    lines = lines_of(_unpacked(content, file), file)
    filled = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not filled:
        raise DataError(f"{file}: is empty, {_EXPECTED}")
    if filled[0][1].lstrip().startswith("["):
        return _listed(_parsed("\n".join(lines), file), file)
    if len(filled) > 1 and (whole := _object_over("\n".join(lines))) is not None:
        return _listed([whole], file)
    return [Record(file, number, _line_object(line, file, number)) for number, line in filled]


def _unpacked(content: bytes, file: str) -> bytes:
    # by its first bytes, as standard input has no name that ends in .xz
    if not content.startswith(_XZ_MAGIC):
        return content
    try:
        return lzma.decompress(content)
    except (lzma.LZMAError, EOFError) as error:
        raise DataError(f"{file}: damaged: {error}") from None


def _listed(objects: Any, file: str) -> list[Record]:
    records = []
    for number, one in enumerate(objects, start=1):
        if not isinstance(one, dict):
            raise DataError(f"{file}: task {number}: {_EXPECTED}, got {shown(one)}")
        records.append(Record(file, number, one, has_own_line=False))
    if not records:
        raise DataError(f"{file}: is an empty list, {_EXPECTED}")
    return records


def _object_over(text: str) -> dict[str, Any] | None:
    """The object that all lines are together; None where they are something else."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return whole if isinstance(whole, dict) else None


def _line_object(line: str, file: str, number: int) -> dict[str, Any]:
    one = _parsed(line, file, number)
    if not isinstance(one, dict):
        raise DataError(f"{file}:{number}: {_EXPECTED}, got {shown(line)}")
    return one


def _parsed(text: str, file: str, line: int = 1) -> Any:
    """The value of JSON text that begins in a line of the file."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        at = line + error.lineno - 1
        got = text.split("\n")[error.lineno - 1]
        raise DataError(f"{file}:{at}: is no JSON ({error.msg}), {_EXPECTED}, got {shown(got)}") from None
    except RecursionError:
        raise DataError(f"{file}:{line}: is nested too deeply, {_EXPECTED}") from None
    except ValueError:  # a number of thousands of digits
        raise DataError(f"{file}:{line}: has a number that is too long, {_EXPECTED}") from None
