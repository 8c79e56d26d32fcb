"""A second model that tags a sample of the live posts; nothing it finds is published, only counted beside the first's.

Never in the way: posts are answered before they come here, and when the shadow lags behind they are dropped.
"""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Self, cast

from mner_model.predictor import Prediction, Predictor
from worker.images.fetcher import ImageFetcher
from worker.images.stage import PostImage
from worker.messages.wire import EntityType, Post
from worker.settings import Settings
from worker.tagging.model_slot import ModelSlot
from worker.tagging.served_model import ServedModel
from worker.telemetry.metrics import Metrics, ShadowMetrics

logger = logging.getLogger(__name__)

OPEN_POSTS_MAX = 512
# Nobody waits for the shadow: full batches cost the least of what the first model could use.
BATCH_MAX_WAIT_S = 0.5


class _Seen(NamedTuple):
    """A post as the live model had it, and what that found."""

    post: Post
    image: PostImage
    live: Prediction


class Shadow:
    """Made by `start`, told of answered posts by `look`, ended by `close`."""

    def __init__(self, slot: ModelSlot, share: float, metrics: ShadowMetrics) -> None:
        self.slot = slot
        self._share = share
        self._metrics = metrics
        self._open_posts = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._failing = False

    @classmethod
    async def start(
        cls,
        fingerprint: Callable[[], str],
        read: Callable[[], Predictor],
        fetcher: ImageFetcher,
        settings: Settings,
        metrics: Metrics,
    ) -> Self:
        """Loads and warms the shadow model; the errors of `read` are passed on. `fingerprint` as `ModelSlot` has it."""
        ours = metrics.shadow()
        quieter = settings.model_copy(update={"image_effect": False, "batch_max_wait_s": BATCH_MAX_WAIT_S})
        # its images and its cache are counted nowhere: they would look like the first model's
        load = partial(ServedModel.load, read, fetcher, quieter, Metrics(), partial(_observe, ours))
        slot = ModelSlot("shadow model", fingerprint, load, lambda model: ours.model(*model.description))
        await slot.fill()
        return cls(slot, settings.shadow_share, ours)

    def look(
        self,
        posts: Sequence[Post],
        images: Sequence[PostImage],
        predictions: Sequence[Prediction | Exception],
        image_fingerprint: str | None,
    ) -> None:
        """Takes its sample of posts that were just tagged; returns at once.

        images             as the live model had them
        image_fingerprint  of the encoder that made their embeddings; a shadow with another encoder looks for itself
        """
        sample = [
            _Seen(post, image, prediction)
            for post, image, prediction in zip(posts, images, predictions, strict=True)
            if isinstance(prediction, Prediction) and is_sampled(post.id, self._share)
        ]
        room = max(0, OPEN_POSTS_MAX - self._open_posts)
        self._metrics.posts("dropped", len(sample[room:]))
        if sample := sample[:room]:
            self._open_posts += len(sample)
            task = asyncio.create_task(self._compare(sample, image_fingerprint))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _compare(self, sample: Sequence[_Seen], image_fingerprint: str | None) -> None:
        try:
            predictions = await self._tag(sample, image_fingerprint)
        except Exception as error:  # whatever it is, the live posts are answered
            self._failed(len(sample), error)
        else:
            for seen, prediction in zip(sample, predictions, strict=True):
                if isinstance(prediction, Prediction):
                    self._count(seen.live, prediction)
                else:
                    self._failed(1, prediction)
        finally:
            self._open_posts -= len(sample)

    async def _tag(self, sample: Sequence[_Seen], image_fingerprint: str | None) -> list[Prediction | Exception]:
        posts = [seen.post for seen in sample]
        with self.slot.current.held() as model:
            if model.predictor.image_fingerprint == image_fingerprint:
                return await model.tag(posts, [seen.image for seen in sample])
            found: dict[int, PostImage] = {}
            async for part in model.images_as_ready(dict(enumerate(posts))):
                found |= part
            return await model.tag(posts, [found[number] for number in range(len(posts))])

    def _count(self, live: Prediction, shadow: Prediction) -> None:
        self._metrics.posts("compared", 1)
        found, again = _mentions(live), _mentions(shadow)
        for _, _, entity_type in found & again:
            self._metrics.mention(entity_type, "both")
        for _, _, entity_type in found - again:
            self._metrics.mention(entity_type, "live_only")
        for _, _, entity_type in again - found:
            self._metrics.mention(entity_type, "shadow_only")
        self._failing = False

    def _failed(self, posts: int, error: Exception) -> None:
        self._metrics.posts("failed", posts)
        if not self._failing:  # once, until it works again
            logger.warning("the shadow model failed, live posts are not touched: %s: %s", type(error).__name__, error)
        self._failing = True

    async def close(self) -> None:
        """Drops what is still to be compared and ends the model."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.slot.close()


def is_sampled(post_id: str, share: float) -> bool:
    """Whether a post is in the sample: by its id, so that every worker, and a post that comes again, decides alike."""
    digest = hashlib.sha256(post_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


def _mentions(prediction: Prediction) -> set[tuple[int, int, EntityType]]:
    return {(entity.start, entity.end, cast("EntityType", entity.type)) for entity in prediction.entities}


def _observe(metrics: ShadowMetrics, *, weights: Sequence[int], waited_s: Sequence[float], compute_s: float) -> None:
    metrics.batch_took(compute_s)
