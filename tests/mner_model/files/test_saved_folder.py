"""A saved folder is the old one or the new one, whatever happens while it is written."""

import os
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from mner_model.errors import CheckpointError
from mner_model.files.saved_folder import check_folder, saved_folder

KNOWN = {"weights", "config"}


def write(folder: Path, text: str) -> None:
    with saved_folder(folder, KNOWN, "thing") as draft:
        (draft / "weights").write_text(text)


def fail_half_way(folder: Path) -> None:
    with saved_folder(folder, KNOWN, "thing") as draft:
        (draft / "weights").write_text("half")
        raise OSError("disk full")


def test_what_is_written_is_there_at_the_end(tmp_path: Path) -> None:
    write(tmp_path / "deep" / "thing", "new")
    assert (tmp_path / "deep" / "thing" / "weights").read_text() == "new"
    assert [path.name for path in (tmp_path / "deep" / "thing").iterdir()] == ["weights"]


def test_a_place_below_a_file_is_refused_and_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "letter").touch()
    message = f"letter/deep/thing: cannot be written: {tmp_path / 'letter'} is a file, expected a folder$"
    with pytest.raises(CheckpointError, match=message):
        check_folder(tmp_path / "letter" / "deep" / "thing", KNOWN, "thing")


@pytest.mark.parametrize(("umask", "folder", "file"), [(0o022, 0o755, 0o644), (0o077, 0o700, 0o600)])
def test_a_folder_of_tensors_is_open_to_whom_the_umask_lets_in(
    umask: int, folder: int, file: int, tmp_path: Path
) -> None:
    before = os.umask(umask)
    try:
        with saved_folder(tmp_path / "thing", KNOWN, "thing") as draft:
            (draft / "config").touch()
            save_file({"a": np.zeros(1)}, draft / "weights")
    finally:
        os.umask(before)
    assert (tmp_path / "thing").stat().st_mode & 0o777 == folder
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "thing").iterdir()} == {file}


def test_an_older_one_stays_whole_when_writing_fails_and_no_draft_is_left(tmp_path: Path) -> None:
    write(tmp_path / "thing", "old")
    with pytest.raises(CheckpointError, match="thing: cannot be written: disk full"):
        fail_half_way(tmp_path / "thing")
    assert (tmp_path / "thing" / "weights").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["thing"]


def test_an_older_one_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write(tmp_path / "thing", "old")
    (tmp_path / "thing" / "config").write_text("old")
    write(tmp_path / "thing", "new")
    assert {path.name: path.read_text() for path in (tmp_path / "thing").iterdir()} == {"weights": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["thing"]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_stays_and_where_it_leads_is_replaced(tmp_path: Path, is_there: bool) -> None:
    place, link = tmp_path / "disk" / "thing", tmp_path / "link"
    link.symlink_to(place)
    if is_there:
        write(place, "old")
    check_folder(link, KNOWN, "thing")
    write(link, "new")
    assert link.is_symlink()
    assert (place / "weights").read_text() == "new"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["disk", "link", "thing", "weights"]


def test_somebody_elses_files_and_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match=r"holds thesis\.txt, which is no part of a thing"):
        write(tmp_path, "new")
    with pytest.raises(CheckpointError, match="is a file, expected a folder for the thing"):
        write(tmp_path / "thesis.txt", "new")
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("place", ["/proc/thing", "file/thing", "file/deep/thing"])
def test_where_nothing_can_be_written_is_known_before(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"thing: cannot be written: \S+"):
        check_folder(tmp_path / place, KNOWN, "thing")


def test_finding_out_leaves_nothing_behind(tmp_path: Path) -> None:
    check_folder(tmp_path / "thing", KNOWN, "thing")
    assert list(tmp_path.iterdir()) == []
