"""The posts that the demo and `mner-worker feed` send: the project's own sample, or lines that somebody brought."""

import asyncio
import base64
import json
import re
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

SAMPLE = Path(__file__).resolve().with_name("sample")
PICTURES = SAMPLE / "pictures"
ID_MAX_CHARACTERS = 256
_PICTURE = re.compile(rb"\{base64 ([\w.]+)\}")


@dataclass(frozen=True, slots=True)
class PostLine:
    """One line to be sent as it is, readable or not."""

    value: bytes
    post_id: str | None
    """The id that an entity record would come back with; None where the line has none to give."""
    name: str
    """How people know it: its id, or else where it stands."""

    @property
    def key(self) -> bytes | None:
        """The record's key: the post's id, where there is one."""
        return None if self.post_id is None else self.post_id.encode()


def post_line(value: bytes, number: int) -> PostLine:
    """What is known of a line (counted from 1) without judging it: that is the worker's to do."""
    post_id = _post_id(value)
    return PostLine(value, post_id, post_id or f"line {number}")


def with_new_id(line: PostLine, suffix: str) -> PostLine:
    """The same post under an id of its own, for it is sent again; a line that has no id is sent as it is."""
    if line.post_id is None:
        return line
    post_id = f"{line.post_id[: ID_MAX_CHARACTERS - len(suffix) - 1]}-{suffix}"
    return PostLine(json.dumps({**json.loads(line.value), "id": post_id}).encode(), post_id, post_id)


async def sample_posts(pictures_url: str) -> AsyncIterator[PostLine]:
    """The project's own posts, their pictures at this address or inline."""
    for number, line in enumerate((SAMPLE / "posts.jsonl").read_bytes().splitlines(), 1):
        with_urls = line.replace(b"{pictures}", pictures_url.encode())
        yield post_line(_PICTURE.sub(lambda name: _base64(name[1].decode()), with_urls), number)


async def brought_posts(path: Path) -> AsyncIterator[PostLine]:
    """The lines of a file, or of standard input for `-`, as they come; blank ones are skipped."""
    lines = _standard_input() if str(path) == "-" else _file(path)
    number = 0
    async for line in lines:
        number += 1
        if value := line.rstrip(b"\r\n"):
            yield post_line(value, number)


def _post_id(value: bytes) -> str | None:
    try:
        post = json.loads(value)
    except (ValueError, RecursionError):
        return None
    post_id = post.get("id") if isinstance(post, dict) else None
    if not isinstance(post_id, str) or not 0 < len(post_id) <= ID_MAX_CHARACTERS:
        return None
    return post_id if _encodable(post_id) else None


def _encodable(text: str) -> bool:
    """JSON can spell half of a surrogate pair, UTF-8 cannot."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _base64(picture: str) -> bytes:
    return base64.b64encode((PICTURES / picture).read_bytes())


async def _file(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as lines:
        for line in lines:
            yield line


async def _standard_input() -> AsyncIterator[bytes]:
    """Read in a thread that nobody waits for: a read of a terminal or pipe may never return."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[bytes] = asyncio.Queue(maxsize=1_000)

    def read() -> None:
        for line in sys.stdin.buffer:
            asyncio.run_coroutine_threadsafe(lines.put(line), loop).result()
        asyncio.run_coroutine_threadsafe(lines.put(b""), loop).result()

    threading.Thread(target=read, name="standard-input", daemon=True).start()
    while line := await lines.get():
        yield line
