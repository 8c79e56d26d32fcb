"""Images of a window: found, fetched, decoded, encoded once; each failure costs one image only."""

import asyncio
import base64
import hashlib
import io
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

import numpy as np
import torch
from PIL import Image

from mner_model.posts.image_status import ImageStatus
from worker.errors import ImageRefused
from worker.images.cache import EmbeddingCache
from worker.images.fetch_places import PLACES_PER_HOST
from worker.images.shared_encoding import SharedEncoding
from worker.images.stage import ImageStage, PostImage
from worker.messages.wire import Post, decode_post
from worker.settings import Settings
from worker.tagging.microbatcher import MicroBatcher
from worker.telemetry.metrics import Metrics


def picture(colour: str, side: int = 24) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(buffer, "PNG")
    return buffer.getvalue()


RED, BLUE = picture("red"), picture("blue")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def post(id_: str, *, data: bytes | None = None, url: str | None = None) -> Post:
    fields = {"id": id_, "text": "hi"}
    if data is not None:
        fields["image_data"] = base64.b64encode(data).decode()
    if url is not None:
        fields["image_url"] = url
    return decode_post(None, json.dumps(fields).encode())


class Web:
    """Pictures by URL; counts what was fetched."""

    def __init__(self, pages: dict[str, bytes | ImageRefused | Exception]) -> None:
        self.pages = pages
        self.fetched: list[str] = []

    async def fetch(self, url: str) -> bytes:
        self.fetched.append(url)
        answer = self.pages[url]
        if isinstance(answer, Exception):
            raise answer
        return answer


class Encoder:
    """An embedding is the mean colour; remembers how many images it was given."""

    def __init__(self) -> None:
        self.images = 0
        self.broken = False

    def compute(self, images: Sequence[torch.Tensor]) -> list[np.ndarray]:
        if self.broken:
            raise ValueError("broken")
        self.images += len(images)
        return [image.float().mean(dim=(1, 2)).numpy() / 255 for image in images]


@asynccontextmanager
async def stage(web: Web, encoder: Encoder, max_pixels: int = 10_000) -> AsyncIterator[ImageStage]:
    metrics = Metrics()
    batcher = MicroBatcher[torch.Tensor, np.ndarray](
        encoder.compute,
        weight=lambda image: 1,
        max_items=8,
        max_weight=8,
        max_wait_s=0.0,
        observe=lambda **_: None,
    )
    batcher.start()
    cache = EmbeddingCache(Settings(redis_url=None), "encoder", 3, metrics)
    encoding = SharedEncoding(batcher.submit, cache.put_many)
    images = ImageStage(
        encoding, lambda image: image[:, :8, :8], web, cache, metrics, max_pixels=max_pixels, timeout_s=0.2
    )
    try:
        yield images
    finally:
        images.close()
        await batcher.close()
        await cache.close()


async def embeddings(images: ImageStage, posts: Sequence[Post]) -> list[PostImage]:
    """All of them at the end, in order."""
    found = [part async for part in images.as_ready(dict(enumerate(posts)))]
    together = {number: image for part in found for number, image in part.items()}
    assert len(together) == sum(map(len, found)), "each post is told of once"
    return [together[number] for number in range(len(posts))]


async def test_a_post_without_an_image_is_absent() -> None:
    async with stage(Web({}), Encoder()) as images:
        [result] = await embeddings(images, [post("a")])
    assert (result.report.status, result.embedding) == (ImageStatus.ABSENT, None)


async def test_inline_and_fetched_images_are_used_in_the_order_of_their_posts() -> None:
    web = Web({"https://x.org/b": BLUE})
    posts = [post("a", data=RED), post("b"), post("c", url="https://x.org/b")]
    async with stage(web, Encoder()) as images:
        red, none, blue = await embeddings(images, posts)
    assert red.embedding is not None
    assert blue.embedding is not None
    assert (red.embedding.round().tolist(), none.embedding, blue.embedding.round().tolist()) == (
        [1, 0, 0],
        None,
        [0, 0, 1],
    )
    assert (red.report.digest, blue.report.digest) == (sha256(RED), sha256(BLUE))


async def test_the_same_image_twice_in_a_window_is_encoded_once() -> None:
    encoder = Encoder()
    web = Web({"https://x.org/r": RED})
    posts = [post("a", data=RED), post("b", data=RED), post("c", url="https://x.org/r")]
    async with stage(web, encoder) as images:
        results = await embeddings(images, posts)
    assert encoder.images == 1
    assert [result.report.cached for result in results] == [False, True, True]
    assert {result.report.digest for result in results} == {sha256(RED)}


async def test_the_same_image_later_comes_from_the_cache_and_its_url_is_not_fetched_again() -> None:
    encoder, web = Encoder(), Web({"https://x.org/r": RED})
    async with stage(web, encoder) as images:
        await embeddings(images, [post("a", url="https://x.org/r")])
        [again] = await embeddings(images, [post("b", url="https://x.org/r")])
        [inline] = await embeddings(images, [post("c", data=RED)])
    assert (encoder.images, web.fetched) == (1, ["https://x.org/r"])
    assert (again.report.cached, inline.report.cached) == (True, True)


async def test_windows_at_the_same_time_share_an_encoding() -> None:
    encoder = Encoder()
    async with stage(Web({}), encoder) as images:
        windows = [embeddings(images, [post(name, data=RED)]) for name in "abcd"]
        results = [result for [result] in await asyncio.gather(*windows)]
    assert encoder.images == 1
    assert [result.report.status for result in results] == [ImageStatus.USED] * 4


async def test_each_failure_is_its_own_posts_alone() -> None:
    web = Web(
        {
            "https://x.org/blocked": ImageRefused(ImageStatus.BLOCKED, "a private address"),
            "https://x.org/bug": KeyError("surprise"),
            "https://x.org/ok": BLUE,
        }
    )
    posts = [
        post("a", url="https://x.org/blocked"),
        post("b", url="https://x.org/bug"),
        post("c", data=b"no image at all"),
        post("d", data=picture("red", side=200)),
        post("e", url="https://x.org/ok"),
    ]
    async with stage(web, Encoder()) as images:
        results = await embeddings(images, posts)
    assert [str(result.report.status) for result in results] == [
        "blocked",
        "failed",
        "undecodable",
        "too_large",
        "used",
    ]
    assert all(result.report.reason for result in results[:4])
    assert results[1].report.reason == "unexpected KeyError"


async def test_no_more_bodies_of_a_host_are_in_hand_than_it_has_places_and_who_waits_too_long_is_told() -> None:
    web = Web({f"https://x.org/{i}": RED for i in range(20)} | {"https://y.org/": BLUE})
    stuck, in_hand = asyncio.Event(), 0
    plain = web.fetch

    async def fetch(url: str) -> bytes:
        nonlocal in_hand
        if "x.org" in url:
            in_hand += 1
            await stuck.wait()
        return await plain(url)

    web.fetch = fetch  # type: ignore[method-assign]
    async with stage(web, Encoder()) as images:
        window = asyncio.create_task(embeddings(images, [post(str(i), url=f"https://x.org/{i}") for i in range(20)]))
        [other_host] = await embeddings(images, [post("other", url="https://y.org/")])
        assert other_host.report.status == ImageStatus.USED
        await asyncio.sleep(0.25)
        assert in_hand == PLACES_PER_HOST
        stuck.set()
        results = await window
    statuses = [str(result.report.status) for result in results]
    assert statuses.count("used") == PLACES_PER_HOST
    assert statuses.count("timed_out") == 20 - PLACES_PER_HOST


async def test_an_address_that_many_windows_name_takes_one_place() -> None:
    web = Web({"https://x.org/r": RED})
    stuck, fetched = asyncio.Event(), 0

    async def fetch(url: str) -> bytes:
        nonlocal fetched
        fetched += 1
        await stuck.wait()
        return RED

    web.fetch = fetch  # type: ignore[method-assign]
    async with stage(web, Encoder()) as images:
        windows = [
            asyncio.create_task(embeddings(images, [post(str(i), url="https://x.org/r")]))
            for i in range(2 * PLACES_PER_HOST)
        ]
        await asyncio.sleep(0.25)
        stuck.set()
        results = await asyncio.gather(*windows)
    assert fetched == 1
    assert {str(result.report.status) for [result] in results} == {"used"}


async def test_an_encoder_that_fails_degrades_every_waiting_post_and_the_next_try_is_free() -> None:
    encoder = Encoder()
    encoder.broken = True
    async with stage(Web({}), encoder) as images:
        results = await asyncio.gather(*(embeddings(images, [post(name, data=RED)]) for name in "ab"))
        encoder.broken = False
        [again] = await embeddings(images, [post("c", data=RED)])
    assert [result.report.status for [result] in results] == [ImageStatus.FAILED] * 2
    assert again.report.status == ImageStatus.USED


async def test_an_address_that_answers_late_delays_only_the_posts_that_name_it() -> None:
    web = Web({"https://x.org/fast": BLUE, "https://x.org/late": RED})
    answered, plain = asyncio.Event(), web.fetch

    async def fetch(url: str) -> bytes:
        if url.endswith("late"):
            await answered.wait()
        return await plain(url)

    web.fetch = fetch  # type: ignore[method-assign]
    posts = {
        10: post("a", url="https://x.org/late"),
        11: post("b"),
        12: post("c", url="https://x.org/fast"),
        13: post("d", url="https://x.org/late"),
    }
    async with stage(web, Encoder()) as images, aclosing(images.as_ready(posts)) as parts:
        assert list(await anext(parts)) == [11]
        assert list(await anext(parts)) == [12]
        answered.set()
        late = await anext(parts)
        assert [(number, image.report.cached) for number, image in late.items()] == [(10, False), (13, True)]
        assert await anext(parts, None) is None


async def test_a_window_that_is_given_up_leaves_the_image_to_the_others_and_closing_lets_all_go() -> None:
    web = Web({})
    started, let_go = asyncio.Event(), asyncio.Event()

    async def fetch(url: str) -> bytes:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            let_go.set()
        raise AssertionError

    web.fetch = fetch  # type: ignore[method-assign]
    async with stage(web, Encoder()) as images:
        async with aclosing(images.as_ready({0: post("a", url="https://x.org/r")})) as parts:
            assert await anext(parts) == {}
            await started.wait()
        await asyncio.sleep(0)
        assert not let_go.is_set()
    async with asyncio.timeout(5):
        await let_go.wait()
