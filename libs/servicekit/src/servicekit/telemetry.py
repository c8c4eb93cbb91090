"""Traces: one trace covers a request, the outbox, the broker, the handlers and every event that follows from it.

An event carries its span context in the CloudEvents extension `traceparent`, from the outbox row on, so that it does not
depend on the broker or the relay. A message that is handled alone continues its event's trace. A batch has many parents:
its span has links to them, and an event emitted because of one of its events continues that event's trace.

The broker's client is not instrumented: it would create three spans per record and knows only its own hop.
"""

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
from contracts import Attributes
from fastapi import FastAPI
from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.instrumentation.pymongo import PymongoInstrumentor
from opentelemetry.instrumentation.sqlalchemy.engine import EngineTracer  # pyright: ignore[reportMissingTypeStubs]
from opentelemetry.metrics import NoOpUpDownCounter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sqlalchemy.ext.asyncio import AsyncEngine

_MAX_LINKS = 1000
_propagator = TraceContextTextMapPropagator()


class Tracing:
    """Creates the spans of one service, and sends them to `processor`."""

    def __init__(self, service: str, processor: SpanProcessor) -> None:
        self.provider = TracerProvider(
            resource=Resource.create({SERVICE_NAME: f"uplift-{service}"}), span_limits=SpanLimits(max_links=_MAX_LINKS)
        )
        self.provider.sampler = _WithoutHousekeeping(self.provider.sampler)
        self.provider.add_span_processor(processor)
        self._tracer = self.provider.get_tracer("uplift")

    def instrument_engine(self, engine: AsyncEngine) -> None:
        """Creates a span for each SQL statement of the engine, without its parameters."""
        tracer = self.provider.get_tracer("uplift.database")
        EngineTracer(tracer, engine.sync_engine, NoOpUpDownCounter("connections"))

    def instrument_app(self, app: FastAPI) -> None:
        """Creates a span for each request of the application."""
        FastAPIInstrumentor.instrument_app(app, tracer_provider=self.provider, exclude_spans=["receive", "send"])

    def inject_context(self, attributes: Attributes, cause: Attributes | None) -> Attributes:
        """The attributes of a new event with its `traceparent`. `cause`: the event that it follows from, whose trace it
        continues."""
        current = trace.get_current_span().get_span_context()
        parent, links = context.get_current(), list[Link]()
        origin = _span_context_of(cause)
        if origin is not None and origin.trace_id != current.trace_id:
            parent, links = _context_at(origin), [Link(current)] if current.is_valid else []
        span = self._tracer.start_span(
            f"create {attributes.type}", parent, SpanKind.PRODUCER, _span_attributes(attributes), links
        )
        span.end()
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, trace.set_span_in_context(span, Context()))
        return replace(attributes, **carrier)

    @contextmanager
    def start_batch_span(self, topic: str, events: Sequence[Attributes]) -> Generator[None]:
        """A span for the handling of a batch of a topic, with links to the events' traces."""
        attributes = {"messaging.destination.name": topic, "messaging.batch.message_count": len(events)}
        links = _links(_span_context_of(each) for each in events)
        with self._tracer.start_as_current_span(f"process {topic}", Context(), SpanKind.CONSUMER, attributes, links):
            yield

    @contextmanager
    def start_message_span(self, event: Attributes) -> Generator[None]:
        """A span for the handling of one message, in its event's trace; none when the event has no trace."""
        origin = _span_context_of(event)
        if origin is None:
            yield
            return
        batch = trace.get_current_span().get_span_context()
        with self._tracer.start_as_current_span(
            f"process {event.type}", _context_at(origin), SpanKind.CONSUMER, _span_attributes(event), [Link(batch)]
        ):
            yield

    @contextmanager
    def start_publish_span(self, headers: Iterable[dict[str, str]]) -> Generator[None]:
        """A span for publishing outbox rows to the broker, with links to the events' traces."""
        contexts = [_parse_span_context(each.get("ce_traceparent"), each.get("ce_tracestate")) for each in headers]
        attributes = {"messaging.batch.message_count": len(contexts)}
        with self._tracer.start_as_current_span("publish", Context(), SpanKind.PRODUCER, attributes, _links(contexts)):
            yield

    @contextmanager
    def start_due_item_span(self, kind: str) -> Generator[None]:
        """A span for the handling of a due item."""
        with self._tracer.start_as_current_span(f"due {kind}", Context(), SpanKind.INTERNAL):
            yield

    def close(self) -> None:
        """Exports the remaining spans."""
        self.provider.shutdown()


@contextmanager
def export_traces(services: Sequence[str], http: httpx.AsyncClient) -> Generator[dict[str, Tracing]]:
    """Service → tracing, exported until the end of the block to the collector that the environment configures. Also traces
    requests of `http`, and MongoDB clients that are created in the block. If there are several services, these spans
    belong to the service name `uplift-shared`."""
    found = {name: _create_exporting_tracing(name) for name in services}
    shared = found[services[0]] if len(services) == 1 else _create_exporting_tracing("shared")
    HTTPXClientInstrumentor.instrument_client(http, tracer_provider=shared.provider)
    mongodb = PymongoInstrumentor()
    mongodb.instrument(tracer_provider=shared.provider)
    try:
        yield found
    finally:
        mongodb.uninstrument()
        for tracing in {shared, *found.values()}:
            tracing.close()


def _create_exporting_tracing(service: str) -> Tracing:
    return Tracing(service, BatchSpanProcessor(OTLPSpanExporter()))


def _span_context_of(event: Attributes | None) -> SpanContext | None:
    return _parse_span_context(event.traceparent, event.tracestate) if event else None


def _parse_span_context(traceparent: str | None, tracestate: str | None) -> SpanContext | None:
    if traceparent is None:
        return None
    carrier = {"traceparent": traceparent, "tracestate": tracestate or ""}
    found = trace.get_current_span(_propagator.extract(carrier, Context())).get_span_context()
    return found if found.is_valid else None


def _context_at(span: SpanContext) -> Context:
    return trace.set_span_in_context(NonRecordingSpan(span), Context())


def _links(spans: Iterable[SpanContext | None]) -> list[Link]:
    """One link per trace: a file of calls is one request, so all its events are in one trace."""
    first = {span.trace_id: span for span in reversed(list(spans)) if span is not None}
    return [Link(span) for span in first.values()]


def _span_attributes(event: Attributes) -> dict[str, str]:
    return {"cloudevents.event_id": str(event.id), "cloudevents.event_type": event.type, "uplift.tenant": event.tenant}


class _WithoutHousekeeping(Sampler):
    """Drops spans of statements outside of any request, event or due item, such as a relay's polling or a health check."""

    def __init__(self, inner: Sampler) -> None:
        self._inner = inner

    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        *rest: Any,
        **named: Any,
    ) -> SamplingResult:
        """Drops client spans without a parent; leaves the others to the inner sampler."""
        if kind == SpanKind.CLIENT and not trace.get_current_span(parent_context).get_span_context().is_valid:
            return SamplingResult(Decision.DROP)
        return self._inner.should_sample(parent_context, trace_id, name, kind, *rest, **named)

    def get_description(self) -> str:
        """The sampler's name."""
        return f"WithoutHousekeeping({self._inner.get_description()})"
