"""Folders that a model is saved in: replaced as a whole or not at all, and never somebody else's."""

import shutil
import stat
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path


class CheckpointError(Exception):
    """A checkpoint that is missing, broken or made for something else; the message names path and expectation."""


@contextmanager
def saved_folder(folder: Path, known: Collection[str], what: str) -> Iterator[Path]:
    """Gives a draft folder to write to, and puts it in the folder's place when all went well.

    What was there stays whole until the new one is. Raises CheckpointError as `check_folder` does.
    """
    check_folder(folder, known, what)
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield draft
        _open_as_the_umask_has_it(draft)
        _put_in_place(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def check_folder(folder: Path, known: Collection[str], what: str) -> None:
    """Raises CheckpointError unless it may be written to: nothing yet, an empty folder, or one with known files only.

    what  is to be saved, in a word: checkpoint
    """
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"{folder}: is a file, expected a folder for the {what}, or nothing yet")
    strangers = {path.name for path in folder.iterdir()} - set(known) if folder.exists() else set()
    if strangers:
        raise CheckpointError(f"{folder}: holds {min(strangers)}, which is no part of a {what}; name another folder")


def _open_as_the_umask_has_it(draft: Path) -> None:
    """The folder and safetensors' files in it are made for their owner alone."""
    plain = draft / ".plain"
    plain.touch()
    mode = stat.S_IMODE(plain.stat().st_mode)
    plain.unlink()
    for file in draft.iterdir():
        file.chmod(mode)
    draft.chmod(mode | (mode & 0o444) >> 2)  # whoever may read may enter


def _put_in_place(draft: Path, folder: Path) -> None:
    if not folder.exists():
        draft.rename(folder)
        return
    aside = draft.with_name(draft.name + ".replaced")
    folder.rename(aside)
    try:
        draft.rename(folder)
    except OSError:
        aside.rename(folder)
        raise
    shutil.rmtree(aside)
