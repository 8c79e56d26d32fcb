"""A worker that somebody started at a terminal: SIGHUP has it reload, unless the terminal is gone."""

import asyncio
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from commands import take_the_terminal
from lab import HERE, Lab, until

pytestmark = pytest.mark.integration


class AtATerminal:
    """A worker with a stand-in for the model; its log is in a file, for a terminal that is gone shows none."""

    def __init__(self, process: asyncio.subprocess.Process, terminal: int, log_path: Path) -> None:
        self.process = process
        self._terminal = terminal
        self._log_path = log_path

    def log(self) -> str:
        return self._log_path.read_text(errors="replace")

    async def until_logged(self, what: str) -> None:
        await until(lambda: what in self.log(), f"{what!r} in the log", explain=self.log)

    def close_terminal(self) -> None:
        """As closing its window does: the kernel sends SIGHUP."""
        if self._terminal >= 0:
            os.close(self._terminal)
        self._terminal = -1


@pytest.fixture
async def worker(make_lab, embedded_bootstrap, tmp_path) -> AsyncIterator[AtATerminal]:
    lab: Lab = await make_lab(embedded_bootstrap).open()
    ours, its = pty.openpty()
    log_path = tmp_path / "log"
    with log_path.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(HERE / "stub_worker.py")),
            env=lab.worker_environ(),
            stdin=its,
            stdout=its,
            stderr=log,
            start_new_session=True,
            preexec_fn=take_the_terminal,
        )
    os.close(its)
    started = AtATerminal(process, ours, log_path)
    yield started
    started.close_terminal()
    if process.returncode is None:
        process.kill()
    await process.wait()


async def test_sighup_has_it_reload_and_the_end_of_the_terminal_ends_it_in_order(worker: AtATerminal) -> None:
    await worker.until_logged("partitions of")
    worker.process.send_signal(signal.SIGHUP)
    await worker.until_logged("SIGHUP: reading the checkpoints again")
    await worker.until_logged("reloaded")
    assert worker.process.returncode is None

    worker.close_terminal()
    assert await asyncio.wait_for(worker.process.wait(), 60) == 0
    assert "SIGHUP, and the terminal is gone: stopping" in worker.log()
    assert "drained, leaving" in worker.log()
