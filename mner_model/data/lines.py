"""Data files as lines: text in UTF-8, plain or compressed with xz."""

import lzma
from codecs import BOM_UTF8
from pathlib import Path

from mner_model.errors import Failure


class DataError(Failure, ValueError):
    """A data file that cannot be read as what it should be; the message names file and line."""


def set_name(file: Path) -> str:
    """What people call a data file: its folder and its name, twitter2015/test, ner/da_ddt.valid."""
    return f"{file.absolute().parent.name}/{file.name.removesuffix('.xz').rpartition('.')[0] or file.name}"


def read_lines(path: Path) -> list[str]:
    """Lines of a UTF-8 file, a byte-order mark and CRLF (or CR alone) taken away; of .xz, of what is in it.

    Raises DataError for one that cannot be read, with the line that is not UTF-8 or has a NUL.
    """
    return lines_of(read_content(path), path)


def read_content(path: Path) -> bytes:
    """The bytes of a file; of .xz, of what is in it. Raises DataError for one that cannot be read."""
    content = read_bytes(path)
    try:
        return lzma.decompress(content) if path.suffix == ".xz" else content
    except lzma.LZMAError as error:
        raise DataError(f"{path}: damaged, expected a file compressed with xz: {error}") from None


def read_bytes(path: Path) -> bytes:
    """What is in a file. Raises DataError for one that cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None


def lines_of(content: bytes, file: str | Path) -> list[str]:
    """Lines as `read_lines` gives them, of bytes that have been read; `file` is what an error names."""
    content = content.removeprefix(BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    if b"\0" in content:
        raise DataError(f"{file}:{_line_at(content, content.index(0))}: holds a NUL byte, expected text in UTF-8")
    try:
        return content.decode().split("\n")
    except UnicodeDecodeError as error:
        at = error.start
        raise DataError(f"{file}:{_line_at(content, at)}: byte 0x{content[at]:02x} is not UTF-8") from None


def _line_at(content: bytes, position: int) -> int:
    return content.count(b"\n", 0, position) + 1
