"""Each image encoded once, however many posts of however many windows ask for it at the same time."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import numpy as np

from mner_model.imaging.decoding import Pixels
from mner_model.posts.image_status import ImageStatus
from worker.errors import ImageRefused
from worker.images.embedding_codec import Embedding

Encoded = dict[str, Embedding | ImageRefused]


class SharedEncoding:
    """Digest → embedding for images at hand; one that is being encoded already is waited for.

    encode  gives one embedding or error an image, in order, such as `MicroBatcher.submit`
    keep    is told of every new embedding, by digest, such as `EmbeddingCache.put_many`
    """

    def __init__(
        self,
        encode: Callable[[Sequence[Pixels]], Awaitable[Sequence[Embedding | Exception]]],
        keep: Callable[[Mapping[str, Embedding]], Awaitable[None]],
    ) -> None:
        self._encode = encode
        self._keep = keep
        self._under_way: dict[str, asyncio.Future[Embedding | ImageRefused]] = {}

    async def embeddings(self, images: Mapping[str, Pixels]) -> tuple[Encoded, set[str]]:
        """Embeddings or refusals of images by digest, and the digests that this call encoded itself."""
        others = {digest: self._under_way[digest] for digest in images if digest in self._under_way}
        own = {digest: pixels for digest, pixels in images.items() if digest not in others}
        encoded = await self._encode_own(own) if own else {}
        for digest, future in others.items():
            encoded[digest] = await asyncio.shield(future)
        return encoded, set(own)

    async def _encode_own(self, images: Mapping[str, Pixels]) -> Encoded:
        loop = asyncio.get_running_loop()
        futures = {digest: loop.create_future() for digest in images}
        self._under_way.update(futures)
        encoded: Encoded = {}
        stopped = ImageRefused(ImageStatus.FAILED, "the encoder stopped")
        try:
            vectors = await self._encode(list(images.values()))
            encoded = {digest: _checked(vector) for digest, vector in zip(images, vectors, strict=True)}
            await self._keep({d: vector for d, vector in encoded.items() if not isinstance(vector, ImageRefused)})
        finally:
            for digest, future in futures.items():
                del self._under_way[digest]
                # an error that ends the worker, or its end: who waits here is told the image failed
                future.set_result(encoded.get(digest, stopped))
        return encoded


def _checked(vector: Embedding | Exception) -> Embedding | ImageRefused:
    if isinstance(vector, Exception):
        return ImageRefused(ImageStatus.FAILED, f"encoder: {type(vector).__name__}")
    if not np.isfinite(vector).all():  # the tagger would refuse it, and the post be lost with it
        return ImageRefused(ImageStatus.FAILED, "encoder: numbers that are not finite")
    return vector
