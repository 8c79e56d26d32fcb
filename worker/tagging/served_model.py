"""A tagger at work: a loaded model, its micro-batches, its images, and the windows that it still has to answer.

A worker has one, and for a while a second: one that takes over, or one in the first one's shadow.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Self

from mner_model.imaging.decoding import Pixels
from mner_model.predictor import Document, Prediction, Predictor
from worker.images.cache import EmbeddingCache
from worker.images.embedding_codec import Embedding
from worker.images.fetcher import ImageFetcher
from worker.images.shared_encoding import SharedEncoding
from worker.images.stage import ImageStage, PostImage
from worker.messages.wire import ImageReport, ModelReport, Post
from worker.settings import Settings
from worker.tagging.microbatcher import BatchObserver, MicroBatcher
from worker.telemetry.metrics import Metrics

_IMAGES_PER_CALL = 8


class ServedModel:
    """Made by `load`, warm from then on; ended by `retire`, when the last window that holds it is answered."""

    def __init__(self, predictor: Predictor, settings: Settings, metrics: Metrics, observe_tagging: BatchObserver):
        """Nothing runs yet; `load` is the way to have one that does."""
        self.predictor = predictor
        self.report = ModelReport(name=predictor.name, fingerprint=predictor.fingerprint)
        self._settings = settings
        self._metrics = metrics
        self._images: ImageStage | None = None
        self._windows = 0
        self._unheld = asyncio.Event()
        self._unheld.set()
        self._tagger = MicroBatcher[Document, Prediction](
            partial(predictor.predict, max_tokens=settings.batch_max_tokens, image_effect=settings.image_effect),
            weight=lambda document: len(document.tokens or ()),
            max_items=settings.batch_max_posts,
            max_weight=settings.batch_max_tokens,
            max_wait_s=settings.batch_max_wait_s,
            observe=observe_tagging,
            is_fatal=predictor.is_broken_by,
        )

    @classmethod
    async def load(
        cls,
        read: Callable[[], Predictor],
        fetcher: ImageFetcher,
        settings: Settings,
        metrics: Metrics,
        observe_tagging: BatchObserver,
    ) -> Self:
        """Reads a model and runs it once, in a thread.

        read             gives the model, such as `Predictor.load` of a checkpoint; its errors are passed on
        fetcher          of images; shared, and not closed here
        metrics          what its images and their cache come to
        observe_tagging  is told of every call of the tagger
        """
        predictor = await asyncio.to_thread(read)
        await asyncio.to_thread(predictor.warm)
        model = cls(predictor, settings, metrics, observe_tagging)
        model._tagger.start()
        await model._start_images(fetcher)
        return model

    async def _start_images(self, fetcher: ImageFetcher) -> None:
        predictor, settings = self.predictor, self._settings
        if predictor.image_fingerprint is None or predictor.image_dimension is None:
            return
        self._cache = EmbeddingCache(settings, predictor.image_fingerprint, predictor.image_dimension, self._metrics)
        await self._cache.start()
        self._encoder = MicroBatcher[Pixels, Embedding](
            lambda images: list(predictor.encode_images(images)),
            weight=lambda image: 1,
            max_items=_IMAGES_PER_CALL,
            max_weight=_IMAGES_PER_CALL,
            max_wait_s=settings.batch_max_wait_s,
            observe=partial(_observe_embedding, self._metrics),
            is_fatal=predictor.is_broken_by,
        )
        self._encoder.start()
        self._images = ImageStage(
            SharedEncoding(self._encoder.submit, self._cache.put_many),
            predictor.preprocess_image,
            fetcher,
            self._cache,
            self._metrics,
            max_pixels=settings.image_max_pixels,
            timeout_s=settings.image_timeout_s,
        )

    @property
    def description(self) -> tuple[str, str, str]:
        """Name, fingerprint and device, as metrics tell of a model."""
        return self.report.name, self.report.fingerprint, str(self.predictor.device)

    # Posts

    def images_as_ready(self, posts: Mapping[int, Post]) -> AsyncGenerator[dict[int, PostImage], None]:
        """What each post's image comes to, under the post's own number, in parts as they are known."""
        return self._images.as_ready(posts) if self._images else _unread_images(posts)

    async def tag(self, posts: Sequence[Post], images: Sequence[PostImage]) -> list[Prediction | Exception]:
        """The mentions of each post, in order, or the error that this post alone makes; raises what breaks the model.

        images  of this model's own `images_as_ready`, or of a model with the same image encoder
        """
        return await self._tagger.submit(await asyncio.to_thread(self._documents, posts, images))

    def _documents(self, posts: Sequence[Post], images: Sequence[PostImage]) -> list[Document]:
        tokenize = self.predictor.tokenize
        return [
            Document(post.text, image.embedding, tokenize(post.text)) for post, image in zip(posts, images, strict=True)
        ]

    @property
    def is_crowded(self) -> bool:
        """Whether so many images wait to be fetched that no further posts should come."""
        return self._images is not None and self._images.is_crowded

    # Its end

    @contextmanager
    def held(self) -> Iterator[Self]:
        """For as long as a window is answered: a model that was replaced goes when nothing holds it any more."""
        self._windows += 1
        self._unheld.clear()
        try:
            yield self
        finally:
            self._windows -= 1
            if not self._windows:
                self._unheld.set()

    async def retire(self) -> None:
        """Waits until no window holds it, then ends all that `load` began."""
        await self._unheld.wait()
        await self.close()

    async def close(self) -> None:
        """Ends all that `load` began, at once; what still waits for an answer is cancelled."""
        await self._tagger.close()
        if self._images is not None:
            self._images.close()
            await self._encoder.close()
            await self._cache.close()


def _observe_embedding(
    metrics: Metrics, *, weights: Sequence[int], waited_s: Sequence[float], compute_s: float
) -> None:
    metrics.stage_took("embed", compute_s)


async def _unread_images(posts: Mapping[int, Post]) -> AsyncGenerator[dict[int, PostImage], None]:
    """For a model that has no use for them."""
    yield {number: PostImage(ImageReport.unread(post)) for number, post in posts.items()}
