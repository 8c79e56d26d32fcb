"""`mner-worker top` against workers that are there, go, and come back."""

import json

import pytest
from commands import Command, environ_of, on_terminal
from lab import until

from worker.demo.embedded import free_port
from worker.errors import ExitStatus

pytestmark = pytest.mark.integration


@pytest.fixture
async def busy(embedded_lab):
    """A lab with a worker, and the worker's address."""
    lab = embedded_lab
    port = free_port()
    worker = lab.start_worker(MNER_HTTP_PORT=str(port))
    await until(worker.is_ready, "the worker to be ready", explain=lab.logs)
    return lab, worker, f"127.0.0.1:{port}"


async def test_a_worker_that_goes_and_comes_back_is_said_so_and_no_rate_is_ever_negative(busy) -> None:
    lab, worker, address = busy
    await lab.send(50)
    await lab.until_all_answered()
    intervals = []
    arguments = ["top", "--interval", "0.5", "--url", address, "--url", f"127.0.0.1:{free_port()}"]
    async with Command(arguments, environ_of(lab)) as command:

        async def interval(condition) -> None:
            while True:
                intervals.append(json.loads(await command.line()))
                if condition(intervals[-1]):
                    return

        await interval(lambda told: told["workers"][0]["answers"])
        await lab.send(40)
        await interval(lambda told: told["posts_per_s"]["tagged"] > 0)
        assert intervals[-1]["latency_s"]["p50"] > 0
        worker.kill()
        await interval(lambda told: not told["workers"][0]["answers"])
        lab.start_worker(MNER_HTTP_PORT=address.split(":")[1])
        await lab.send(10)
        await interval(lambda told: told["posts_per_s"].get("tagged", 0) > 0)
        command.interrupt()
        assert await command.end() == ExitStatus.DONE
    assert all(rate >= 0 for told in intervals for rate in told["posts_per_s"].values())
    assert {told["workers"][1]["problem"] for told in intervals} == {"no connection: Connection refused"}


async def test_once_is_one_object_and_fails_where_nobody_answers(busy) -> None:
    lab, _, address = busy
    async with Command(["top", "--once", "--interval", "0.5"], environ_of(lab, MNER_HTTP_PORT=address[10:])) as command:
        told = json.loads(await command.line())
        assert await command.end() == ExitStatus.DONE
    assert told["lag_total"] in (0, None), "none where the worker knows of no partition yet"
    assert told["workers"][0]["url"] == f"http://{address}/metrics"
    async with Command(["top", "--once", "--url", lab.bootstrap.replace("localhost", "127.0.0.1")], {}) as command:
        told = json.loads(await command.line())
        assert told["workers"][0]["answers"] is False
        assert [told[figure] for figure in ("lag_total", "open_posts", "oldest_open_post_s")] == [None] * 3
        assert await command.end() == ExitStatus.FAILED


async def test_at_a_terminal_the_last_table_stays_when_ctrl_c_ends_it(busy) -> None:
    lab, _, address = busy
    arguments = ["top", "--interval", "0.5", "--url", address]
    status, shown = await on_terminal(arguments, environ_of(lab), [("over 0.5 s", b"\x03")])
    assert status == ExitStatus.DONE
    left_the_screen = shown.rpartition("\x1b[?1049l")[2]
    assert "tagged" in left_the_screen
    assert "figures of 1 worker" in left_the_screen
