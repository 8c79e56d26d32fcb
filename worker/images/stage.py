"""Posts in, image embeddings out: from the cache, or fetched, decoded and encoded; a failure degrades one post.

The bytes of an image live only from its arrival to its decoding; what is kept and handed on is the encoder's input
(a small square), the digest and the embedding.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from yarl import URL

from mner_model.imaging.decoding import ImageTooLarge, ImageUndecodable, Pixels, decode
from mner_model.posts.image_status import ImageStatus
from worker.errors import ImageRefused
from worker.images.embedding_codec import Embedding
from worker.images.fetch_places import FetchPlaces
from worker.images.shared_encoding import SharedEncoding
from worker.messages.wire import ImageReport, Post
from worker.telemetry import tracing
from worker.telemetry.metrics import Metrics

_DECODE_THREADS = 2
# An image that is there waits this long for others to share the encoder's call, and what follows, with it.
_SHARED_WAIT_S = 0.02


class Fetcher(Protocol):
    """Where the bytes behind a URL come from."""

    async def fetch(self, url: str) -> bytes:
        """The image's bytes; raises ImageRefused."""


class Cache(Protocol):
    """What is known of images seen before; a cache that is away knows nothing and never raises."""

    async def get_many(self, digests: Iterable[str]) -> Mapping[str, Embedding]: ...  # noqa: D102
    async def get_digests(self, urls: Iterable[str]) -> Mapping[str, str]: ...  # noqa: D102
    async def put_digests(self, digests: Mapping[str, str]) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class PostImage:
    """What a post's image came to: the report for its record, and the embedding if it can be used."""

    report: ImageReport
    embedding: Embedding | None = None


NO_IMAGE = PostImage(ImageReport(status=ImageStatus.ABSENT))


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a post's image is; two posts with the same image inline, or the same URL, have equal sources."""

    url: str | None
    digest: str | None = None  # of the bytes, for an image inline


@dataclass(frozen=True, slots=True)
class _Decoded:
    """The encoder's input, uint8 [3, size, size], and the digest of the bytes that it was."""

    digest: str
    pixels: Pixels


class ImageStage:
    """All images of a window at once: one look-up in the cache, distinct images only, one write."""

    def __init__(
        self,
        encoding: SharedEncoding,
        preprocess: Callable[[Pixels], Pixels],
        fetcher: Fetcher,
        cache: Cache,
        metrics: Metrics,
        *,
        max_pixels: int,
        timeout_s: float,
    ) -> None:
        """Made from these, among others:

        preprocess  cuts a decoded image, uint8 [3, height, width], to the encoder's input; safe in any thread
        timeout_s   how long an image waits for a place to be fetched at, before the fetcher's own deadline
        """
        self._encoding = encoding
        self._preprocess = preprocess
        self._fetcher = fetcher
        self._cache = cache
        self._metrics = metrics
        self._max_pixels = max_pixels
        self._places = FetchPlaces(timeout_s)
        self._loading: dict[str, asyncio.Task[_Decoded]] = {}
        self._threads = ThreadPoolExecutor(_DECODE_THREADS, thread_name_prefix="decode")

    async def as_ready(self, posts: Mapping[int, Post]) -> AsyncGenerator[dict[int, PostImage], None]:
        """What each post's image comes to, under the post's own number, in parts as they are known.

        The first part comes at once, empty perhaps: posts without an image or with one that is known. An address that
        answers late delays only the posts that name it. Raises nothing but Fatal: an image that fails says so in its
        report.
        """
        sources = dict(zip(posts, await asyncio.gather(*map(self._source, posts.values())), strict=True))
        inline = {source: image for number, source in sources.items() if source and (image := posts[number].image_data)}
        distinct = [source for source in dict.fromkeys(sources.values()) if source is not None]
        found = await self._cached(distinct)
        loading = {
            asyncio.create_task(self._decoded_or_refused(source, inline.get(source))): source
            for source in distinct
            if source not in found
        }
        try:
            yield {number: NO_IMAGE for number, source in sources.items() if source is None} | _by_post(sources, found)
            while loading:
                await asyncio.wait(loading, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.sleep(_SHARED_WAIT_S)
                decoded = {loading.pop(task): task.result() for task in list(loading) if task.done()}
                await self._remember_digests(decoded)
                yield _by_post(sources, await self._encode(decoded))
        finally:
            for task in loading:
                task.cancel()

    @property
    def is_crowded(self) -> bool:
        """Whether so many images wait to be fetched that no further posts should come."""
        return self._places.is_crowded

    def close(self) -> None:
        """Lets what is being loaded and the decoding threads go."""
        for task in self._loading.values():
            task.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _source(self, post: Post) -> _Source | None:
        if post.image_data is not None:
            digest = await asyncio.get_running_loop().run_in_executor(self._threads, _digest, post.image_data)
            return _Source(None, digest)
        return None if post.image_url is None else _Source(post.image_url)

    async def _cached(self, sources: Sequence[_Source]) -> dict[_Source, PostImage]:
        """Those whose image is known by its bytes, or by a URL that was fetched not long ago, and was encoded."""
        urls = [source.url for source in sources if source.url is not None]
        with self._metrics.stage("cache"), tracing.stage("image cache"):
            led_to = await self._cache.get_digests(urls) if urls else {}
            digests = {
                source: digest for source in sources if (digest := source.digest or led_to.get(source.url or ""))
            }
            embeddings = await self._cache.get_many(digests.values()) if digests else {}
        return {
            source: _used(digest, embeddings[digest], cached=True)
            for source, digest in digests.items()
            if digest in embeddings
        }

    async def _decoded_or_refused(self, source: _Source, data: bytes | None) -> _Decoded | ImageRefused:
        try:
            if data is not None:
                return await self._decode(data, source.digest)
            return await self._load(source.url or "")
        except ImageRefused as refused:
            return refused
        except ImageTooLarge as error:
            return ImageRefused(ImageStatus.TOO_LARGE, error.reason)
        except ImageUndecodable as error:
            return ImageRefused(ImageStatus.UNDECODABLE, error.reason)
        except Exception as error:  # an image of a stranger must not stop the stream, whatever it found to break
            return ImageRefused(ImageStatus.FAILED, f"unexpected {type(error).__name__}")

    async def _load(self, url: str) -> _Decoded:
        """The image behind a URL, loaded once for all windows that ask for it meanwhile."""
        task = self._loading.get(url)
        if task is None:
            task = self._loading[url] = asyncio.create_task(self._fetch_and_decode(url))
            task.add_done_callback(partial(self._loaded, url))
        # Shielded: a window that is given up must not take the image from the others.
        return await asyncio.shield(task)

    def _loaded(self, url: str, task: asyncio.Task[_Decoded]) -> None:
        del self._loading[url]
        if not task.cancelled():
            task.exception()  # seen, even when everybody who waited has gone

    async def _fetch_and_decode(self, url: str) -> _Decoded:
        """Holds its place until the bytes are gone, so that fetching never runs far ahead of decoding."""
        async with self._places.at(_host(url)):
            with self._metrics.stage("fetch"), tracing.stage("image fetch"):
                data = await self._fetcher.fetch(url)
            return await self._decode(data, None)

    async def _decode(self, data: bytes, digest: str | None) -> _Decoded:
        with self._metrics.stage("decode"), tracing.stage("image decode"):
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, self._decode_bytes, data, digest)

    def _decode_bytes(self, data: bytes, digest: str | None) -> _Decoded:
        return _Decoded(digest or _digest(data), self._preprocess(decode(data, max_pixels=self._max_pixels)))

    async def _remember_digests(self, decoded: Mapping[_Source, _Decoded | ImageRefused]) -> None:
        led_to = {source.url: image.digest for source, image in decoded.items() if isinstance(image, _Decoded)}
        fetched = {url: digest for url, digest in led_to.items() if url is not None}
        if fetched:
            await self._cache.put_digests(fetched)

    async def _encode(self, decoded: Mapping[_Source, _Decoded | ImageRefused]) -> dict[_Source, PostImage]:
        images = {image.digest: image.pixels for image in decoded.values() if isinstance(image, _Decoded)}
        # what a URL led to may be known after all, inline or from another URL
        known = await self._cache.get_many(images) if any(source.url for source in decoded) and images else {}
        missing = {digest: pixels for digest, pixels in images.items() if digest not in known}
        encoded, fresh = await self._encoding.embeddings(missing)
        self._metrics.images_encoded(sum(not isinstance(encoded[digest], ImageRefused) for digest in fresh))
        encoded.update(known)
        results = {}
        for source, image in decoded.items():
            if isinstance(image, ImageRefused):
                results[source] = _refused(image)
            elif isinstance(vector := encoded[image.digest], ImageRefused):
                results[source] = _refused(vector)
            else:
                results[source] = _used(image.digest, vector, cached=image.digest not in fresh)
        return results


def _by_post(sources: Mapping[int, _Source | None], found: Mapping[_Source, PostImage]) -> dict[int, PostImage]:
    """One result a post whose source is found; the second post with an image that was new found it at hand."""
    images, new = {}, set[str]()
    for number, source in sources.items():
        if source is None or source not in found:
            continue
        image = found[source]
        digest = image.report.digest
        if digest is not None and image.report.cached is False:
            if digest in new:
                image = _used(digest, image.embedding, cached=True)
            new.add(digest)
        images[number] = image
    return images


def _host(url: str) -> str:
    try:
        return URL(url).raw_host or ""
    except ValueError:
        return ""  # the fetcher will refuse it


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _used(digest: str, embedding: Embedding | None, *, cached: bool) -> PostImage:
    return PostImage(ImageReport(status=ImageStatus.USED, digest=digest, cached=cached), embedding)


def _refused(refused: ImageRefused) -> PostImage:
    return PostImage(ImageReport(status=refused.status, reason=refused.reason))
