"""The worker as the demo runs it: a process of its own, `python -m worker run`, set up by its environment alone."""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

import aiohttp

from worker.demo.embedded import die_with_parent, log_tail

READY_POLL_S = 0.2
DRAIN_TIMEOUT_S = 15.0


class WorkerEnded(RuntimeError):
    """The worker ended though nobody asked it to, or was not ready in time; the message ends with its log."""


class WorkerProcess:
    """Started, waited for, asked for its metrics, stopped."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], http_port: int, log_path: Path) -> None:
        """environ: the worker's whole environment; http_port: the one that it names."""
        self._command = command
        self._environ = environ
        self.metrics_url = f"http://127.0.0.1:{http_port}/metrics"
        self._ready_url = f"http://127.0.0.1:{http_port}/ready"
        self._log_path = log_path

    async def __aenter__(self) -> Self:
        self._log = self._log_path.open("ab")
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5), trust_env=False)
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            env=dict(self._environ),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=self._log,
            stderr=asyncio.subprocess.STDOUT,
            # away from the terminal's Ctrl-C: the demo ends it, when the posts it holds are answered
            start_new_session=True,
            preexec_fn=die_with_parent(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()
        await self._http.close()
        self._log.close()

    async def wait_until_ready(self, timeout_s: float, still_waiting: Callable[[str], None]) -> None:
        """Until it takes posts; `still_waiting` is told what it waits for. Raises WorkerEnded."""
        died = asyncio.create_task(self.wait_for_its_end())
        try:
            async with asyncio.timeout(timeout_s):
                while (why_not := await self._why_not_ready()) is not None:
                    still_waiting(why_not)
                    await asyncio.wait({died}, timeout=READY_POLL_S)
                    if died.done():
                        died.result()
        except TimeoutError:
            raise WorkerEnded(f"the worker was not ready within {timeout_s:g} s; {self._log_end()}") from None
        finally:
            died.cancel()

    async def wait_for_its_end(self) -> None:
        """Raises WorkerEnded when the process ends; never returns."""
        status = await self._process.wait()
        raise WorkerEnded(f"the worker ended with status {status}; {self._log_end()}")

    async def metrics_page(self) -> str:
        """What /metrics says now; nothing where it does not answer."""
        try:
            async with self._http.get(self.metrics_url, headers={"Accept": "text/plain"}) as response:
                return await response.text()
        except (aiohttp.ClientError, TimeoutError):
            return ""

    async def _stop(self) -> None:
        """Ask it to drain and leave (SIGTERM), end it by force when it takes too long."""
        if self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                await self._process.wait()
        except (TimeoutError, asyncio.CancelledError):
            self._process.kill()
            await self._process.wait()

    async def _why_not_ready(self) -> str | None:
        try:
            async with self._http.get(self._ready_url) as response:
                if response.status == 200:
                    return None
                return ", ".join((await response.json())["why_not"])
        except (aiohttp.ClientError, TimeoutError):
            return "it is starting"

    def _log_end(self) -> str:
        return f"the end of its log:\n{log_tail(self._log_path)}"


def worker_environ(
    inherited: Mapping[str, str], *, bootstrap: str, redis_url: str, http_port: int, pictures_port: int | None
) -> dict[str, str]:
    """The environment for the worker: what was inherited, less every word about another broker, plus the demo's own.

    A checkpoint, device or batch size that somebody set is theirs to try; a production broker's name must not reach it.
    """
    other_brokers = ("MNER_SECURITY_PROTOCOL", "MNER_SASL_", "MNER_TLS_", "MNER_GROUP", "MNER_HTTP_")
    environ = {name: value for name, value in inherited.items() if not name.startswith(other_brokers)}
    environ |= {
        "MNER_BROKERS": bootstrap,
        "MNER_REDIS_URL": redis_url,
        "MNER_GROUP": "mner-demo",
        "MNER_HTTP_HOST": "127.0.0.1",
        "MNER_HTTP_PORT": str(http_port),
        # the embedded broker waits half of this for more members before it gives a group its partitions
        "MNER_SESSION_TIMEOUT_S": "6",
        "MNER_HEARTBEAT_S": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), inherited.get("PYTHONPATH", "")])),
    }
    if pictures_port is not None:
        environ |= {"MNER_IMAGE_ALLOW_HOSTS": "127.0.0.1", "MNER_IMAGE_ALLOW_PORTS": f"80,443,{pictures_port}"}
    return environ
