"""Folders that a model is saved in: replaced as a whole or not at all, and never somebody else's."""

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from mner_model.errors import CheckpointError, reason


@contextmanager
def saved_folder(folder: Path, known: Collection[str], what: str) -> Iterator[Path]:
    """Gives a draft folder to write to, and puts it in the folder's place when all went well.

    What was there stays whole until the new one is; a link stays, and where it leads is replaced. Raises
    CheckpointError as `check_folder` does, and where writing fails.
    """
    check_folder(folder, known, what)
    draft = _draft(folder)
    try:
        yield draft
        _open_as_the_umask_has_it(draft)
        _put_in_place(draft, _place(folder))
    except (OSError, SafetensorError) as error:  # a full disk, to which safetensors has an error of its own
        raise CheckpointError(f"{folder}: cannot be written: {reason(error)}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def check_folder(folder: Path, known: Collection[str], what: str) -> None:
    """Raises CheckpointError unless it may be written to: nothing yet, an empty folder, or one with known files only.

    Tried out beside it, where the new one is drafted; the folders above it are made for that.
    what  is to be saved, in a word: checkpoint
    """
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"{folder}: is a file, expected a folder for the {what}, or nothing yet")
    above = next((place for place in folder.parents if place.exists()), folder)
    if above.exists() and not above.is_dir():
        raise CheckpointError(f"{folder}: cannot be written: {above} is a file, expected a folder")
    strangers = {path.name for path in folder.iterdir()} - set(known) if folder.exists() else set()
    if strangers:
        raise CheckpointError(f"{folder}: holds {min(strangers)}, which is no part of a {what}; name another folder")
    _draft(folder).rmdir()


def _draft(folder: Path) -> Path:
    """A new folder beside it; raises CheckpointError where there can be none."""
    place = _place(folder)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    except OSError as error:
        raise CheckpointError(f"{folder}: cannot be written: {reason(error)}") from error


def _place(folder: Path) -> Path:
    """Where a link leads, as what is beside the link may be another disk, which nothing can be renamed to."""
    return Path(os.path.realpath(folder))


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


def contents_fingerprint(folder: Path, names: Iterable[str]) -> str:
    """sha256 over the sha256 of each file of these names that there is, in their order."""
    digest = hashlib.sha256()
    for name in names:
        if not (folder / name).exists():
            continue
        with (folder / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
