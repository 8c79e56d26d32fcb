"""Another checkpoint takes over in a worker at work, on a real broker, with real models."""

import asyncio
import json
import shutil
from pathlib import Path

import pytest
from lab import Lab, until

from mner_model.checkpoints.checkpoint import default_checkpoint

pytestmark = pytest.mark.integration


@pytest.fixture
def named(tmp_path: Path):
    """Makes the shipped checkpoint under another name, which makes it another checkpoint."""

    def make(name: str) -> Path:
        folder = shutil.copytree(default_checkpoint(), tmp_path / name)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "name": name}))
        return folder

    return make


def lead(link: Path, folder: Path) -> None:
    """Makes the link lead there from now on, in one step."""
    fresh = link.with_name(f"{link.name}.fresh")
    fresh.symlink_to(folder)
    fresh.replace(link)


async def test_models_take_over_under_load_and_every_post_is_answered_once(
    make_lab, embedded_bootstrap, named, tmp_path
):
    lab: Lab = await make_lab(embedded_bootstrap).open()
    first, second, broken, current = named("first"), named("second"), tmp_path / "broken", tmp_path / "current"
    broken.mkdir()
    lead(current, first)
    worker = lab.start_worker(
        with_model=True, MNER_CHECKPOINT=str(current), MNER_CHECKPOINT_WATCH_S="0.2", MNER_SHADOW_CHECKPOINT=str(second)
    )
    enough = asyncio.Event()
    load = asyncio.create_task(_until(enough, lab))
    await _until_answered_by("first", lab)

    lead(current, second)
    await _until_answered_by("second", lab)

    lead(current, broken)
    await until(lambda: "refused, the one at work goes on" in worker.log, "the refusal", explain=lab.logs)
    lead(current, first)
    worker.hang_up()  # the watch may be faster; either way it is read once
    await _until_answered_by("first", lab)

    enough.set()
    await load  # not cancelled: what the broker took must be counted
    await lab.until_all_answered()
    assert await worker.metric('mner_model_reloads_total{model="live",result="swapped"}') == 2
    worker.terminate()
    assert await worker.exit_status() == 0
    assert (lab.twice, lab.dead) == (0, [])
    assert await lab.committed() == lab.ends


async def _until(enough: asyncio.Event, lab: Lab) -> None:
    while not enough.is_set():
        await lab.send(20, text="Sunrise over the Golden Gate Bridge in San Francisco")
        await asyncio.sleep(0.1)


async def _until_answered_by(name: str, lab: Lab) -> None:
    """Until a post that is sent from here on is answered by the model of this name."""
    sent = len(lab.posts)

    async def is_answered() -> bool:
        await lab.read_answers()
        return any(lab.models.get(post) == name for post in lab.posts[sent:])

    await until(is_answered, f"an answer of {name}", 90.0, lab.logs)
