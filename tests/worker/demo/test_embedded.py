import importlib.util
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import redis

from worker.demo import embedded
from worker.demo.embedded import EmbeddedBroker, EmbeddedRedis, EmbeddedServerFailed, free_port, log_tail

pytestmark = pytest.mark.integration


class Silent(EmbeddedRedis):
    """Runs, and never answers."""

    def _command(self) -> Sequence[str]:
        return ("/bin/sh", "-c", "echo thinking; exec sleep 60")


class Broken(EmbeddedRedis):
    """Says what is wrong, and ends."""

    def _command(self) -> Sequence[str]:
        return ("/bin/sh", "-c", "echo 'no memory left for you' >&2; exit 3")


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_free_port_is_none_that_an_outgoing_connection_may_take() -> None:
    with socket.create_server(("127.0.0.1", 0)) as lent:
        assert lent.getsockname()[1] not in embedded.PORTS_NOT_LENT
    assert all(free_port() in embedded.PORTS_NOT_LENT for _ in range(100))


def test_free_ports_in_a_row_go_around_those_that_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    first = free_port(in_a_row=8)
    monkeypatch.setattr(embedded, "PORTS_NOT_LENT", range(first, first + 8))
    with socket.create_server(("127.0.0.1", first + 3)):
        assert {free_port(in_a_row=3) for _ in range(20)} <= {first, first + 4, first + 5}
        with pytest.raises(EmbeddedServerFailed, match=f"no 6 free ports in a row .* {first} to {first + 7}"):
            free_port(in_a_row=6)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path) as server:
        yield server


@pytest.mark.parametrize("kind", [EmbeddedBroker, EmbeddedRedis])
def test_a_started_server_listens_and_a_stopped_one_does_not(kind: type[EmbeddedRedis], tmp_path: Path) -> None:
    with kind(tmp_path) as server:
        assert listens(server.port)
        assert server.pid is not None
    assert not listens(server.port)
    assert server.pid is None


@pytest.mark.parametrize("kind", [EmbeddedBroker, EmbeddedRedis])
def test_a_killed_server_starts_again_on_its_port(kind: type[EmbeddedRedis], tmp_path: Path) -> None:
    with kind(tmp_path) as server:
        port, first = server.port, server.pid
        server.kill()
        server.start()
        assert server.port == port
        assert server.pid not in (None, first)
        assert listens(port)


def test_starting_twice_changes_nothing(redis_server: EmbeddedRedis) -> None:
    pid = redis_server.pid
    assert redis_server.start().pid == pid


def test_redis_is_capped_forgets_the_least_used_and_writes_nothing(redis_server: EmbeddedRedis) -> None:
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        settings = client.config_get("*")
    expected = {"maxmemory": str(64 * 2**20), "maxmemory-policy": "allkeys-lru", "save": "", "appendonly": "no"}
    assert {name: settings[name] for name in expected} == expected
    assert settings["bind"] == "127.0.0.1"


def test_a_server_that_ends_while_starting_is_reported_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedServerFailed, match=r"ended with status 3 while starting(.|\n)*no memory left for you"):
        Broken(tmp_path).start()


def test_a_server_that_never_answers_is_reported_and_ended(tmp_path: Path) -> None:
    server = Silent(tmp_path)
    with pytest.raises(EmbeddedServerFailed, match=r"did not answer .* within 0\.2 s(.|\n)*thinking"):
        server.start(timeout_s=0.2)
    assert server.pid is None


def test_a_taken_port_is_refused_and_its_owner_not_mistaken_for_ours(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as owner:
        port = owner.getsockname()[1]
        with pytest.raises(EmbeddedServerFailed, match=f"port {port} on 127.0.0.1 is not free"):
            EmbeddedBroker(tmp_path, port).start()


@pytest.mark.parametrize(
    ("kind", "sentence"), [(EmbeddedBroker, "no embedded Kafka broker here"), (EmbeddedRedis, "no Redis here")]
)
def test_a_missing_program_is_one_clear_sentence(
    kind: type[EmbeddedRedis], sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EmbeddedServerFailed, match=sentence):
        kind(tmp_path).start()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends children with their parent")
def test_a_server_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from worker.demo.embedded import EmbeddedRedis\n"
        "print(EmbeddedRedis(Path(sys.argv[1])).start().pid, flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        server = os.pidfd_open(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
    try:
        ended, _, _ = select.select([server], [], [], 10)
    finally:
        os.close(server)
    assert ended, "the server outlived its parent"


def test_the_tail_of_a_log_is_bounded_and_never_empty(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert log_tail(log) == "(its log is empty)"
    log.write_text("x" * 10_000 + " the end")
    assert log_tail(log).endswith("the end")
    assert len(log_tail(log)) <= embedded.LOG_TAIL_BYTES
