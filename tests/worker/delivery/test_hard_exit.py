import asyncio
import subprocess
import sys

from worker.delivery.hard_exit import HardExit

HANGS = """
import asyncio, logging, threading
from worker.delivery.hard_exit import HardExit
logging.basicConfig()
hard_exit = HardExit()
async def hang(): await asyncio.Event().wait()
"""


def status_of(program):
    return subprocess.run([sys.executable, "-c", HANGS + program], capture_output=True, timeout=30, check=False)


def test_a_process_that_hangs_beyond_its_time_is_ended_with_71():
    ended = status_of("hard_exit.arm(0.05); asyncio.run(hang())")
    assert ended.returncode == 71
    assert b"did not end in time" in ended.stderr


def test_a_thread_left_behind_by_what_did_not_end_keeps_nobody_and_the_status_stays():
    stuck = "threading.Thread(target=threading.Event().wait).start()\n"
    ending = "asyncio.run(hard_exit.in_time(hang, 0.01)); hard_exit.disarm({})"
    assert status_of(stuck + ending.format(70)).returncode == 70
    assert status_of(stuck + ending.format(0)).returncode == 71


def test_a_process_that_ends_in_order_is_left_alone():
    ended = status_of(
        "hard_exit.arm(5); asyncio.run(hard_exit.in_time(lambda: asyncio.sleep(0), 5)); hard_exit.disarm(0)"
    )
    assert ended.returncode == 0


async def test_what_ends_is_waited_for():
    ended = asyncio.Event()

    async def end():
        await asyncio.sleep(0)
        ended.set()

    await HardExit().in_time(end, 5)
    assert ended.is_set()
