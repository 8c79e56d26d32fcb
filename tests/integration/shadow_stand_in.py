"""The shadow's metrics, exposed by a stand-in that counts on at every scrape, until the worker has a shadow itself."""

from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder


@asynccontextmanager
async def shadow_stand_in(port):
    registry = CollectorRegistry()
    posts = Counter("mner_shadow_posts_total", "stand-in", ["outcome"], registry=registry)
    mentions = Counter("mner_shadow_mentions_total", "stand-in", ["type", "verdict"], registry=registry)
    batches = Histogram("mner_shadow_batch_seconds", "stand-in", registry=registry)
    Gauge("mner_shadow_model_info", "stand-in", ["name", "fingerprint", "device"], registry=registry).labels(
        "stand-in", "0" * 64, "cpu"
    ).set(1)

    async def page(request):
        for outcome in ("compared", "dropped", "failed"):
            posts.labels(outcome).inc(outcome == "compared")
        for entity_type in ("PER", "LOC", "ORG", "MISC"):
            for verdict in ("both", "live_only", "shadow_only"):
                mentions.labels(entity_type, verdict).inc()
        batches.observe(0.02)
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    app = web.Application()
    app.add_routes([web.get("/metrics", page)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()
