"""A second model beside the first: compared, counted, never published and never in the way."""

import asyncio
import base64
import json
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mner_model.errors import CheckpointError
from mner_model.posts.predicted_entity import PredictedEntity
from mner_model.predictor import Document, Prediction, Predictor
from mner_model.text.tokenizer import Tokens, tokenize
from worker.errors import SettingsRefused
from worker.messages.wire import EntityRecord
from worker.settings import Settings
from worker.tagging import shadow
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


def post(name: str, text: str = "Oslo Lima Rome", **more: str) -> Record:
    return Record(json.dumps({"id": name, "text": text, **more}).encode(), name.encode())


class Tags:
    """Stands in for a model: gives words the types it was told; an unknown word makes it fail."""

    image_fingerprint = image_dimension = None
    device, is_on_gpu = "cpu", False
    is_broken_by = staticmethod(Predictor.is_broken_by)

    def __init__(self, fingerprint: str, **types: str) -> None:
        self.name, self.fingerprint, self._types = fingerprint, fingerprint * 64, types
        self.gate = threading.Event()
        self.gate.set()

    def warm(self) -> None:
        """Nothing to run."""

    def tokenize(self, text: str) -> Tokens:
        return tokenize(text)

    def predict(self, documents: Sequence[Document], max_tokens: int, image_effect: bool) -> list[Prediction]:
        assert self.gate.wait(10)
        return [self._prediction(document.text) for document in documents]

    def _prediction(self, text: str) -> Prediction:
        tokens = tokenize(text)
        spans = zip(tokens.surfaces, tokens.starts, tokens.ends, strict=True)
        typed = [(self._types[word], word, start, end) for word, start, end in spans]
        return Prediction(tuple(PredictedEntity(s, e, t, word, 0.9, {}) for t, word, s, e in typed if t != "none"))


LIVE = Tags("a", Oslo="LOC", Lima="LOC", Rome="none")
OTHER = {"Oslo": "LOC", "Lima": "ORG", "Rome": "LOC"}


@asynccontextmanager
async def serving(read: Callable[[Path | None], object], tmp_path: Path, share: float = 1) -> AsyncIterator[Pipeline]:
    environ = {
        "MNER_REDIS_URL": "",
        "MNER_BATCH_MAX_WAIT_S": "0",
        "MNER_SHADOW_CHECKPOINT": str(tmp_path),
        "MNER_SHADOW_SHARE": str(share),
    }
    pipeline = Pipeline(Settings.load(environ), Metrics(), cast("Callable[[Path | None], Predictor]", read))
    await pipeline.start()
    try:
        yield pipeline
    finally:
        await pipeline.close()


def both(other: object) -> Callable[[Path | None], object]:
    return lambda checkpoint: LIVE if checkpoint is None else other


async def compared(pipeline: Pipeline) -> None:
    assert pipeline._shadow is not None
    await asyncio.gather(*pipeline._shadow._tasks)


def counted(pipeline: Pipeline, name: str) -> dict[tuple[str, ...], float]:
    page = pipeline.metrics.render()[0].decode().splitlines()
    lines = [line for line in page if line.startswith(f"mner_shadow_{name}{{")]
    found = {tuple(line.split('"')[1::2]): float(line.split()[-1]) for line in lines}
    return {labels: value for labels, value in found.items() if value}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shadow, "BATCH_MAX_WAIT_S", 0.0)


async def test_agreement_and_both_kinds_of_disagreement_are_counted_by_type(tmp_path: Path) -> None:
    async with serving(both(Tags("b", **OTHER)), tmp_path) as pipeline:
        await pipeline.process([post("p")])
        await compared(pipeline)
        assert counted(pipeline, "mentions_total") == {
            ("LOC", "both"): 1,
            ("LOC", "live_only"): 1,
            ("ORG", "shadow_only"): 1,
            ("LOC", "shadow_only"): 1,
        }
        assert counted(pipeline, "posts_total") == {("compared",): 1}
        assert ("cpu", "b" * 64, "b") in counted(pipeline, "model_info")


async def test_records_are_the_live_models_alone(tmp_path: Path) -> None:
    async with serving(both(Tags("b", **OTHER)), tmp_path) as pipeline:
        [outcome] = await pipeline.process([post("p")])
        record = EntityRecord.decode(outcome.messages[0].value or b"")
        assert record.model.fingerprint == "a" * 64
        assert [entity.text for entity in record.entities] == ["Oslo", "Lima"]
        await compared(pipeline)
        page = pipeline.metrics.render()[0].decode()
        assert 'mner_mentions_total{type="LOC"} 2.0' in page
        assert 'mner_stage_seconds_count{stage="tag"} 1.0' in page


async def test_a_shadow_that_hangs_delays_nobody_and_what_it_cannot_take_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow, "OPEN_POSTS_MAX", 3)
    other = Tags("b", **OTHER)
    async with serving(both(other), tmp_path) as pipeline:
        other.gate.clear()
        outcomes = await pipeline.process([post(str(number)) for number in range(5)])
        assert [outcome.kind for outcome in outcomes] == ["tagged"] * 5
        assert counted(pipeline, "posts_total") == {("dropped",): 2}
        other.gate.set()
        await compared(pipeline)
        await pipeline.process([post("later")])
        await compared(pipeline)
        assert counted(pipeline, "posts_total") == {("dropped",): 2, ("compared",): 4}


async def test_a_post_that_the_shadow_fails_at_is_counted_said_once_and_answered_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(both(Tags("b")), tmp_path) as pipeline:
        for name in "pq":
            [outcome] = await pipeline.process([post(name)])
            await compared(pipeline)
            assert outcome.kind == "tagged"
        assert counted(pipeline, "posts_total") == {("failed",): 2}
        assert caplog.text.count("the shadow model failed") == 1


async def test_a_shadow_that_is_the_live_model_is_pointed_out_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(both(Tags("a", **OTHER)), tmp_path) as pipeline:
        await pipeline.reload()
    assert caplog.messages.count("the shadow model is the live model, aaaaaaaaaaaa: there is nothing to compare") == 1


async def test_a_shadow_that_becomes_the_live_model_is_pointed_out_and_no_other(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    others = [Tags("b", **OTHER), Tags("a", **OTHER)]
    async with serving(lambda checkpoint: LIVE if checkpoint is None else others.pop(0), tmp_path) as pipeline:
        assert "is the live model" not in caplog.text
        await pipeline.reload()
        assert "is the live model" in caplog.text


async def test_a_reload_changes_the_shadow_too(tmp_path: Path) -> None:
    others = [Tags("b", **OTHER), Tags("c", Oslo="LOC", Lima="LOC", Rome="none")]
    async with serving(lambda checkpoint: LIVE if checkpoint is None else others.pop(0), tmp_path) as pipeline:
        await pipeline.reload()
        await pipeline.process([post("p")])
        await compared(pipeline)
        assert counted(pipeline, "mentions_total") == {("LOC", "both"): 2}
        assert [labels[1] for labels in counted(pipeline, "model_info")] == ["c" * 64]


async def test_a_refused_reload_of_the_shadow_is_counted_as_the_shadows(tmp_path: Path) -> None:
    others = [Tags("b"), CheckpointError("weights.safetensors is missing")]

    def read(checkpoint: Path | None) -> object:
        other = LIVE if checkpoint is None else others.pop(0)
        if isinstance(other, Exception):
            raise other
        return other

    async with serving(read, tmp_path) as pipeline:
        await pipeline.reload()
        page = pipeline.metrics.render()[0].decode()
        assert 'mner_model_reloads_total{model="shadow",result="refused"} 1.0' in page
        assert 'mner_model_reloads_total{model="live",result="refused"} 0.0' in page


async def test_both_checkpoints_that_cannot_be_had_are_said_at_once(tmp_path: Path) -> None:
    def read(checkpoint: Path | None) -> object:
        raise CheckpointError(f"checkpoint {checkpoint}: config.json is missing")

    with pytest.raises(SettingsRefused) as refused:
        async with serving(read, tmp_path):
            pass
    assert [problem.split(":")[0] for problem in refused.value.problems] == [
        "MNER_CHECKPOINT",
        "MNER_SHADOW_CHECKPOINT",
    ]


async def test_a_device_that_is_not_there_is_no_fault_of_either_checkpoint_and_said_once(tmp_path: Path) -> None:
    def read(checkpoint: Path | None) -> object:
        return Predictor.load(checkpoint, "cuda:99")

    with pytest.raises(SettingsRefused) as refused:
        async with serving(read, tmp_path):
            pass
    [problem] = refused.value.problems
    assert problem.startswith("MNER_DEVICE: device cuda:99: this machine has")


@given(st.text(max_size=20), st.floats(0.01, 1))
def test_a_post_in_a_small_sample_is_in_every_larger_one(post_id: str, share: float) -> None:
    if shadow.is_sampled(post_id, share):
        assert shadow.is_sampled(post_id, min(1, share * 2))
    assert shadow.is_sampled(post_id, 1)


def test_a_sample_is_as_large_as_its_share() -> None:
    assert 950 < sum(shadow.is_sampled(str(number), 0.1) for number in range(10_000)) < 1_050


async def test_a_shadow_with_another_image_encoder_sees_the_image_itself(
    tmp_path: Path, caption_tagger: Path, drawn_picture: bytes
) -> None:
    """The shipped model in front, one that reads captions behind it, both real."""
    live, other = Predictor.load(None, "cpu"), Predictor.load(caption_tagger, "cpu")
    assert live.image_fingerprint != other.image_fingerprint
    read: list[list[int]] = []
    other._model.register_forward_hook(lambda model, given, output: read.extend(given[0].caption_ids.tolist()))
    picture = base64.b64encode(drawn_picture).decode()
    async with serving(lambda checkpoint: live if checkpoint is None else other, tmp_path) as pipeline:
        read.clear()
        [outcome] = await pipeline.process([post("p", "in Berlin", image_data=picture)])
        await compared(pipeline)
        assert EntityRecord.decode(outcome.messages[0].value or b"").image.status == "used"
        assert [[other.vocabulary.forms[id_] for id_ in caption] for caption in read] == [["binder"]]
        page = pipeline.metrics.render()[0].decode()
        assert "mner_images_encoded_total 1.0" in page, "the shadow's own encoding is not the worker's"
