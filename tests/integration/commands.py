"""`mner-worker` commands as people run them: in a process of their own, with pipes or a terminal."""

import asyncio
import json
import os
import pty
import signal
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

from lab import ROOT, Lab, until


def environ_of(lab: Lab, **more: str) -> dict[str, str]:
    """What names a lab's broker and topics to a command, and nothing else of ours."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "MNER_BROKERS": lab.bootstrap,
        "MNER_POSTS_TOPIC": lab.posts_topic,
        "MNER_ENTITIES_TOPIC": lab.entities_topic,
        "MNER_DEAD_TOPIC": lab.dead_topic,
        "TERM": "xterm",
        "COLUMNS": "100",
        **more,
    }


class Command:
    """One run of `mner-worker`: started, read from, ended."""

    def __init__(self, arguments: Sequence[str], environ: dict[str, str]) -> None:
        self._arguments, self._environ = arguments, environ
        self.said = ""

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "worker", *self._arguments),
            env=self._environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=2**26,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.communicate()

    async def line(self, timeout_s: float = 60.0) -> bytes:
        """The next line of its output."""
        async with asyncio.timeout(timeout_s):
            return await self._process.stdout.readline()

    async def says(self, what: str, timeout_s: float = 60.0) -> None:
        """Until a line of its standard error has this."""
        async with asyncio.timeout(timeout_s):
            while what not in self.said:
                line = await self._process.stderr.readline()
                assert line, f"it ended without having said {what!r}, but:\n{self.said}"
                self.said += line.decode()

    def interrupt(self, signal_number: int = signal.SIGINT) -> None:
        """As Ctrl-C would."""
        self._process.send_signal(signal_number)

    def stop_reading(self) -> None:
        """As `head` does when it has had enough."""
        self._process._transport.get_pipe_transport(1).close()

    async def end(self, timeout_s: float = 60.0) -> int:
        """Its status; what it said last is kept."""
        async with asyncio.timeout(timeout_s):
            self.said += (await self._process.stderr.read()).decode()
            return await self._process.wait()


async def run(arguments: Sequence[str], environ: dict[str, str]) -> tuple[int, list[Any], str]:
    """Status, the JSON objects of its output, one a line and nothing else, and its standard error."""
    async with Command(arguments, environ) as command:
        out, said = await asyncio.wait_for(command._process.communicate(), 90)
    return command._process.returncode, [json.loads(line) for line in out.splitlines()], said.decode()


async def on_terminal(
    arguments: Sequence[str], environ: dict[str, str], answers: Iterable[tuple[str, bytes]]
) -> tuple[int, str]:
    """Run it at a terminal of its own, typing the bytes when it shows the words; its status, and what it showed."""
    ours, its = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "worker", *arguments),
        env=environ,
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
        preexec_fn=take_the_terminal,
    )
    os.close(its)
    waiting, shown = list(answers), b""
    try:
        async with asyncio.timeout(90):
            while chunk := await asyncio.to_thread(_read, ours):
                shown += chunk
                if waiting and waiting[0][0].encode() in shown:
                    # Ctrl-C a moment before `input` begins to read is only noticed when it has read something
                    await until(lambda: _waits(process.pid), "the command to wait")
                    os.write(ours, waiting.pop(0)[1])
            status = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)
    return status, shown.decode("utf-8", "replace")


def take_the_terminal() -> None:
    """So that Ctrl-C typed at it reaches the command."""
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _waits(pid: int) -> bool:
    """Whether its main thread sleeps in the kernel."""
    return Path(f"/proc/{pid}/task/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65_536)
    except OSError:  # Linux says that the other end has closed in this way
        return b""
