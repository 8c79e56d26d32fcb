import signal
import socket
from dataclasses import dataclass, field

import pytest

from worker import app
from worker.delivery.transport.client import new_consumer
from worker.errors import ExitStatus, Fatal, SettingsRefused
from worker.settings import Settings

pytestmark = pytest.mark.usefixtures("logging_as_before")


@dataclass
class StandIn:
    """A pipeline that does nothing but end as told while it starts."""

    error: Exception | None = None
    signal_number: int | None = None
    calls: list[str] = field(default_factory=list)
    is_crowded: bool = False

    def __call__(self, settings, metrics):
        return self

    async def start(self):
        self.calls.append("start")
        if self.error is not None:
            raise self.error
        if self.signal_number is not None:
            signal.raise_signal(self.signal_number)

    def answers(self, records):
        raise AssertionError("there are no posts here")

    async def reload(self):
        self.calls.append("reload")

    async def close(self):
        self.calls.append("close")


@pytest.fixture
def nobody():
    """An address where no broker listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    return f"127.0.0.1:{port}"


def settings(**more):
    return Settings.load({"MNER_HTTP_PORT": "0", "MNER_REDIS_URL": "", **more})


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SettingsRefused(["MNER_CHECKPOINT: there is none"]), ExitStatus.SETTINGS_REFUSED),
        (Fatal("the device is lost"), ExitStatus.STOPPED_UNACKNOWLEDGED),
        (RuntimeError("nobody foresaw this"), ExitStatus.STOPPED_UNACKNOWLEDGED),
    ],
)
def test_what_ends_the_start_decides_the_exit_status_and_is_said(error, status, capsys):
    assert app.run(settings(), pipeline_factory=StandIn(error)) == status
    assert str(error) in capsys.readouterr().err


def test_a_foreseen_end_is_one_line_and_an_unforeseen_one_has_its_traceback(capsys):
    app.run(settings(), pipeline_factory=StandIn(Fatal("the device is lost")))
    assert [line.split()[2] for line in capsys.readouterr().err.splitlines()] == ["INFO", "ERROR"]
    app.run(settings(), pipeline_factory=StandIn(RuntimeError("nobody foresaw this")))
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_while_it_waits_for_a_broker_ends_it_in_order(number, nobody):
    pipeline = StandIn(signal_number=number)
    assert app.run(settings(MNER_BROKERS=nobody), pipeline_factory=pipeline) == ExitStatus.DONE
    assert pipeline.calls == ["start", "close"]


def test_the_health_port_taken_is_one_line_and_nothing_is_loaded(capsys):
    pipeline = StandIn()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert app.run(settings(MNER_HTTP_PORT=port), pipeline_factory=pipeline) == ExitStatus.STOPPED_UNACKNOWLEDGED
    assert pipeline.calls == []
    assert "MNER_HTTP_PORT" in capsys.readouterr().err


async def test_faust_listens_nowhere_and_writes_only_where_it_is_told(tmp_path):
    faust_app = app.new_app(settings(), str(tmp_path))
    assert list(faust_app.boot_strategy.web_server()) == []
    assert list(faust_app.boot_strategy.kafka_producer()) == []
    assert str(faust_app.conf.datadir) == str(tmp_path)


async def test_the_groups_times_come_from_the_settings_and_only_committed_posts_are_read(tmp_path):
    wanted = settings(MNER_SESSION_TIMEOUT_S="50", MNER_HEARTBEAT_S="4", MNER_REBALANCE_TIMEOUT_S="70")
    consumer = new_consumer(app.new_app(wanted, str(tmp_path)).transport.settings)
    assert (consumer._session_timeout_ms, consumer._heartbeat_interval_ms) == (50_000, 4_000)
    assert consumer._rebalance_timeout_ms == 70_000
    assert consumer._request_timeout_ms > 70_000
    assert consumer._isolation_level == "read_committed"
    assert consumer._auto_offset_reset == "earliest"
    assert not consumer._enable_auto_commit
    assert consumer._client._metadata_max_age_ms == 5_000
    await consumer.stop()
