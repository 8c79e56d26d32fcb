"""One post's story, top to bottom: consumed records in, what to publish about each out.

Plain asyncio: knows neither Faust nor Kafka. `Pipeline.answers` never raises for a bad post; it raises Fatal when the
model can do no more.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from mner_model.checkpoints.checkpoint import default_checkpoint, folder_fingerprint
from mner_model.errors import CheckpointError, DeviceUnavailable
from mner_model.predictor import Prediction, Predictor
from mner_model.text.languages import primary_subtag
from worker.errors import DeadReason, ModelBroken, Rejected, SettingsRefused
from worker.images.fetcher import ImageFetcher
from worker.images.stage import PostImage
from worker.messages.records import ConsumedRecord, Outcome, OutgoingMessage, tombstone
from worker.messages.wire import (
    EntityRecord,
    ImageReport,
    ModelReport,
    Post,
    UntaggedReason,
    dead_letter,
    decode_post,
    entity_record,
    from_milliseconds,
    mention_message,
    mentions_of,
    record_message,
)
from worker.settings import Settings
from worker.tagging.model_slot import ModelSlot
from worker.tagging.served_model import ServedModel
from worker.tagging.shadow import Shadow
from worker.telemetry import tracing
from worker.telemetry.metrics import Metrics, ModelRole

logger = logging.getLogger(__name__)

_DECODE_IN_THREAD_BYTES = 256 * 1024  # a larger window would hold the event loop for milliseconds


@dataclass(frozen=True, slots=True)
class _Deleted:
    """A tombstone that is passed on."""

    message: OutgoingMessage


@dataclass(frozen=True, slots=True)
class _Untagged:
    """A post that gets a record without being tagged: neither model nor image is asked for it."""

    post: Post
    reason: UntaggedReason


_Decoded = Post | _Untagged | _Deleted | Rejected
_Answer = tuple[Post, PostImage, Prediction | Exception] | _Untagged | _Deleted | Rejected


class Pipeline:
    """Loads and warms the model (`start`), answers windows of records (`answers`, several at a time), and closes.

    A window is answered by one model from its images to its records; after `reload` the next window may have another.
    """

    def __init__(
        self, settings: Settings, metrics: Metrics, load: Callable[[Path | None], Predictor] | None = None
    ) -> None:
        """Nothing is loaded yet. `load` stands in for reading a checkpoint (None: that of the package)."""
        self._settings = settings
        self.metrics = metrics
        self._read = load or (lambda checkpoint: Predictor.load(checkpoint, settings.device))
        self._fetcher = ImageFetcher(settings)
        fingerprint = partial(_fingerprint, settings.checkpoint)
        self._live = ModelSlot("model", fingerprint, self._load, lambda model: metrics.model(*model.description))
        self._shadow: Shadow | None = None

    async def start(self) -> None:
        """Loads the models and runs each once. Raises SettingsRefused, a sentence for each that cannot be had."""
        settings, problems = self._settings, []
        try:
            await self._live.fill()
            if self._live.current.predictor.is_on_gpu:
                self.metrics.gpu_memory(self._gpu_memory_bytes)
        except CheckpointError as error:
            problems.append(_problem("MNER_CHECKPOINT", error))
        if settings.shadow_checkpoint is not None:
            fingerprint = partial(_fingerprint, settings.shadow_checkpoint)
            read = partial(self._read, settings.shadow_checkpoint)
            try:
                self._shadow = await Shadow.start(fingerprint, read, self._fetcher, settings, self.metrics)
            except CheckpointError as error:
                problems.append(_problem("MNER_SHADOW_CHECKPOINT", error))
        if problems:
            raise SettingsRefused(list(dict.fromkeys(problems)))  # a device that is not there is said once
        if settings.redis_url is None and self._live.current.predictor.image_fingerprint is not None:
            logger.info("no Redis is configured: image embeddings are kept in this process alone")
        self._tell_of_a_twin()

    def _tell_of_a_twin(self) -> None:
        """A shadow that is the live model costs its share of the posts, and can disagree about none."""
        fingerprint = self._live.current.report.fingerprint
        if self._shadow is not None and self._shadow.slot.current.report.fingerprint == fingerprint:
            logger.warning("the shadow model is the live model, %s: there is nothing to compare", fingerprint[:12])

    def _gpu_memory_bytes(self) -> float:
        return self._live.current.predictor.gpu_memory_bytes()

    async def _load(self) -> ServedModel:
        read = partial(self._read, self._settings.checkpoint)
        return await ServedModel.load(read, self._fetcher, self._settings, self.metrics, self._observe_tagging)

    async def reload(self) -> None:
        """Reads the checkpoints again; what is another than before is warmed and takes over between two windows.

        Posts are answered all the while. What cannot be loaded is said and counted, and what is at work goes on.
        Raises ModelBroken when trying left the device unusable.
        """
        swapped = await self._reload("live", self._live)
        if self._shadow is not None:
            swapped |= await self._reload("shadow", self._shadow.slot)
        if swapped:
            self._tell_of_a_twin()

    async def _reload(self, role: ModelRole, slot: ModelSlot) -> bool:
        """Whether another model is at work now."""
        before = slot.current
        read = await slot.reload()
        self.metrics.model_refused(role, not read)
        if not read:
            self.metrics.model_reload(role, "refused")
        elif slot.current is not before:
            self.metrics.model_reload(role, "swapped")
        return slot.current is not before

    async def process(self, records: Sequence[ConsumedRecord]) -> list[Outcome]:
        """The answer to each record, in order."""
        answers: dict[int, Outcome] = {}
        async with aclosing(self._parts(records)) as parts:
            async for part in parts:
                answers |= part
        return [answers[number] for number in range(len(records))]

    async def answers(self, records: Sequence[ConsumedRecord]) -> AsyncGenerator[list[Outcome], None]:
        """The answer to each record, in parts as they are ready; records with one key in one part, in their order."""
        async with aclosing(self._parts(records)) as parts:
            async for part in parts:
                yield list(part.values())

    async def _parts(self, records: Sequence[ConsumedRecord]) -> AsyncGenerator[dict[int, Outcome], None]:
        """Answers by the number of their record, in order; in parts, for an image may be late.

        A part comes even when it is empty: whoever waits learns that the rest is waiting for images.
        """
        decoded = await self._decode(records)
        posts = {number: post for number, post in enumerate(decoded) if isinstance(post, Post)}
        ready = _Together(records)
        found: dict[int, PostImage] = {}
        with self._live.current.held() as model:
            try:
                async with aclosing(model.images_as_ready(posts)) as parts:
                    ready.add(number for number in range(len(records)) if number not in posts)
                    async for images in parts:
                        found |= images
                        ready.add(images)
                        numbers = ready.take()
                        yield await self._answer(model, records, decoded, found, numbers) if numbers else {}
            except Exception as error:
                if model.predictor.is_broken_by(error):
                    raise ModelBroken(f"the model can do no further batch: {error}") from error
                raise

    async def _answer(
        self,
        model: ServedModel,
        records: Sequence[ConsumedRecord],
        decoded: Sequence[_Decoded],
        found: Mapping[int, PostImage],
        numbers: Sequence[int],
    ) -> dict[int, Outcome]:
        """Tags the posts of these numbers, and answers all records of these numbers."""
        posts = {number: post for number in numbers if isinstance(post := decoded[number], Post)}
        images = [found[number] for number in posts]
        with tracing.stage("tag"):
            predictions = await model.tag(list(posts.values()), images)
        if self._shadow is not None:
            self._shadow.look(list(posts.values()), images, predictions, model.predictor.image_fingerprint)
        tagged = dict(zip(posts, zip(posts.values(), images, predictions, strict=True), strict=True))
        answers = [tagged[number] if isinstance(one := decoded[number], Post) else one for number in numbers]
        outcome = partial(self._outcome, model.report)
        outcomes = await asyncio.to_thread(lambda: [*map(outcome, [records[number] for number in numbers], answers)])
        return dict(zip(numbers, outcomes, strict=True))

    @property
    def is_crowded(self) -> bool:
        """Whether so many images wait to be fetched that no further posts should come."""
        return self._live.current.is_crowded

    async def close(self) -> None:
        """Ends what `start` began."""
        if self._shadow is not None:
            await self._shadow.close()
        await self._live.close()
        await self._fetcher.close()

    async def _decode(self, records: Sequence[ConsumedRecord]) -> list[_Decoded]:
        size = sum(len(record.value or b"") for record in records)
        with self.metrics.stage("decode"), tracing.stage("decode"):
            if size > _DECODE_IN_THREAD_BYTES:
                return await asyncio.to_thread(lambda: [self._decode_one(record) for record in records])
            return [self._decode_one(record) for record in records]

    def _decode_one(self, record: ConsumedRecord) -> _Decoded:
        try:
            if record.value is None:
                return _Deleted(tombstone(record, self._settings.entities_topic))
            post = decode_post(record.key, record.value)
            return post if self._is_wanted(post) else _Untagged(post, "language")
        except Rejected as rejected:
            return rejected

    def _is_wanted(self, post: Post) -> bool:
        """Whether its language is to be tagged; nothing is known of a post that names none, so it is."""
        language, wanted = primary_subtag(post.lang), self._settings.languages
        return not wanted or language is None or language in wanted

    def _outcome(self, model: ModelReport, record: ConsumedRecord, answer: _Answer) -> Outcome:
        try:
            return self._outcome_of(model, record, answer)
        except Exception as error:  # of one post's making: it must not cost the others of its window
            return self._dead(record, DeadReason.PROCESSING_FAILED, f"{type(error).__name__}: {error}")

    def _outcome_of(self, model: ModelReport, record: ConsumedRecord, answer: _Answer) -> Outcome:
        match answer:
            case _Deleted(message):
                return Outcome(record, (message,), "deleted")
            case Rejected():
                return self._dead(record, answer.reason, answer.detail)
            case _Untagged(post, reason):
                return self._untagged(model, record, post, reason)
            case (post, image, Prediction() as prediction):
                return self._tagged(model, record, post, image, prediction)
            case (_, _, error):
                return self._dead(record, DeadReason.PROCESSING_FAILED, f"{type(error).__name__}: {error}")

    def _tagged(
        self, model: ModelReport, record: ConsumedRecord, post: Post, image: PostImage, prediction: Prediction
    ) -> Outcome:
        answer = self._record(model, record, post, image.report, prediction)
        self.metrics.image(image.report.status)
        for entity in answer.entities:
            self.metrics.mention(entity.type)
        topic = self._settings.entities_topic
        mentions = (mention_message(mention, topic) for mention in mentions_of(answer))
        return Outcome(record, (record_message(answer, topic), *mentions), "tagged")

    def _untagged(self, model: ModelReport, record: ConsumedRecord, post: Post, reason: UntaggedReason) -> Outcome:
        image = ImageReport.unread(post, "the post is not tagged")
        answer = self._record(model, record, post, image, Prediction(()), reason)
        return Outcome(record, (record_message(answer, self._settings.entities_topic),), "untagged")

    def _record(
        self,
        model: ModelReport,
        record: ConsumedRecord,
        post: Post,
        image: ImageReport,
        prediction: Prediction,
        untagged: UntaggedReason | None = None,
    ) -> EntityRecord:
        answer = entity_record(
            post.id,
            post.text if self._settings.include_text else None,
            prediction.entities,
            image=image,
            model=model,
            created_at=post.created_at or from_milliseconds(record.timestamp),
            untagged=untagged,
        )
        self.metrics.record(post.lang, len(answer.entities))
        return answer

    def _dead(self, record: ConsumedRecord, reason: DeadReason, detail: str) -> Outcome:
        self.metrics.dead_letter(reason)
        message = dead_letter(
            record, reason, detail, topic=self._settings.dead_topic, attempts=1, failed_at=datetime.now(UTC)
        )
        return Outcome(record, (message,), "dead")

    def _observe_tagging(self, *, weights: Sequence[int], waited_s: Sequence[float], compute_s: float) -> None:
        self.metrics.stage_took("tag", compute_s)
        for waited in waited_s:
            self.metrics.stage_took("queue", waited)
        places = max(weights) * len(weights)
        self.metrics.batch(len(weights), 1 - sum(weights) / places if places else 0.0)


def _fingerprint(checkpoint: Path | None) -> str:
    """Of the checkpoint that lies there now; empty where it cannot be read, which loading it says better."""
    try:
        return folder_fingerprint(checkpoint or default_checkpoint())
    except OSError:
        return ""


def _problem(checkpoint_setting: str, error: CheckpointError) -> str:
    return f"{'MNER_DEVICE' if isinstance(error, DeviceUnavailable) else checkpoint_setting}: {error}"


class _Together:
    """Holds back records that are ready until all with the same key are, so that these keep their order."""

    def __init__(self, records: Sequence[ConsumedRecord]) -> None:
        groups: dict[Hashable, list[int]] = {}
        self._groups: list[list[int]] = []
        for number, record in enumerate(records):
            key = number if record.key is None else (record.topic, record.partition, record.key)
            groups.setdefault(key, []).append(number)
            self._groups.append(groups[key])
        self._ready: set[int] = set()

    def add(self, numbers: Iterable[int]) -> None:
        """These records are ready."""
        self._ready.update(numbers)

    def take(self) -> list[int]:
        """What need not be held back, each once, in order."""
        taken = sorted(number for number in self._ready if self._ready.issuperset(self._groups[number]))
        self._ready.difference_update(taken)
        return taken
