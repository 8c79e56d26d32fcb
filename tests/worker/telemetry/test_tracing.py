"""Traces: spans of windows and posts, and what carries a trace on."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from worker.messages.records import Outcome, OutcomeKind, OutgoingMessage
from worker.telemetry import tracing

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CARRIED = (("traceparent", f"00-{TRACE}-{PARENT}-01".encode()), ("tracestate", b"vendor=1"))


@dataclass
class Record:
    headers: tuple[tuple[str, bytes], ...] = ()
    topic: str = "posts"
    partition: int = 3
    offset: int = 7
    timestamp: int = 0
    key: bytes | None = b"p"
    value: bytes | None = b"{}"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    yield exporter
    tracing.use(None)


def outcome(record: Record, kind: OutcomeKind = "tagged", **headers: bytes) -> Outcome:
    messages = tuple(
        OutgoingMessage(topic, b"p", b"", tuple(headers.items())) for topic in ("entities", "entities.per")
    )
    return Outcome(record, messages, kind)


def by_name(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def test_a_post_that_came_with_a_trace_has_a_span_in_it_and_all_its_messages_carry_it_on(
    spans: InMemorySpanExporter,
) -> None:
    record = Record(CARRIED)
    with tracing.window("w1", [record]) as trace:
        [carried] = trace.carried_on([outcome(record)])
        trace.answered([carried])
    span = by_name(spans)["process posts"]
    assert f"{span.context.trace_id:032x}" == TRACE
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == PARENT
    assert span.attributes is not None
    assert (span.attributes["messaging.destination.partition.id"], span.attributes["mner.outcome"]) == ("3", "tagged")
    for message in carried.messages:
        assert dict(message.headers) == {
            "traceparent": f"00-{TRACE}-{span.context.span_id:016x}-01".encode(),
            "tracestate": b"vendor=1",
        }


def test_headers_that_a_message_has_stay_but_for_the_trace_which_is_told_once(spans: InMemorySpanExporter) -> None:
    record = Record(CARRIED)
    with tracing.window("w1", [record]) as trace:
        [carried] = trace.carried_on([outcome(record, "dead", other=b"1", traceparent=CARRIED[0][1])])
        trace.answered([carried])
    names = [name for name, _ in carried.messages[0].headers]
    assert sorted(names) == ["other", "traceparent", "tracestate"]
    span = by_name(spans)["process posts"]
    assert span.status.status_code is StatusCode.ERROR


def test_a_post_without_a_trace_has_no_span_and_its_messages_stay_as_they_are(spans: InMemorySpanExporter) -> None:
    plain, traced = Record(), Record(CARRIED, offset=8)
    outcomes = [outcome(plain), outcome(traced)]
    with tracing.window("w1", [plain, traced]) as trace:
        assert trace.carried_on(outcomes)[0] is outcomes[0]
    assert [span.name for span in spans.get_finished_spans()] == ["process posts", "window"]


def test_the_windows_span_holds_its_stages_and_links_to_its_posts_traces(spans: InMemorySpanExporter) -> None:
    with tracing.window("w1", [Record(CARRIED), Record()]) as trace, tracing.stage("tag"):
        pass
    window, tag, post = (by_name(spans)[name] for name in ("window", "tag", "process posts"))
    assert tag.parent is not None
    assert tag.parent.span_id == window.context.span_id
    assert trace.trace_id == f"{window.context.trace_id:032x}"
    assert window.attributes == {"mner.window": "w1", "messaging.batch.message_count": 2}
    assert [f"{link.context.trace_id:032x}" for link in window.links] == [TRACE]
    assert [link.context.span_id for link in post.links] == [window.context.span_id]


def test_a_post_that_is_never_answered_ends_its_span_and_says_so(spans: InMemorySpanExporter) -> None:
    with pytest.raises(RuntimeError, match="the pipeline"), tracing.window("w1", [Record(CARRIED)]):
        raise RuntimeError("the pipeline broke")
    attributes = by_name(spans)["process posts"].attributes
    assert attributes is not None
    assert attributes["mner.outcome"] == "unanswered"
    assert by_name(spans)["window"].status.status_code is StatusCode.ERROR


@pytest.mark.parametrize("header", [b"", b"nonsense", b"\xff\xfe", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-01"])
def test_a_trace_header_that_makes_no_sense_costs_nothing(spans: InMemorySpanExporter, header: bytes) -> None:
    record = Record((("traceparent", header),))
    with tracing.window("w1", [record]) as trace:
        [carried] = trace.carried_on([outcome(record)])
        trace.answered([carried])
    assert carried.kind == "tagged"
    assert f"{by_name(spans)['process posts'].context.trace_id:032x}" != TRACE


def test_unasked_nothing_is_made_and_outcomes_are_the_very_same() -> None:
    outcomes = [outcome(record := Record(CARRIED))]
    with tracing.window("w1", [record]) as trace, tracing.stage("tag"):
        assert trace.carried_on(outcomes) is outcomes
        trace.answered(outcomes)
    assert trace.trace_id == ""
