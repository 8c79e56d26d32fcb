"""python scripts/load_for_dashboard.py FOLDER --posts FILE.txt [--others FILE.jsonl.xz …] [--photos FOLDER]
    [--shadow CHECKPOINT] [--minutes 15]

A quarter of an hour of a worker's life, as Prometheus saw it, for `scripts/draw_dashboard.py FOLDER`.

Real parts throughout: the embedded broker and Redis, two workers with the shipped model, a Prometheus with the rules of
deploy/prometheus. Posts are those of a CoNLL file in English, and a quarter of them in other languages, at a pace that
swells; some have pictures, of which some are gone, late, not allowed or not pictures at all. A producer breaks and is
mended, more posts come for a while than the workers can answer, and Redis is away for a while.
"""

import argparse
import asyncio
import itertools
import json
import math
import os
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from aiohttp import web
from aiokafka import AIOKafkaProducer
from prometheus_server import PrometheusServer, local_config

from mner_model.data.reader import read_examples
from worker.delivery.topics import make_worker_topics
from worker.demo.embedded import EmbeddedBroker, EmbeddedRedis, free_port
from worker.demo.worker_process import WorkerProcess, worker_environ
from worker.settings import Settings

ROOT = Path(__file__).resolve().parents[1]
WORKERS, PARTITIONS = 2, 4
USUAL_POSTS_PER_S, SURGE_POSTS_PER_S = 30.0, 1000.0
# shares of the whole time
BROKEN_PRODUCER, SURGE, REDIS_AWAY = (0.1, 0.24), (0.45, 0.51), (0.7, 0.88)
HANGING_S = 20.0

Text = tuple[str, str | None]
"""A text, and the language that its post names."""


def main() -> None:
    """Start everything, feed it, and leave Prometheus' data in the folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[3])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--posts", type=Path, required=True, help="a CoNLL file; its words make the texts")
    parser.add_argument("--others", type=Path, nargs="*", default=[], help="texts with spans, which say their language")
    parser.add_argument("--photos", type=Path, default=ROOT / "worker" / "demo" / "sample" / "pictures")
    parser.add_argument("--shadow", type=Path, help="a second checkpoint, to tag a quarter of the posts in the shadow")
    parser.add_argument("--minutes", type=float, default=15.0)
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    texts = _texts(options.posts, options.others)
    # started in this thread, which outlives them
    with EmbeddedBroker(folder) as broker, EmbeddedRedis(folder) as redis:
        asyncio.run(_run(folder, broker, redis, texts, options))


def _texts(posts: Path, others: list[Path]) -> list[Text]:
    """Those of a CoNLL file in English, of which one in five does not say so, and a third as many of the others."""
    mixed: list[Text] = [(one.text, "en" if number % 5 else None) for number, one in enumerate(read_examples(posts))]
    more: list[Text] = [(one.text, one.lang) for path in others for one in read_examples(path)]
    chance = random.Random(5)  # noqa: S311 - for a load that is the same every time
    if more:
        mixed += chance.choices(more, k=len(mixed) // 3)
        chance.shuffle(mixed)
    return mixed


async def _run(
    folder: Path, broker: EmbeddedBroker, redis: EmbeddedRedis, texts: list[Text], options: argparse.Namespace
) -> None:
    photos, duration_s = options.photos, options.minutes * 60
    more = {"OMP_NUM_THREADS": "1", "MNER_IMAGE_TIMEOUT_S": "2"}
    if options.shadow is not None:
        more |= {"MNER_SHADOW_CHECKPOINT": str(options.shadow), "MNER_SHADOW_SHARE": "0.25"}
    async with AsyncExitStack() as stack:
        pictures = await stack.enter_async_context(_picture_server(photos))
        port = int(pictures.rsplit(":", 1)[1])
        ports = [free_port() for _ in range(WORKERS)]
        environs = [
            worker_environ(
                os.environ, bootstrap=broker.bootstrap, redis_url=redis.url, http_port=http_port, pictures_port=port
            )
            | more
            for http_port in ports
        ]
        settings = Settings.load(environs[0])
        await make_worker_topics(settings, partitions=PARTITIONS, replication_factor=1)
        for http_port, environ in zip(ports, environs, strict=True):
            command = (sys.executable, "-m", "worker", "run")
            worker = WorkerProcess(command, environ, http_port, folder / f"worker-{http_port}.log")
            await stack.enter_async_context(worker)
            await worker.wait_until_ready(300, lambda _: None)
        targets = {"mner-worker": [f"127.0.0.1:{http_port}" for http_port in ports]}
        stack.enter_context(PrometheusServer(folder, local_config(targets)))
        producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, linger_ms=5)
        await producer.start()
        stack.push_async_callback(producer.stop)
        began = time.time()
        feeding = asyncio.create_task(_feed(producer, settings.posts_topic, texts, _urls(pictures, photos), duration_s))
        outage = asyncio.create_task(_outage(redis, duration_s))
        await asyncio.gather(feeding, outage)
        span = {"start": began, "end": time.time()}
        (folder / "span.json").write_text(json.dumps(span), encoding="utf-8")
        print(f"fed from {began:.0f} to {span['end']:.0f}", file=sys.stderr)


async def _outage(redis: EmbeddedRedis, duration_s: float) -> None:
    away, back = (share * duration_s for share in REDIS_AWAY)
    await asyncio.sleep(away)
    redis.kill()
    await asyncio.sleep(back - away)
    redis.start()


async def _feed(
    producer: AIOKafkaProducer, topic: str, texts: list[Text], urls: list[tuple[str, float]], duration_s: float
) -> None:
    chance = random.Random(5)  # noqa: S311 - for a load that is the same every time
    addresses, weights = zip(*urls, strict=True)
    began, sent = time.monotonic(), 0.0
    numbers = itertools.count()
    while (at := (time.monotonic() - began) / duration_s) < 1:
        surging = SURGE[0] <= at < SURGE[1]
        usual = USUAL_POSTS_PER_S * (1 + 0.35 * math.sin(at * 14) + 0.1 * math.sin(at * 61))
        sent += (SURGE_POSTS_PER_S if surging else usual) * 0.1
        for number in itertools.islice(numbers, int(sent)):
            text, lang = texts[number % len(texts)]
            post: dict[str, object] = {"id": f"post-{number}", "text": text[:10_000], "lang": lang}
            if chance.random() < 0.4:
                post["image_url"] = chance.choices(addresses, weights)[0]
            broken = 0.3 if BROKEN_PRODUCER[0] <= at < BROKEN_PRODUCER[1] else 0.004
            key, value = _perhaps_broken(post, chance, broken)
            await producer.send(topic, value, key)
        sent -= int(sent)
        await asyncio.sleep(0.1)


def _perhaps_broken(post: dict[str, object], chance: random.Random, share: float) -> tuple[bytes, bytes | None]:
    key = str(post["id"]).encode()
    if chance.random() < 0.01:
        return key, None  # the post is deleted
    if chance.random() >= share:
        return key, json.dumps(post).encode()
    return chance.choice(
        [
            (key, json.dumps(post).encode()[:-2]),
            (key, json.dumps({"id": post["id"], "body": post["text"]}).encode()),
            (b"another", json.dumps(post).encode()),
            (key, b"\xff\xfe" + json.dumps(post).encode()),
        ]
    )


def _urls(pictures: str, photos: Path) -> list[tuple[str, float]]:
    """Addresses of pictures and how often each is in a post: a few are in many, most in hardly any."""
    names = sorted(path.name for path in photos.iterdir() if path.suffix in {".jpg", ".png", ".webp", ".gif"})
    found = [(f"{pictures}/photos/{name}", 1 / (rank + 1)) for rank, name in enumerate(names)]
    together = sum(weight for _, weight in found)
    return [
        *found,
        (f"{pictures}/gone", 0.05 * together),
        (f"{pictures}/hanging", 0.01 * together),
        (f"{pictures}/page", 0.02 * together),
        ("http://169.254.169.254/latest/meta-data", 0.015 * together),
    ]


@asynccontextmanager
async def _picture_server(photos: Path) -> AsyncIterator[str]:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(HANGING_S)
        return web.Response()

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>not a picture</html>", content_type="text/html")

    app = web.Application()
    app.add_routes([web.get("/hanging", hang), web.get("/page", page), web.static("/photos", photos)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    main()
