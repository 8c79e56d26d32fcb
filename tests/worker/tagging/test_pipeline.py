"""Consumed records in, what to publish out: every record answered, in order, whatever it holds."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mner_model.errors import CheckpointError
from mner_model.posts.predicted_entity import PredictedEntity
from mner_model.predictor import Document, Prediction, Predictor
from mner_model.text.tokenizer import Tokens, tokenize
from worker.demo.embedded import EmbeddedRedis
from worker.errors import ModelBroken, SettingsRefused
from worker.images.stage import NO_IMAGE, ImageStage, PostImage
from worker.messages.records import Outcome
from worker.messages.wire import EntityRecord, Mention, Post
from worker.settings import Settings
from worker.tagging import pipeline as pipeline_module
from worker.tagging.pipeline import Pipeline
from worker.telemetry.metrics import Metrics


@dataclass
class Record:
    """As a consumer hands it over."""

    value: bytes | None
    key: bytes | None = None
    topic: str = "posts"
    partition: int = 3
    offset: int = 7
    timestamp: int = 1_700_000_000_000
    headers: Sequence[tuple[str, bytes]] = field(default_factory=tuple)


class CapitalsAreNames:
    """Stands in for the model: every capitalised word is a LOC, "Nile" breaks its batch, "Cuda" breaks the device."""

    name, fingerprint, device = "capitals", "f" * 64, "cpu"
    image_fingerprint = image_dimension = None
    is_on_gpu = False

    def warm(self) -> None:
        self.warmed = True

    def tokenize(self, text: str) -> Tokens:
        return tokenize(text)

    def predict(self, documents: Sequence[Document], max_tokens: int, image_effect: bool) -> list[Prediction]:
        for document in documents:
            if "Nile" in document.text:
                raise ValueError("a bad tensor")
            if "Cuda" in document.text:
                raise RuntimeError("CUDA error: an illegal memory access")
        return [self._prediction(document) for document in documents]

    def _prediction(self, document: Document) -> Prediction:
        tokens = document.tokens or tokenize(document.text)
        return Prediction(
            tuple(
                PredictedEntity(start, end, "LOC", surface, 0.87654321, {"word": 0.75, "char": 0.25})
                for surface, start, end in zip(tokens.surfaces, tokens.starts, tokens.ends, strict=True)
                if surface[0].isupper()
            )
        )

    is_broken_by = staticmethod(Predictor.is_broken_by)


@asynccontextmanager
async def running(
    environ: dict[str, str] | None = None, load: Callable[[], object] = CapitalsAreNames
) -> AsyncIterator[Pipeline]:
    loaded = Settings.load({"MNER_REDIS_URL": "", "MNER_BATCH_MAX_WAIT_S": "0", **(environ or {})})
    pipeline = Pipeline(loaded, Metrics(), lambda checkpoint: cast(Predictor, load()))
    await pipeline.start()
    try:
        yield pipeline
    finally:
        await pipeline.close()


def post(id_: str, text: str, **more: object) -> Record:
    return Record(json.dumps({"id": id_, "text": text, **more}).encode(), id_.encode())


async def answers(*records: Record, environ: dict[str, str] | None = None) -> list[Outcome]:
    async with running(environ) as pipeline:
        return await pipeline.process(records)


async def test_a_post_becomes_its_record_and_a_mention_on_the_topic_of_its_type() -> None:
    [outcome] = await answers(post("p1", "Off to Oslo 🎉 and Lima"))
    record, oslo, lima = outcome.messages[0], *outcome.messages[2:]
    assert outcome.kind == "tagged"
    assert (record.topic, record.key) == ("entities", b"p1")
    found = EntityRecord.decode(record.value or b"")
    assert [(e.text, e.start, e.end) for e in found.entities] == [("Off", 0, 3), ("Oslo", 7, 11), ("Lima", 18, 22)]
    assert (found.text, found.revision, found.image.status, found.model.name) == (
        "Off to Oslo 🎉 and Lima",
        1,
        "absent",
        "capitals",
    )
    assert found.entities[1].confidence == pytest.approx(0.8765)
    assert [(m.topic, m.key) for m in (oslo, lima)] == [("entities.loc", b"oslo"), ("entities.loc", b"lima")]
    assert Mention.decode(oslo.value or b"").post_id == "p1"


async def test_ids_of_entities_are_the_same_when_a_post_comes_again() -> None:
    first, second = await answers(post("p", "Oslo"), post("p", "Oslo"))
    ids = [EntityRecord.decode(outcome.messages[0].value or b"").entities[0].id for outcome in (first, second)]
    assert ids[0] == ids[1]


async def test_created_at_is_the_posts_own_or_else_the_brokers() -> None:
    own, brokers = await answers(post("a", "hi", created_at="2026-01-02T03:04:05Z"), post("b", "hi"))
    read = [EntityRecord.decode(outcome.messages[0].value or b"").created_at for outcome in (own, brokers)]
    assert read[0].isoformat() == "2026-01-02T03:04:05+00:00"
    assert read[1].timestamp() == 1_700_000_000


async def test_a_setting_leaves_the_text_out() -> None:
    [outcome] = await answers(post("p", "Oslo"), environ={"MNER_INCLUDE_TEXT": "false"})
    assert "text" not in json.loads(outcome.messages[0].value or b"{}")


async def test_a_tombstone_is_passed_on_and_one_without_a_key_is_a_dead_letter() -> None:
    deleted, keyless = await answers(Record(None, b"p1"), Record(None, None))
    assert (deleted.kind, deleted.messages[0].topic, deleted.messages[0].key, deleted.messages[0].value) == (
        "deleted",
        "entities",
        b"p1",
        None,
    )
    assert keyless.kind == "dead"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\xff\xfe", b"not_utf8"),
        (b"{", b"not_json"),
        (b'{"text": "no id"}', b"schema"),
        (b'{"id": 5, "text": "hi"}', b"schema"),
        (json.dumps({"id": "p", "text": "x" * 10_001}).encode(), b"too_large"),
    ],
)
async def test_a_bad_post_is_a_dead_letter_with_its_bytes_and_the_stream_goes_on(value: bytes, reason: bytes) -> None:
    bad, good = await answers(Record(value, b"p", headers=(("trace", b"1"),)), post("ok", "Oslo"))
    [letter] = bad.messages
    headers = dict(letter.headers)
    assert (bad.kind, good.kind) == ("dead", "tagged")
    assert (letter.topic, letter.key, letter.value) == ("posts.dead", b"p", value)
    assert (headers["error.reason"], headers["trace"]) == (reason, b"1")
    assert (headers["source.topic"], headers["source.partition"], headers["source.offset"]) == (b"posts", b"3", b"7")


async def test_a_post_that_breaks_its_batch_is_dead_lettered_alone() -> None:
    records = [post(str(i), "down the Nile" if i == 5 else "in Oslo") for i in range(12)]
    outcomes = await answers(*records)
    assert [outcome.kind for outcome in outcomes] == ["dead" if i == 5 else "tagged" for i in range(12)]
    headers = dict(outcomes[5].messages[0].headers)
    assert headers["error.reason"] == b"processing_failed"
    assert headers["error.detail"] == b"ValueError: a bad tensor"


async def test_a_timestamp_from_before_time_costs_nobody_anything() -> None:
    strange = post("a", "Oslo")
    strange.timestamp = -(10**15)
    outcomes = await answers(strange, post("b", "Lima"))
    assert [outcome.kind for outcome in outcomes] == ["tagged", "tagged"]


async def test_an_answer_that_cannot_be_made_is_its_own_posts_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    made = pipeline_module.entity_record

    def stumbles(post_id: str, *args: Any, **more: Any) -> EntityRecord:
        if post_id == "b":
            raise OverflowError("nobody foresaw this")
        return made(post_id, *args, **more)

    monkeypatch.setattr(pipeline_module, "entity_record", stumbles)
    outcomes = await answers(*(post(name, "Oslo") for name in "abc"))
    assert [outcome.kind for outcome in outcomes] == ["tagged", "dead", "tagged"]


async def test_an_error_that_breaks_the_device_stops_the_worker() -> None:
    async with running() as pipeline:
        with pytest.raises(ModelBroken, match="illegal memory access"):
            await pipeline.process([post("a", "Oslo"), post("b", "Cuda")])


async def test_a_missing_checkpoint_is_one_clear_refusal() -> None:
    def load() -> Predictor:
        raise CheckpointError("checkpoint nowhere: config.json is missing")

    with pytest.raises(SettingsRefused, match=r"MNER_CHECKPOINT.*config\.json is missing"):
        async with running(load=load):
            pass


def test_no_records_give_no_outcomes() -> None:
    assert asyncio.run(answers()) == []


class Untouched(CapitalsAreNames):
    """Fails where anything is asked of it."""

    def tokenize(self, text: str) -> Tokens:
        raise AssertionError(f"asked to tokenize {text!r}")

    def predict(self, documents: Sequence[Document], max_tokens: int, image_effect: bool) -> list[Prediction]:
        raise AssertionError(f"asked to tag {len(documents)} posts")


ENGLISH_AND_PORTUGUESE = {"MNER_LANGUAGES": "en,pt"}


async def test_a_post_in_another_language_gets_a_record_that_says_so_and_costs_no_call_of_the_model() -> None:
    other = post("p", "Oslo", lang="nb", created_at="2026-01-02T03:04:05Z")
    async with running(ENGLISH_AND_PORTUGUESE, Untouched) as pipeline:
        [outcome] = await pipeline.process([other])
    [message] = outcome.messages
    record = json.loads(message.value or b"")
    assert (outcome.kind, message.topic, message.key) == ("untagged", "entities", b"p")
    assert (record["untagged"], record["entities"], record["image"]) == ("language", [], {"status": "absent"})
    assert (record["post_id"], record["revision"], record["text"]) == ("p", 1, "Oslo")
    assert (record["created_at"], record["model"]["name"]) == ("2026-01-02T03:04:05.000Z", "capitals")


async def test_a_setting_leaves_the_text_of_an_untagged_post_out_too() -> None:
    [outcome] = await answers(post("p", "Oslo", lang="nb"), environ=ENGLISH_AND_PORTUGUESE | {"MNER_INCLUDE_TEXT": "0"})
    assert "text" not in json.loads(outcome.messages[0].value or b"")


@pytest.mark.parametrize("lang", ["en", "EN", "en-GB", "pt", "pt-BR", "PT-br", "und", "und-Latn", "", None])
async def test_a_post_is_tagged_in_a_language_that_is_asked_for_or_where_it_names_none(lang: str | None) -> None:
    [outcome] = await answers(post("p", "Oslo", lang=lang), environ=ENGLISH_AND_PORTUGUESE)
    record = json.loads(outcome.messages[0].value or b"")
    assert outcome.kind == "tagged"
    assert ("untagged" in record, len(record["entities"])) == (False, 1)


@pytest.mark.parametrize("lang", ["es", "ES-419", "fil", "enm", "x-klingon"])
async def test_a_post_in_any_other_language_is_not_tagged_and_without_the_setting_it_is(lang: str) -> None:
    for environ, kind in ((ENGLISH_AND_PORTUGUESE, "untagged"), ({"MNER_LANGUAGES": ""}, "tagged")):
        [outcome] = await answers(post("p", "Oslo", lang=lang), environ=environ)
        assert outcome.kind == kind


async def test_a_post_that_is_no_post_is_a_dead_letter_in_any_language() -> None:
    [outcome] = await answers(Record(b'{"id": "p", "text": "", "lang": "nb"}', b"p"), environ=ENGLISH_AND_PORTUGUESE)
    assert outcome.kind == "dead"


async def test_the_image_of_an_untagged_post_is_neither_fetched_nor_decoded_and_the_record_says_why() -> None:
    sources = {"image_url": "https://example.org/a.png"}, {"image_data": "AAAA"}
    records = [replace(post("p", "Oslo", lang="nb", **source), offset=at) for at, source in enumerate(sources)]
    records.append(replace(post("late", "Oslo", lang="en", **sources[0]), offset=2))
    images = LateImages("late")
    async with running_with(images, ENGLISH_AND_PORTUGUESE) as pipeline:
        outcomes = await pipeline.process(records)
    assert images.asked == ["late"]
    told = [json.loads(outcome.messages[0].value or b"")["image"] for outcome in outcomes]
    assert told[0] == told[1] == {"status": "absent", "reason": "the post is not tagged"}


async def test_an_untagged_post_keeps_its_place_behind_an_earlier_version_whose_image_is_late() -> None:
    records = [post("late", "Oslo", lang="en"), post("late", "Oslo", lang="nb"), post("b", "Lima", lang="nb")]
    records = [replace(record, offset=number) for number, record in enumerate(records)]
    async with running_with(LateImages("late"), ENGLISH_AND_PORTUGUESE) as pipeline:
        assert await parts(pipeline, records) == [[2], [0, 1]]


async def test_untagged_posts_are_in_their_order_among_all_others() -> None:
    records = [
        post("a", "Oslo", lang="nb"),
        post("b", "Oslo", lang="en"),
        Record(b"{"),
        post("c", "Oslo", lang="fi"),
        Record(None, b"d"),
    ]
    outcomes = await answers(*records, environ=ENGLISH_AND_PORTUGUESE)
    assert [outcome.record for outcome in outcomes] == records
    assert [outcome.kind for outcome in outcomes] == ["untagged", "tagged", "dead", "untagged", "deleted"]


RECORDS = st.lists(
    st.one_of(
        st.binary(max_size=40).map(lambda value: Record(value, None)),
        st.text(max_size=30).map(lambda text: Record(json.dumps({"id": "p", "text": text}).encode(), b"p")),
        st.just(Record(None, b"gone")),
        st.just(post("n", "the Nile")),
        st.just(post("nb", "Oslo", lang="nb")),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=30)
@given(RECORDS)
def test_every_record_is_answered_in_order(records: list[Record]) -> None:
    outcomes = asyncio.run(answers(*records, environ=ENGLISH_AND_PORTUGUESE))
    assert [outcome.record for outcome in outcomes] == records
    assert all(outcome.messages for outcome in outcomes)


class LateImages:
    """Stands in for the image stage: what is known at once, and then the others one by one, in the order given."""

    def __init__(self, *late: str) -> None:
        self._late = late
        self.asked: list[str] = []

    async def as_ready(self, posts: Mapping[int, Post]) -> AsyncGenerator[dict[int, PostImage], None]:
        self.asked += [post.id for post in posts.values()]
        yield {number: NO_IMAGE for number, post in posts.items() if post.id not in self._late}
        for name in self._late:
            yield {number: NO_IMAGE for number, post in posts.items() if post.id == name}

    def close(self) -> None:
        """Nothing to let go."""


@asynccontextmanager
async def running_with(images: LateImages, environ: dict[str, str] | None = None) -> AsyncIterator[Pipeline]:
    async with running(environ) as pipeline:
        pipeline._live.current._images = cast("ImageStage", images)
        try:
            yield pipeline
        finally:
            pipeline._live.current._images = None


async def parts(pipeline: Pipeline, records: Sequence[Record]) -> list[list[int]]:
    """Which records are answered together, by their offsets."""
    return [[outcome.record.offset for outcome in part] async for part in pipeline.answers(records)]


async def test_what_needs_no_image_is_answered_before_an_image_that_is_late() -> None:
    records = [post("late", "Oslo"), post("b", "Lima"), Record(b"{"), post("later", "Rome"), Record(None, b"c")]
    records = [replace(record, offset=number) for number, record in enumerate(records)]
    async with running_with(LateImages("late", "later")) as pipeline:
        assert await parts(pipeline, records) == [[1, 2, 4], [0], [3]]


async def test_what_follows_a_late_post_under_its_key_waits_for_it_and_keeps_its_place() -> None:
    records = [
        post("late", "Oslo"),
        post("b", "Lima"),
        Record(None, b"late"),
        replace(post("late", "Rome"), partition=1),
    ]
    records = [replace(record, offset=number) for number, record in enumerate(records)]
    records.append(replace(records[2], offset=4, partition=2))
    async with running_with(LateImages("late")) as pipeline:
        assert await parts(pipeline, records) == [[1, 4], [0, 2, 3]]


async def test_a_window_without_a_late_image_is_answered_in_one_part() -> None:
    records = [replace(post(name, "Oslo"), offset=number) for number, name in enumerate("abc")]
    async with running() as pipeline:
        assert await parts(pipeline, records) == [[0, 1, 2]]


async def test_process_answers_in_order_however_late_the_images_are() -> None:
    records = [replace(post(name, "Oslo"), offset=number) for number, name in enumerate("abcd")]
    async with running_with(LateImages("c", "a")) as pipeline:
        outcomes = await pipeline.process(records)
    assert [outcome.record.offset for outcome in outcomes] == [0, 1, 2, 3]


def values(name: str, metrics: Metrics) -> dict[str, float]:
    lines = metrics.render()[0].decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)}


async def test_what_happened_is_counted() -> None:
    async with running() as pipeline:
        await pipeline.process([post("a", "Oslo or Lima"), Record(b"{")])
    counted: dict[str, Any] = {
        **values("mner_mentions_total", pipeline.metrics),
        **values("mner_dead_letters_total", pipeline.metrics),
        **values("mner_stage_seconds_count", pipeline.metrics),
    }
    assert counted['mner_mentions_total{type="LOC"}'] == 2
    assert counted['mner_dead_letters_total{reason="not_json"}'] == 1
    assert counted['mner_stage_seconds_count{stage="tag"}'] == 1
    assert counted['mner_stage_seconds_count{stage="queue"}'] == 1


async def test_records_and_mentions_are_counted_by_language_those_left_untagged_too_and_dead_letters_are_not() -> None:
    records = [
        post("a", "Oslo or Lima", lang="en-GB"),
        post("b", "Oslo", lang="sv"),
        post("c", "Oslo", lang="de"),
        post("d", "Oslo"),
        post("e", "the Nile", lang="pt"),
        Record(b"{"),
        Record(None, b"f"),
    ]
    async with running(ENGLISH_AND_PORTUGUESE) as pipeline:
        await pipeline.process(records)
    counted = values("mner_language_", pipeline.metrics)
    assert {name: count for name, count in counted.items() if count} == {
        'mner_language_posts_total{language="en"}': 1,
        'mner_language_mentions_total{language="en"}': 2,
        'mner_language_posts_total{language="other"}': 1,
        'mner_language_posts_total{language="de"}': 1,
        'mner_language_posts_total{language="none"}': 1,
        'mner_language_mentions_total{language="none"}': 1,
    }
    assert sum(values("mner_images_total", pipeline.metrics).values()) == 2, "of posts that were tagged"


async def test_that_no_redis_is_configured_is_said_once_though_models_are_loaded_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    predictor = Predictor.load(None, "cpu")
    async with running(load=lambda: predictor) as pipeline:
        await pipeline.reload()
    assert len([message for message in caplog.messages if "no Redis is configured" in message]) == 1


async def test_the_shipped_model_reads_a_text_and_an_inline_picture(drawn_picture: bytes) -> None:
    picture = base64.b64encode(drawn_picture).decode()
    text = "Barack Obama lands in Berlin for the Google summit"
    async with running(load=lambda: Predictor.load(None, "cpu")) as pipeline:
        seen, again, plain = await pipeline.process(
            [post("a", text, image_data=picture), post("b", text, image_data=picture), post("c", text)]
        )
    records = [EntityRecord.decode(outcome.messages[0].value or b"") for outcome in (seen, again, plain)]
    assert [(record.image.status, record.image.cached) for record in records] == [
        ("used", False),
        ("used", True),
        ("absent", None),
    ]
    assert [(e.type, e.text) for e in records[2].entities] == [
        ("PER", "Barack Obama"),
        ("LOC", "Berlin"),
        ("ORG", "Google"),
    ]
    assert all(0 < e.modality_weights["image"] < 1 for e in records[0].entities)
    assert all(e.modality_weights["image"] == 0 for e in records[2].entities)


async def test_a_setting_brings_the_effect_of_the_image_into_records_and_mentions(drawn_picture: bytes) -> None:
    picture = base64.b64encode(drawn_picture).decode()
    text = "Barack Obama lands in Berlin for the Google summit"
    records = [post("seen", text, image_data=picture), post("plain", text)]
    answered: dict[str, list[Outcome]] = {}
    for wanted in ("false", "true"):
        async with running({"MNER_IMAGE_EFFECT": wanted}, lambda: Predictor.load(None, "cpu")) as pipeline:
            answered[wanted] = await pipeline.process(records)
    without, (seen, plain) = answered["false"], answered["true"]
    assert all(b"image_effect" not in (message.value or b"") for out in (*without, plain) for message in out.messages)
    entities = EntityRecord.decode(seen.messages[0].value or b"").entities
    assert entities
    assert all(entity.image_effect is not None and -1 <= entity.image_effect <= 1 for entity in entities)
    mentions = [Mention.decode(message.value or b"") for message in seen.messages[1:]]
    assert [mention.image_effect for mention in mentions] == [entity.image_effect for entity in entities]
    blind = {(e.start, e.end, e.type): e for e in EntityRecord.decode(plain.messages[0].value or b"").entities}
    changes = [entity.confidence - blind[entity.start, entity.end, entity.type].confidence for entity in entities]
    assert [entity.image_effect for entity in entities] == pytest.approx(changes, abs=2e-4)


async def test_workers_share_their_embeddings_through_redis(drawn_picture: bytes, tmp_path: Path) -> None:
    picture = base64.b64encode(drawn_picture).decode()
    cached = []
    with EmbeddedRedis(tmp_path) as redis:
        for name in ("one worker", "another worker"):
            async with running({"MNER_REDIS_URL": redis.url}, lambda: Predictor.load(None, "cpu")) as pipeline:
                [outcome] = await pipeline.process([post(name, "in Berlin", image_data=picture)])
            cached.append(EntityRecord.decode(outcome.messages[0].value or b"").image.cached)
            hits = values("mner_cache_requests_total", pipeline.metrics)
    assert cached == [False, True]
    assert hits['mner_cache_requests_total{result="hit",tier="redis"}'] == 1


async def test_a_tagger_of_captions_reads_what_a_picture_says_and_the_same_from_the_cache(
    caption_tagger: Path, drawn_picture: bytes, tmp_path: Path
) -> None:
    predictor = Predictor.load(caption_tagger, "cpu")
    read: list[list[list[int]]] = []
    records = [post("p", "in Berlin", image_data=base64.b64encode(drawn_picture).decode())]
    cached = []
    with EmbeddedRedis(tmp_path) as redis:
        for _ in ("encoding", "from Redis"):
            async with running({"MNER_REDIS_URL": redis.url}, lambda: predictor) as pipeline:
                hook = predictor._model.register_forward_hook(
                    lambda model, given, output: read.append(given[0].caption_ids.tolist())
                )
                [outcome] = await pipeline.process(records)
                hook.remove()
            image = EntityRecord.decode(outcome.messages[0].value or b"").image
            cached.append((image.status, image.cached))
    assert cached == [("used", False), ("used", True)]
    assert read[0] == read[1]
    assert [predictor.vocabulary.forms[id_] for id_ in read[0][0]] == ["binder"]
