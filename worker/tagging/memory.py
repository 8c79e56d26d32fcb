"""The memory of a process whose models come and go: what stays is not looked through, what went is given back."""

import ctypes
import gc
from collections.abc import Callable

GARBAGE_THRESHOLD_OBJECTS = 20_000


def spare_the_garbage_collector() -> None:
    """What is loaded by now stays; looking through it again and again took a third of the posts per second."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD_OBJECTS)


def give_back() -> None:
    """To be called when a model went, in a thread: what it took goes to the system again.

    It takes some 0.1 s, for half of which all threads stand still. What came since the collector was spared is looked
    through once, and spared from then on.
    """
    # where it was not spared, all that torch consists of would be looked through, for a second and more
    if gc.get_threshold()[0] == GARBAGE_THRESHOLD_OBJECTS:
        gc.collect()
        gc.freeze()
    _trim(0)


def _no_trim(_: int) -> int:
    return 0


def _malloc_trim() -> Callable[[int], int]:
    """glibc keeps what was freed below anything still in use: a whole model's worth. Others have no such call."""
    try:
        trim: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError, TypeError):
        return _no_trim
    return trim


_trim = _malloc_trim()
