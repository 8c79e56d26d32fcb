"""A worker's traces at a collector and its log, on a real broker with the real model."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiokafka import AIOKafkaConsumer
from lab import until
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from worker.demo.embedded import free_port

pytestmark = pytest.mark.integration

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CARRIED = [("traceparent", f"00-{TRACE}-{PARENT}-01".encode())]
SECRET = "Zanzibarquux"


class Collector:
    """Takes OTLP over HTTP, as any collector does."""

    def __init__(self) -> None:
        self.port = free_port()
        self.spans: list[Span] = []
        self.services: set[str] = set()

    async def take(self, request: web.Request) -> web.Response:
        exported = ExportTraceServiceRequest.FromString(await request.read())
        for resource in exported.resource_spans:
            self.services |= {a.value.string_value for a in resource.resource.attributes if a.key == "service.name"}
            self.spans += [span for scope in resource.scope_spans for span in scope.spans]
        return web.Response(content_type="application/x-protobuf")

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    collector = Collector()
    app = web.Application()
    app.add_routes([web.post("/v1/traces", collector.take)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", collector.port).start()
    yield collector
    await runner.cleanup()


async def headers_of(lab, topic: str, key: bytes) -> dict[str, bytes]:
    """Of the first message with this key."""
    async with AIOKafkaConsumer(topic, bootstrap_servers=lab.bootstrap, auto_offset_reset="earliest") as consumer:
        async with asyncio.timeout(30):
            async for record in consumer:
                if record.key == key:
                    return dict(record.headers)
    raise AssertionError("unreachable")


async def test_a_trace_goes_through_the_worker_and_its_log_says_much_and_no_text(
    make_lab, embedded_bootstrap, collector
):
    lab = await make_lab(embedded_bootstrap).open()
    worker = lab.start_worker(
        with_model=True,
        MNER_LOG_LEVEL="DEBUG",
        MNER_LOG_FORMAT="json",
        MNER_TRACES="true",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector.port}",
        OTEL_BSP_SCHEDULE_DELAY="200",
    )
    good = json.dumps({"id": "good", "text": f"Ann {SECRET} lives in Berlin"}).encode()
    plain = json.dumps({"id": "plain", "text": SECRET}).encode()
    bad = json.dumps({"id": "bad", "text": [SECRET]}).encode()
    for key, value, headers in (
        (b"good", good, CARRIED),
        (b"bad", bad, CARRIED),
        (b"plain", plain, []),
    ):
        await lab.producer.send_and_wait(lab.posts_topic, value, key, headers=headers)
    lab.posts += ["good", "bad", "plain"]
    await lab.until_all_answered()
    answers = {
        name: await headers_of(lab, topic, name)
        for topic, name in ((lab.entities_topic, b"good"), (lab.dead_topic, b"bad"))
    }
    await until(lambda: len(collector.named(f"process {lab.posts_topic}")) == 2, "both posts' spans", explain=lab.logs)
    worker.terminate()
    assert await worker.exit_status() == 0

    posts = collector.named(f"process {lab.posts_topic}")
    assert {(span.trace_id.hex(), span.parent_span_id.hex()) for span in posts} == {(TRACE, PARENT)}
    ours = {f"00-{TRACE}-{span.span_id.hex()}-01".encode() for span in posts}
    assert {headers["traceparent"] for headers in answers.values()} == ours
    windows = {span.span_id for span in collector.named("window")}
    for stage in ("decode", "tag", "publish"):
        assert {span.parent_span_id for span in collector.named(stage)} <= windows
        assert collector.named(stage)
    assert collector.services == {"mner-worker"}

    lines = [json.loads(line) for line in worker.log.splitlines()]
    told = [line for line in lines if line["message"].startswith("window of")]
    assert sum(line["posts"] for line in told) == 3
    assert sum(line.get("tagged", 0) for line in told) == 2
    assert {line["trace"] for line in told} == {span.trace_id.hex() for span in collector.named("window")}
    assert SECRET not in worker.log
    assert not any(SECRET in str(span) for span in collector.spans)
