"""One model takes over from another while posts are answered."""

import asyncio
import base64
import gc
import json
import shutil
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mner_model.checkpoints.checkpoint import folder_fingerprint
from mner_model.errors import CheckpointError
from mner_model.posts.predicted_entity import PredictedEntity
from mner_model.predictor import Document, Prediction, Predictor
from mner_model.text.tokenizer import Tokens, tokenize
from worker.errors import ModelBroken
from worker.messages.wire import EntityRecord
from worker.settings import Settings
from worker.tagging.pipeline import Pipeline
from worker.telemetry.metrics import Metrics


@dataclass
class Record:
    value: bytes
    key: bytes
    topic: str = "posts"
    partition: int = 0
    offset: int = 0
    timestamp: int = 1_700_000_000_000
    headers: Sequence[tuple[str, bytes]] = ()


def post(name: str, picture: bytes | None = None) -> Record:
    image = {} if picture is None else {"image_data": base64.b64encode(picture).decode()}
    return Record(json.dumps({"id": name, "text": "in Oslo", **image}).encode(), name.encode())


class OneName:
    """Stands in for the model: finds every token a name; `gate` holds it, and `began` tells that it is at it."""

    image_fingerprint = image_dimension = None
    device, is_on_gpu = "cpu", False
    is_broken_by = staticmethod(Predictor.is_broken_by)

    def __init__(self, fingerprint: str) -> None:
        self.name, self.fingerprint = f"model {fingerprint}", fingerprint * 64
        self.gate, self.began, self.warmed = threading.Event(), threading.Event(), False
        self.gate.set()

    def warm(self) -> None:
        self.warmed = True

    def tokenize(self, text: str) -> Tokens:
        return tokenize(text)

    def predict(self, documents: Sequence[Document], max_tokens: int, image_effect: bool) -> list[Prediction]:
        assert self.warmed
        self.began.set()
        assert self.gate.wait(10)
        return [Prediction((PredictedEntity(3, 7, "LOC", "Oslo", 0.9, {}),)) for _ in documents]


Load = Callable[[Path | None], Predictor]


class Checkpoints:
    """What is read each time, in turn: models, or errors."""

    def __init__(self, *contents: OneName | Exception) -> None:
        self._contents = list(contents)

    def __call__(self, checkpoint: Path | None) -> Predictor:
        content = self._contents.pop(0)
        if isinstance(content, Exception):
            raise content
        return content  # type: ignore[return-value]


@asynccontextmanager
async def serving(load: Load, **environ: str) -> AsyncIterator[Pipeline]:
    settings = Settings.load({"MNER_REDIS_URL": "", "MNER_BATCH_MAX_WAIT_S": "0", **environ})
    pipeline = Pipeline(settings, Metrics(), load)
    await pipeline.start()
    try:
        yield pipeline
    finally:
        await pipeline.close()


async def model_of_a_post(pipeline: Pipeline) -> str:
    [outcome] = await pipeline.process([post("p")])
    return EntityRecord.decode(outcome.messages[0].value or b"").model.fingerprint[0]


def reloads(pipeline: Pipeline) -> dict[str, float]:
    page = pipeline.metrics.render()[0].decode().splitlines()
    lines = [line for line in page if line.startswith('mner_model_reloads_total{model="live"')]
    return {line.split('"')[3]: float(line.split()[-1]) for line in lines}


def is_refused(pipeline: Pipeline) -> bool:
    return pipeline.metrics.registry.get_sample_value("mner_model_refused", {"model": "live"}) == 1


async def test_records_after_a_reload_are_the_new_models_and_say_so() -> None:
    async with serving(Checkpoints(OneName("a"), OneName("b"))) as pipeline:
        before = await model_of_a_post(pipeline)
        await pipeline.reload()
        assert (before, await model_of_a_post(pipeline)) == ("a", "b")
        assert reloads(pipeline) == {"swapped": 1, "refused": 0}
        page = pipeline.metrics.render()[0].decode()
        assert 'fingerprint="' + "b" * 64 in page
        assert 'fingerprint="' + "a" * 64 not in page


async def test_a_window_under_way_is_finished_by_the_model_that_began_it_and_new_ones_do_not_wait_for_it() -> None:
    old, new = OneName("a"), OneName("b")
    async with serving(Checkpoints(old, new)) as pipeline:
        old.gate.clear()
        under_way = asyncio.create_task(model_of_a_post(pipeline))
        await asyncio.to_thread(old.began.wait, 10)
        await pipeline.reload()
        assert await model_of_a_post(pipeline) == "b"
        assert not under_way.done()
        old.gate.set()
        assert await under_way == "a"


async def test_the_old_model_goes_on_while_the_new_one_is_being_read() -> None:
    reading, read = threading.Event(), threading.Event()
    contents = Checkpoints(OneName("a"), OneName("b"))

    def slowly(checkpoint: Path | None) -> Predictor:
        predictor = contents(checkpoint)
        if predictor.fingerprint.startswith("b"):
            reading.set()
            assert read.wait(10)
        return predictor

    async with serving(slowly) as pipeline:
        reload = asyncio.create_task(pipeline.reload())
        await asyncio.to_thread(reading.wait, 10)
        assert await model_of_a_post(pipeline) == "a"
        read.set()
        await reload
        assert await model_of_a_post(pipeline) == "b"


@pytest.mark.parametrize("error", [CheckpointError("no such file"), MemoryError("no room"), RuntimeError("unforeseen")])
async def test_what_cannot_be_read_is_refused_and_the_model_at_work_goes_on(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(Checkpoints(OneName("a"), error, OneName("b"))) as pipeline:
        await pipeline.reload()
        assert await model_of_a_post(pipeline) == "a"
        assert reloads(pipeline) == {"swapped": 0, "refused": 1}
        assert is_refused(pipeline)
        assert str(error) in caplog.text
        await pipeline.reload()
        assert await model_of_a_post(pipeline) == "b"
        assert not is_refused(pipeline)


async def test_a_refusal_is_over_when_the_checkpoint_is_back_that_is_at_work() -> None:
    async with serving(Checkpoints(OneName("a"), CheckpointError("no such file"), OneName("a"))) as pipeline:
        await pipeline.reload()
        assert is_refused(pipeline)
        await pipeline.reload()
        assert not is_refused(pipeline)


async def test_the_same_checkpoint_again_changes_nothing() -> None:
    first = OneName("a")
    async with serving(Checkpoints(first, OneName("a"))) as pipeline:
        await pipeline.reload()
        assert pipeline._live.current.predictor is first  # type: ignore[comparison-overlap]
        assert reloads(pipeline) == {"swapped": 0, "refused": 0}


async def test_a_reload_that_breaks_the_device_ends_the_worker() -> None:
    broken = RuntimeError("CUDA error: an illegal memory access was encountered")
    async with serving(Checkpoints(OneName("a"), broken)) as pipeline:
        with pytest.raises(ModelBroken, match="illegal memory access"):
            await pipeline.reload()


async def test_the_checkpoint_that_is_at_work_is_not_read_again(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    first = OneName("a")
    first.fingerprint = folder_fingerprint(tmp_path)
    nothing_more = Checkpoints(first)
    async with serving(nothing_more, MNER_CHECKPOINT=str(tmp_path)) as pipeline:
        await pipeline.reload()
        assert not is_refused(pipeline)
        assert await model_of_a_post(pipeline) == first.fingerprint[0]


@pytest.fixture
def without_collector() -> Iterator[None]:
    """What a worker has loaded when it begins is spared from the collector, and so lost if it is part of a cycle."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def renamed_tagger(caption_tagger: Path, tmp_path: Path) -> Path:
    renamed = tmp_path / "renamed"
    shutil.copytree(caption_tagger, renamed)
    config = json.loads((renamed / "config.json").read_text())
    (renamed / "config.json").write_text(json.dumps(config | {"name": "renamed"}))
    return renamed


@pytest.mark.usefixtures("without_collector")
async def test_replaced_models_go_with_the_last_that_holds_them_and_wait_for_no_garbage_collection(
    caption_tagger: Path, renamed_tagger: Path, drawn_picture: bytes
) -> None:
    folders = [caption_tagger, renamed_tagger] * 2
    loaded: list[weakref.ref[Predictor]] = []

    def read(_: Path | None) -> Predictor:
        predictor = Predictor.load(folders[len(loaded)], "cpu")
        loaded.append(weakref.ref(predictor))
        return predictor

    async with serving(read) as pipeline:
        for _ in folders[1:]:
            assert all(outcome.kind == "tagged" for outcome in await pipeline.process([post("p", drawn_picture)]))
            await pipeline.reload()
            await asyncio.gather(*pipeline._live._retiring)
        assert [predictor() is not None for predictor in loaded] == [False, False, False, True]
