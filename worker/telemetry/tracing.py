"""OpenTelemetry traces, where the settings ask for them: a span a window, and one a post that came with a trace.

The only home of opentelemetry, which is an optional extra; without it, or unasked, everything here does nothing. What
is sampled and where it goes is said in OpenTelemetry's own OTEL_ variables.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from worker.messages.records import ConsumedRecord, Outcome

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span, Tracer

SERVICE_NAME = "mner-worker"
FLUSH_TIMEOUT_S = 3.0
# W3C Trace Context, as OpenTelemetry puts it into Kafka's headers
TRACE_HEADERS = frozenset({"traceparent", "tracestate"})

_provider: "TracerProvider | None" = None
_tracer: "Tracer | None" = None


def configure() -> None:
    """Trace from here on, and send by OTLP over HTTP; needs the extra."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME as SERVICE_NAME_KEY
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    # what the environment says comes last, and counts
    provider = TracerProvider(
        resource=Resource.create({SERVICE_NAME_KEY: SERVICE_NAME}).merge(OTELResourceDetector().detect())
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    use(provider)


def use(provider: "TracerProvider | None") -> None:
    """Trace with this provider from here on; None: no more."""
    global _provider, _tracer  # noqa: PLW0603 - a process has one, as it has one logging
    _provider = provider
    _tracer = None if provider is None else provider.get_tracer("worker")


def flush() -> None:
    """Sends what is still held, for a bounded time; a collector that is away must not hold the worker up."""
    if _provider is not None:
        _provider.force_flush(int(FLUSH_TIMEOUT_S * 1_000))


def stage(name: str) -> AbstractContextManager[object]:
    """A span of part of the window under way: `with tracing.stage("tag"): …`."""
    return nullcontext() if _tracer is None else _tracer.start_as_current_span(name)


class WindowTrace:
    """The spans of one window: its own, and one for each of its posts that came with a trace."""

    def __init__(self, span: "Span | None" = None, posts: Mapping[int, "Span"] | None = None) -> None:
        self._span = span
        self._posts = posts or {}
        """By the identity of their record."""

    @property
    def trace_id(self) -> str:
        """In hexadecimal, as log lines and tracing systems write it; empty without a trace."""
        return "" if self._span is None else f"{self._span.get_span_context().trace_id:032x}"

    def carried_on(self, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        """The outcomes; the messages of those whose post came with a trace carry it on."""
        return [self._carried_on(outcome) for outcome in outcomes] if self._posts else outcomes

    def _carried_on(self, outcome: Outcome) -> Outcome:
        span = self._posts.get(id(outcome.record))
        if span is None:
            return outcome
        from opentelemetry import propagate, trace

        carrier: dict[str, str] = {}
        propagate.inject(carrier, trace.set_span_in_context(span))
        ours = tuple((name, value.encode()) for name, value in carrier.items())
        messages = (
            replace(message, headers=(*(pair for pair in message.headers if pair[0] not in carrier), *ours))
            for message in outcome.messages
        )
        return replace(outcome, messages=tuple(messages))

    def answered(self, answers: Iterable[Outcome]) -> None:
        """The broker has these answers: their posts' spans end here."""
        if not self._posts:
            return
        from opentelemetry.trace import Status, StatusCode

        for answer in answers:
            if (span := self._posts.get(id(answer.record))) is not None:
                span.set_attribute("mner.outcome", answer.kind)
                if answer.kind == "dead":
                    span.set_status(Status(StatusCode.ERROR, "became a dead letter"))
                span.end()

    def end(self) -> None:
        """Ends the spans of posts that were never answered; they come again."""
        for span in self._posts.values():
            if span.is_recording():
                span.set_attribute("mner.outcome", "unanswered")
                span.end()


@contextmanager
def window(window_id: str, records: Sequence[ConsumedRecord]) -> Iterator[WindowTrace]:
    """Traces one window while it is open; what `stage` makes meanwhile in this task is within it."""
    if _tracer is None:
        yield WindowTrace()
        return
    from opentelemetry import propagate, trace

    contexts = {id(record): propagate.extract(_carrier(record)) for record in records if _has_trace(record)}
    parents = [trace.get_current_span(context).get_span_context() for context in contexts.values()]
    links = [trace.Link(parent) for parent in parents]
    attributes: dict[str, Any] = {"mner.window": window_id, "messaging.batch.message_count": len(records)}
    with _tracer.start_as_current_span("window", links=links, attributes=attributes) as span:
        within = [trace.Link(span.get_span_context())]
        posts = {
            id(record): _tracer.start_span(
                f"process {record.topic}",
                contexts[id(record)],
                kind=trace.SpanKind.CONSUMER,
                links=within,
                attributes=_attributes(record),
            )
            for record in records
            if id(record) in contexts
        }
        traced = WindowTrace(span, posts)
        try:
            yield traced
        finally:
            traced.end()


def _has_trace(record: ConsumedRecord) -> bool:
    return any(name == "traceparent" for name, _ in record.headers)


def _carrier(record: ConsumedRecord) -> dict[str, str]:
    return {name: value.decode("ascii", "replace") for name, value in record.headers if name in TRACE_HEADERS and value}


def _attributes(record: ConsumedRecord) -> dict[str, Any]:
    """OpenTelemetry's semantic conventions for messaging; no texts."""
    return {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": record.topic,
        "messaging.destination.partition.id": str(record.partition),
        "messaging.kafka.offset": record.offset,
    }
