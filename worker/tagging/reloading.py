"""When to read the checkpoints again: on SIGHUP, and when what lies at their paths is another than before."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from worker.settings import Settings

_State = tuple[tuple[str, int, int, int], ...]


class Reloadable(Protocol):
    """Whose models these are."""

    async def reload(self) -> None:
        """Read the checkpoints again, and go on with those that are others than before."""


class Reloading:
    """Knows what lies at the settings' checkpoints when it is made; `run` tells of what comes after."""

    def __init__(self, settings: Settings) -> None:
        self._every_s = settings.checkpoint_watch_s
        paths = (settings.checkpoint, settings.shadow_checkpoint)
        self._watch = CheckpointWatch([path for path in paths if path is not None])
        self._asked = asyncio.Event()

    def ask(self) -> None:
        """Reload as soon as can be, whether anything has changed or not; asked twice meanwhile is asked once."""
        self._asked.set()

    async def run(self, models: Reloadable) -> None:
        """Reloads for as long as it runs; passes on what `reload` raises."""
        while True:
            try:
                async with asyncio.timeout(self._every_s or None):
                    await self._asked.wait()
            except TimeoutError:
                if not await asyncio.to_thread(self._watch.has_changed):
                    continue
            else:
                # what lies there now is about to be read: a change that brought the signal is not taken once more
                await asyncio.to_thread(self._watch.know)
            self._asked.clear()
            await models.reload()


class CheckpointWatch:
    """Looks at the files of some folders; a change counts once it has held still from one look to the next.

    So a folder that is being written is not read half, and a change is taken one to two intervals after it was made.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        """What lies there now is known."""
        self._folders = folders
        self._known = self._last = self._look()

    def has_changed(self) -> bool:
        """Whether there is something else since the start or the last time this was true, and it is all there.

        Reads no file, only the folders: names, inodes, sizes and times. A link that was moved is a change.
        """
        state, last = self._look(), self._last
        self._last = state
        if state == self._known or state != last:
            return False
        self._known = state
        return True

    def know(self) -> None:
        """What lies there now is known, as at the start; what is still being written will be a change."""
        self._known = self._last = self._look()

    def _look(self) -> list[_State]:
        return [_state(folder) for folder in self._folders]


def _state(folder: Path) -> _State:
    """Empty where there is nothing to be read: between two renames, or for want of permission."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                status = entry.stat()
                found.append((entry.name, status.st_ino, status.st_size, status.st_mtime_ns))
    except OSError:
        return ()
    return tuple(sorted(found))
