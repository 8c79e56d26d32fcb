"""Files come whole or not at all, and nothing is left beside them."""

import os
import stat
from pathlib import Path

import pytest

from mner_model.files.saved_file import check_writable, saved_file


class NotWritten(Exception):
    pass


def write(path: Path, text: str) -> None:
    with saved_file(path, NotWritten) as draft:
        draft.write_text(text)


def test_a_file_is_made_with_its_folders_and_replaced(tmp_path: Path) -> None:
    for text in ("one", "two"):
        write(tmp_path / "new" / "file", text)
        assert (tmp_path / "new" / "file").read_text() == text
    assert os.listdir(tmp_path / "new") == ["file"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("torch's own\nand its stack")])
def test_what_was_there_stays_where_writing_fails(tmp_path: Path, error: Exception) -> None:
    write(tmp_path / "file", "whole")

    def fail() -> None:
        with saved_file(tmp_path / "file", NotWritten) as draft:
            draft.write_text("ha")
            raise error

    said = rf"^{tmp_path}/file: cannot be written: (No space left on device|torch's own)$"
    with pytest.raises(NotWritten, match=said):
        fail()
    assert (tmp_path / "file").read_text() == "whole"
    assert os.listdir(tmp_path) == ["file"]


def test_of_several_errors_the_systems_is_told(tmp_path: Path) -> None:
    def fail() -> None:
        with saved_file(tmp_path / "file", NotWritten):
            try:
                raise OSError(28, "No space left on device")
            finally:
                raise RuntimeError("unexpected pos 576 vs 534")

    with pytest.raises(NotWritten, match=r"cannot be written: No space left on device$"):
        fail()


def test_an_error_of_another_kind_goes_through_and_leaves_no_draft(tmp_path: Path) -> None:
    def fail() -> None:
        with saved_file(tmp_path / "file", NotWritten):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert os.listdir(tmp_path) == []


def test_what_a_kill_left_is_used_up(tmp_path: Path) -> None:
    (tmp_path / ".file.draft").write_text("half of an earlier on")
    write(tmp_path / "file", "whole")
    assert (tmp_path / "file").read_text() == "whole"
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_may_be_read_by_whom_the_umask_allows(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with saved_file(tmp_path / "file", NotWritten) as draft:
        draft.unlink()
        os.close(os.open(draft, os.O_CREAT | os.O_WRONLY, 0o600))  # as safetensors makes its files
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "file")}
    assert len(modes) == 1


@pytest.mark.parametrize("place", ["/proc/file", "file/below"])
def test_where_nothing_can_be_written_is_known_before(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotWritten, match=rf"{place}: cannot be written: [^\n]+$"):
        check_writable(tmp_path / place, NotWritten)
    with pytest.raises(NotWritten, match=rf"{place}: cannot be written: [^\n]+$"):
        write(tmp_path / place, "anything")
    check_writable(tmp_path / "other", NotWritten)
    assert os.listdir(tmp_path) == ["file"]


def test_a_folder_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(NotWritten, match="folder: cannot be written: Is a directory"):
        write(tmp_path / "folder", "anything")
    assert os.listdir(tmp_path) == ["folder"]
