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

from mner_model.checkpoint import CheckpointError
from mner_model.images import Pixels
from mner_model.predictor import Document, Prediction, Predictor
from worker.embedding_cache import EmbeddingCache
from worker.errors import DeadReason, ModelBroken, Rejected, SettingsRefused
from worker.image_fetcher import ImageFetcher
from worker.image_stage import ImageStage, PostImage
from worker.messages import (
    ConsumedRecord,
    ImageReport,
    ModelReport,
    Outcome,
    OutgoingMessage,
    Post,
    dead_letter,
    decode_post,
    entity_record,
    from_milliseconds,
    mention_message,
    record_message,
    tombstone,
)
from worker.metrics import Metrics, Stage
from worker.microbatcher import BatchObserver, MicroBatcher
from worker.settings import Settings
from worker.shared_encoding import Embedding, SharedEncoding

logger = logging.getLogger(__name__)

_DECODE_IN_THREAD_BYTES = 256 * 1024  # a larger window would hold the event loop for milliseconds
_IMAGES_PER_CALL = 8


@dataclass(frozen=True, slots=True)
class _Deleted:
    """A tombstone that is passed on."""

    message: OutgoingMessage


_Decoded = Post | _Deleted | Rejected
_Answer = tuple[Post, PostImage, Prediction | Exception] | _Deleted | Rejected


class Pipeline:
    """Loads and warms the model (`start`), answers windows of records (`answers`, several at a time), and closes."""

    def __init__(
        self, settings: Settings, metrics: Metrics, load_predictor: Callable[[], Predictor] | None = None
    ) -> None:
        """Nothing is loaded yet. `load_predictor` stands in for reading the checkpoint that the settings name."""
        self._settings = settings
        self.metrics = metrics
        self._load = load_predictor or (lambda: Predictor.load(settings.checkpoint, settings.device))

    async def start(self) -> None:
        """Loads the model and runs it once. Raises SettingsRefused in one sentence if it cannot be had."""
        try:
            self._predictor = predictor = await asyncio.to_thread(self._load)
        except CheckpointError as error:
            raise SettingsRefused([f"MNER_CHECKPOINT, MNER_DEVICE: {error}"]) from error
        await asyncio.to_thread(predictor.warm)
        self.metrics.model(predictor.name, predictor.fingerprint, str(predictor.device))
        if predictor.is_on_gpu:
            self.metrics.gpu_memory(predictor.gpu_memory_bytes)
        logger.info("model %s, fingerprint %s, on %s", predictor.name, predictor.fingerprint[:12], predictor.device)
        self._model = ModelReport(name=predictor.name, fingerprint=predictor.fingerprint)
        self._tagger = MicroBatcher[Document, Prediction](
            partial(
                predictor.predict,
                max_tokens=self._settings.batch_max_tokens,
                image_effect=self._settings.image_effect,
            ),
            weight=lambda document: len(document.tokens or ()),
            max_items=self._settings.batch_max_posts,
            max_weight=self._settings.batch_max_tokens,
            max_wait_s=self._settings.batch_max_wait_s,
            observe=self._observer("tag", count_batch=True),
            is_fatal=predictor.is_broken_by,
        )
        self._tagger.start()
        self._images = await self._start_images(predictor)

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
        try:
            async with aclosing(self._images.as_ready(posts) if self._images else _unread_images(posts)) as parts:
                ready.add(number for number in range(len(records)) if number not in posts)
                async for images in parts:
                    found |= images
                    ready.add(images)
                    numbers = ready.take()
                    yield await self._answer(records, decoded, found, numbers) if numbers else {}
        except Exception as error:
            if self._predictor.is_broken_by(error):
                raise ModelBroken(f"the model can do no further batch: {error}") from error
            raise

    async def _answer(
        self,
        records: Sequence[ConsumedRecord],
        decoded: Sequence[_Decoded],
        found: Mapping[int, PostImage],
        numbers: Sequence[int],
    ) -> dict[int, Outcome]:
        """Tags the posts of these numbers, and answers all records of these numbers."""
        posts = {number: post for number in numbers if isinstance(post := decoded[number], Post)}
        images = [found[number] for number in posts]
        documents = await asyncio.to_thread(self._documents, list(posts.values()), images)
        predictions = await self._tagger.submit(documents)
        tagged = dict(zip(posts, zip(posts.values(), images, predictions, strict=True), strict=True))
        answers = [tagged[number] if isinstance(one := decoded[number], Post) else one for number in numbers]
        outcomes = await asyncio.to_thread(
            lambda: [*map(self._outcome, [records[number] for number in numbers], answers)]
        )
        return dict(zip(numbers, outcomes, strict=True))

    @property
    def is_crowded(self) -> bool:
        """Whether so many images wait to be fetched that no further posts should come."""
        return self._images is not None and self._images.is_crowded

    async def close(self) -> None:
        """Ends what `start` began."""
        await self._tagger.close()
        if self._images is not None:
            self._images.close()
            await self._encoder.close()
            await self._fetcher.close()
            await self._cache.close()

    async def _start_images(self, predictor: Predictor) -> ImageStage | None:
        if predictor.image_fingerprint is None or predictor.image_dimension is None:
            return None
        self._fetcher = ImageFetcher(self._settings)
        self._cache = EmbeddingCache.from_settings(
            self._settings, predictor.image_fingerprint, predictor.image_dimension, self.metrics
        )
        await self._cache.start()
        self._encoder = MicroBatcher[Pixels, Embedding](
            lambda images: list(predictor.embed_images(images)),
            weight=lambda image: 1,
            max_items=_IMAGES_PER_CALL,
            max_weight=_IMAGES_PER_CALL,
            max_wait_s=self._settings.batch_max_wait_s,
            observe=self._observer("embed", count_batch=False),
            is_fatal=predictor.is_broken_by,
        )
        self._encoder.start()
        return ImageStage(
            SharedEncoding(self._encoder.submit, self._cache.put_many),
            predictor.preprocess_image,
            self._fetcher,
            self._cache,
            self.metrics,
            max_pixels=self._settings.image_max_pixels,
            timeout_s=self._settings.image_timeout_s,
        )

    async def _decode(self, records: Sequence[ConsumedRecord]) -> list[_Decoded]:
        size = sum(len(record.value or b"") for record in records)
        with self.metrics.stage("decode"):
            if size > _DECODE_IN_THREAD_BYTES:
                return await asyncio.to_thread(lambda: [self._decode_one(record) for record in records])
            return [self._decode_one(record) for record in records]

    def _decode_one(self, record: ConsumedRecord) -> _Decoded:
        try:
            if record.value is None:
                return _Deleted(tombstone(record, self._settings.entities_topic))
            return decode_post(record.key, record.value)
        except Rejected as rejected:
            return rejected

    def _documents(self, posts: Sequence[Post], images: Sequence[PostImage]) -> list[Document]:
        tokenize = self._predictor.tokenize
        return [
            Document(post.text, image.embedding, tokenize(post.text)) for post, image in zip(posts, images, strict=True)
        ]

    def _outcome(self, record: ConsumedRecord, answer: _Answer) -> Outcome:
        try:
            return self._outcome_of(record, answer)
        except Exception as error:  # of one post's making: it must not cost the others of its window
            return self._dead(record, DeadReason.PROCESSING_FAILED, f"{type(error).__name__}: {error}")

    def _outcome_of(self, record: ConsumedRecord, answer: _Answer) -> Outcome:
        match answer:
            case _Deleted(message):
                return Outcome(record, (message,), "deleted")
            case Rejected():
                return self._dead(record, answer.reason, answer.detail)
            case (post, image, Prediction() as prediction):
                return self._tagged(record, post, image, prediction)
            case (_, _, error):
                return self._dead(record, DeadReason.PROCESSING_FAILED, f"{type(error).__name__}: {error}")

    def _tagged(self, record: ConsumedRecord, post: Post, image: PostImage, prediction: Prediction) -> Outcome:
        answer = entity_record(
            post.id,
            post.text if self._settings.include_text else None,
            prediction.entities,
            image=image.report,
            model=self._model,
            created_at=post.created_at or from_milliseconds(record.timestamp),
        )
        self.metrics.image(image.report.status)
        for entity in answer.entities:
            self.metrics.mention(entity.type)
        topic = self._settings.entities_topic
        mentions = (mention_message(mention, topic) for mention in answer.mentions())
        return Outcome(record, (record_message(answer, topic), *mentions), "tagged")

    def _dead(self, record: ConsumedRecord, reason: DeadReason, detail: str) -> Outcome:
        self.metrics.dead_letter(reason)
        message = dead_letter(
            record, reason, detail, topic=self._settings.dead_topic, attempts=1, failed_at=datetime.now(UTC)
        )
        return Outcome(record, (message,), "dead")

    def _observer(self, stage: Stage, *, count_batch: bool) -> BatchObserver:
        def observe(*, weights: Sequence[int], waited_s: Sequence[float], compute_s: float) -> None:
            self.metrics.stage_took(stage, compute_s)
            if count_batch:
                for waited in waited_s:
                    self.metrics.stage_took("queue", waited)
                places = max(weights) * len(weights)
                self.metrics.batch(len(weights), 1 - sum(weights) / places if places else 0.0)

        return observe


async def _unread_images(posts: Mapping[int, Post]) -> AsyncGenerator[dict[int, PostImage], None]:
    """For a model that has no use for them."""
    yield {number: PostImage(ImageReport.unread(post)) for number, post in posts.items()}


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
