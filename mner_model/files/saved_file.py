"""Files that are replaced as a whole or not at all."""

import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from mner_model.errors import reason


@contextmanager
def saved_file(path: Path, failure: Callable[[str], Exception]) -> Iterator[Path]:
    """Gives an empty draft beside the file to write to, and puts it in the file's place when all went well.

    What was there stays until then; the folders above it are made.
    failure  makes the error, of a sentence, that is raised where writing fails
    """
    draft = _draft(path)
    try:
        _make(draft)
        mode = stat.S_IMODE(draft.stat().st_mode)
        yield draft
        draft.chmod(mode)  # as the umask has it; safetensors makes files for their owner alone
        draft.replace(path)
    # a full disk is a RuntimeError to torch, and safetensors has an error of its own
    except (OSError, RuntimeError, SafetensorError) as error:
        raise failure(f"{path}: cannot be written: {reason(_first(error))}") from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def check_writable(path: Path, failure: Callable[[str], Exception]) -> None:
    """Raises what `failure` makes where no file can be written here; the folders above it are made to find out."""
    draft = _draft(path)
    try:
        _make(draft)
        draft.unlink()
    except OSError as error:
        raise failure(f"{path}: cannot be written: {reason(error)}") from error


def _first(error: Exception) -> Exception:
    """The system's word, where there is one: of a full disk torch complains of a position in its archive."""
    before: BaseException | None = error
    while before is not None and not isinstance(before, OSError):
        before = before.__context__
    return before or error


def _draft(path: Path) -> Path:
    """Always the same: what a kill leaves is used up by the next one."""
    return path.with_name(f".{path.name}.draft")


def _make(draft: Path) -> None:
    draft.parent.mkdir(parents=True, exist_ok=True)
    draft.unlink(missing_ok=True)
    draft.touch()
