"""A worker without a model, for tests of the demo: tags every capital word as a place, in a fraction of a second.

A text tells it to misbehave: "keep quiet" is never answered, "fall over" ends the process with status 70.
"""

import asyncio
import json
import os
import re
import signal
from datetime import UTC, datetime

from aiohttp import web
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from worker.errors import Rejected
from worker.messages.wire import (
    Entity,
    EntityRecord,
    ImageReport,
    ImageStatus,
    ModelReport,
    Post,
    dead_letter,
    decode_post,
    record_message,
)
from worker.settings import Settings

PAGE = """# TYPE mner_images_encoded_total counter
mner_images_encoded_total 3.0
mner_cache_requests_total{tier="process",result="hit"} 5.0
mner_cache_requests_total{tier="redis",result="miss"} 3.0
mner_post_latency_seconds_bucket{le="0.1"} 10.0
mner_post_latency_seconds_bucket{le="+Inf"} 10.0
"""


def tagged(post: Post) -> EntityRecord:
    now = datetime.now(UTC)
    spans = re.finditer(r"\b[A-Z]\w+", post.text)
    entities = tuple(
        Entity(
            id=f"{at}",
            type="LOC",
            text=word[0],
            start=word.start(),
            end=word.end(),
            confidence=0.9,
            modality_weights={},
        )
        for at, word in enumerate(spans)
    )
    return EntityRecord(
        post_id=post.id,
        text=post.text,
        entities=entities,
        image=ImageReport(status=ImageStatus.ABSENT),
        model=ModelReport(name="stand-in", fingerprint="0" * 64),
        created_at=now,
        tagged_at=now,
    )


async def answer(settings: Settings, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer) -> None:
    async for record in consumer:
        try:
            post = decode_post(record.key, record.value)
        except Rejected as why:
            topic, now = settings.dead_topic, datetime.now(UTC)
            message = dead_letter(record, why.reason, why.detail, topic=topic, attempts=1, failed_at=now)
            await producer.send_and_wait(message.topic, message.value, message.key, headers=list(message.headers))
            continue
        if post.text == "fall over":
            print("the model is broken", flush=True)
            os._exit(70)
        if post.text != "keep quiet":
            message = record_message(tagged(post), settings.entities_topic)
            await producer.send_and_wait(message.topic, message.value, message.key)


async def serve(settings: Settings) -> None:
    app = web.Application()
    ready = json.dumps({"ready": True, "why_not": []})
    app.router.add_get("/ready", lambda _: asyncio.sleep(0, web.Response(text=ready)))
    app.router.add_get("/metrics", lambda _: asyncio.sleep(0, web.Response(text=PAGE)))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, settings.http_host, settings.http_port).start()


async def main() -> None:
    settings = Settings.load()
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    bootstrap = list(settings.brokers)
    async with (
        AIOKafkaConsumer(settings.posts_topic, bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer,
        AIOKafkaProducer(bootstrap_servers=bootstrap) as producer,
    ):
        answering = asyncio.create_task(answer(settings, consumer, producer))
        await serve(settings)
        await stopped.wait()
        answering.cancel()


if __name__ == "__main__":
    asyncio.run(main())
