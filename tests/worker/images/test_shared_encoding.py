"""Encoded once however often asked for; whoever waits is answered whatever happens to the one that encodes."""

import asyncio
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import torch

from worker.errors import ImageRefused
from worker.images.embedding_codec import Embedding
from worker.images.shared_encoding import SharedEncoding

PIXELS = torch.zeros(3, 2, 2, dtype=torch.uint8)


class Encoder:
    def __init__(self) -> None:
        self.calls: list[int] = []
        self.kept: dict[str, Embedding] = {}
        self.go_on = asyncio.Event()
        self.error: Exception | None = None

    async def encode(self, images: Sequence[torch.Tensor]) -> list[Embedding | Exception]:
        self.calls.append(len(images))
        await self.go_on.wait()
        if self.error is not None:
            raise self.error
        return [np.full(2, i, dtype=np.float32) for i in range(len(images))]

    async def keep(self, embeddings: Mapping[str, Embedding]) -> None:
        self.kept.update(embeddings)


async def test_one_that_is_under_way_is_waited_for_and_not_encoded_again() -> None:
    encoder = Encoder()
    shared = SharedEncoding(encoder.encode, encoder.keep)
    first = asyncio.create_task(shared.embeddings({"a": PIXELS, "b": PIXELS}))
    await asyncio.sleep(0)
    second = asyncio.create_task(shared.embeddings({"b": PIXELS, "c": PIXELS}))
    await asyncio.sleep(0)
    encoder.go_on.set()
    (found, own), (found_too, own_too) = await asyncio.gather(first, second)
    assert encoder.calls == [2, 1]
    assert (own, own_too) == ({"a", "b"}, {"c"})
    assert found["b"] is found_too["b"]
    assert set(encoder.kept) == {"a", "b", "c"}


async def test_who_waits_for_an_encoder_that_stops_is_told_so() -> None:
    encoder = Encoder()
    encoder.error = RuntimeError("CUDA error")
    shared = SharedEncoding(encoder.encode, encoder.keep)
    first = asyncio.create_task(shared.embeddings({"a": PIXELS}))
    await asyncio.sleep(0)
    second = asyncio.create_task(shared.embeddings({"a": PIXELS}))
    await asyncio.sleep(0)
    encoder.go_on.set()
    with pytest.raises(RuntimeError, match="CUDA error"):
        await first
    found, own = await second
    assert isinstance(found["a"], ImageRefused)
    assert own == set()


async def test_nothing_asked_is_nothing_encoded() -> None:
    encoder = Encoder()
    assert await SharedEncoding(encoder.encode, encoder.keep).embeddings({}) == ({}, set())
    assert encoder.calls == []


@pytest.mark.parametrize("bad", [np.nan, np.inf])
async def test_numbers_that_are_not_finite_cost_the_image_and_not_the_post(bad: float) -> None:
    encoder = Encoder()
    encoder.go_on.set()

    async def encode(images: Sequence[torch.Tensor]) -> list[Embedding | Exception]:
        vectors = await encoder.encode(images)
        return [np.array([0, bad], dtype=np.float32), *vectors[1:]]

    found, _ = await SharedEncoding(encode, encoder.keep).embeddings({"a": PIXELS, "b": PIXELS})
    assert isinstance(refused := found["a"], ImageRefused)
    assert (refused.status, refused.reason) == ("failed", "encoder: numbers that are not finite")
    assert set(encoder.kept) == {"b"}
