"""When the checkpoints are read again."""

import asyncio
import itertools
import threading
from pathlib import Path

import pytest

from worker.settings import Settings
from worker.tagging.reloading import CheckpointWatch, Reloading


def saved(folder: Path, weights: str = "old") -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "weights.safetensors").write_text(weights)
    return folder


def test_what_lies_there_at_the_start_is_no_change(tmp_path: Path) -> None:
    watch = CheckpointWatch([saved(tmp_path / "a")])
    assert [watch.has_changed() for _ in range(3)] == [False] * 3


def test_a_change_counts_once_and_only_when_it_has_held_still(tmp_path: Path) -> None:
    folder = saved(tmp_path / "a")
    watch = CheckpointWatch([folder])
    (folder / "weights.safetensors").write_text("half of the new")
    assert not watch.has_changed()
    (folder / "weights.safetensors").write_text("all of the new one")
    assert not watch.has_changed()
    assert [watch.has_changed() for _ in range(3)] == [True, False, False]


def test_a_folder_put_in_the_place_of_another_is_a_change_though_all_sizes_are_alike(tmp_path: Path) -> None:
    folder, new = saved(tmp_path / "a", "old"), saved(tmp_path / "b", "new")
    watch = CheckpointWatch([folder])
    folder.rename(tmp_path / "aside")
    new.rename(folder)
    assert [watch.has_changed() for _ in range(3)] == [False, True, False]


def test_a_link_that_was_moved_is_a_change(tmp_path: Path) -> None:
    link = tmp_path / "current"
    link.symlink_to(saved(tmp_path / "a"))
    watch = CheckpointWatch([link])
    moved = tmp_path / "next"
    moved.symlink_to(saved(tmp_path / "b"))
    moved.rename(link)
    assert [watch.has_changed() for _ in range(3)] == [False, True, False]


def test_a_folder_between_two_renames_and_back_is_no_change(tmp_path: Path) -> None:
    folder = saved(tmp_path / "a")
    watch = CheckpointWatch([folder])
    folder.rename(tmp_path / "aside")
    assert not watch.has_changed()
    (tmp_path / "aside").rename(folder)
    assert [watch.has_changed() for _ in range(2)] == [False, False]


def test_a_change_of_either_of_two_checkpoints_counts(tmp_path: Path) -> None:
    folders = [saved(tmp_path / name) for name in "ab"]
    watch = CheckpointWatch(folders)
    for folder in folders:
        (folder / "config.json").write_text('{"name": "another"}')
        assert [watch.has_changed() for _ in range(3)] == [False, True, False]


class Models:
    def __init__(self) -> None:
        self.reloads = 0
        self.reloaded = asyncio.Event()

    async def reload(self) -> None:
        self.reloads += 1
        self.reloaded.set()


@pytest.mark.parametrize("watch_s", ["0", "3600"])
async def test_asking_is_enough_whether_files_are_watched_or_not(watch_s: str) -> None:
    models, reloading = Models(), Reloading(Settings.load({"MNER_CHECKPOINT_WATCH_S": watch_s}))
    reloading.ask()
    reloading.ask()
    running = asyncio.create_task(reloading.run(models))
    await models.reloaded.wait()
    running.cancel()
    assert models.reloads == 1


async def test_a_checkpoint_that_changed_is_read_without_being_asked(tmp_path: Path) -> None:
    folder = saved(tmp_path / "a")
    models = Models()
    settings = Settings.load({"MNER_CHECKPOINT": str(folder), "MNER_CHECKPOINT_WATCH_S": "0.01"})
    running = asyncio.create_task(Reloading(settings).run(models))
    (folder / "weights.safetensors").write_text("all of the new one")
    await models.reloaded.wait()
    running.cancel()


async def test_a_change_that_was_asked_for_is_not_read_once_more_by_the_watch(tmp_path: Path) -> None:
    folder = saved(tmp_path / "a")
    settings = Settings.load({"MNER_CHECKPOINT": str(folder), "MNER_CHECKPOINT_WATCH_S": "0.01"})
    models, reloading = Models(), Reloading(settings)
    (folder / "weights.safetensors").write_text("all of the new one")
    reloading.ask()
    enough = after_looks(reloading, 4)
    running = asyncio.create_task(reloading.run(models))
    assert await asyncio.to_thread(enough.wait, 10)
    running.cancel()
    assert models.reloads == 1


def after_looks(reloading: Reloading, number: int) -> threading.Event:
    """Set when the watch has looked so often."""
    look, looks, enough = reloading._watch.has_changed, itertools.count(1), threading.Event()

    def has_changed() -> bool:
        changed = look()
        if next(looks) == number:
            enough.set()
        return changed

    reloading._watch.has_changed = has_changed  # type: ignore[method-assign]
    return enough


def test_what_is_written_on_after_it_was_asked_for_is_a_change(tmp_path: Path) -> None:
    folder = saved(tmp_path / "a")
    watch = CheckpointWatch([folder])
    (folder / "weights.safetensors").write_text("half")
    watch.know()
    (folder / "weights.safetensors").write_text("all of the new one")
    assert [watch.has_changed() for _ in range(3)] == [False, True, False]


async def test_what_ends_a_reload_for_good_is_passed_on() -> None:
    class Broken:
        async def reload(self) -> None:
            raise RuntimeError("the device is lost")

    reloading = Reloading(Settings.load({}))
    reloading.ask()
    with pytest.raises(RuntimeError, match="the device is lost"):
        await reloading.run(Broken())
