"""What went is given back; /proc tells how much."""

import gc
import platform
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.tagging import memory

MIB = 2**20


class InACycle:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def spared() -> Iterator[None]:
    """The collector as a worker has it."""
    threshold = gc.get_threshold()
    memory.spare_the_garbage_collector()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()


def resident_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


@pytest.mark.usefixtures("spared")
def test_what_came_after_the_start_goes_though_it_is_part_of_a_cycle() -> None:
    gone = weakref.ref(InACycle())
    memory.give_back()
    assert gone() is None


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others give back by themselves, or never")
def test_what_lies_below_something_still_in_use_goes_to_the_system() -> None:
    pieces = [bytearray(4000) for _ in range(30_000)]
    last = bytearray(4000)
    before = resident_bytes()
    del pieces
    memory.give_back()
    assert before - resident_bytes() > 90 * MIB
    assert last


def test_without_glibc_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    assert memory._malloc_trim()(0) == 0
