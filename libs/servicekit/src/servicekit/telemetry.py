"""Traces: one from a request through outbox, broker and handlers to the last event that follows from it.

An event carries the place it was made at as the CloudEvents extension `traceparent`, from the outbox row on, so that it
is the same whatever broker carries it and whoever relays it. A message that is handled alone goes on with its event's
trace. A batch has many parents: its span has links to them, and what is emitted because of one of its events goes on
with that event's trace.

The broker's client is not instrumented: it would span every record three times and knows only its own hop.
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

_MOST_LINKS = 1000
_propagator = TraceContextTextMapPropagator()


class Tracing:
    """The spans of one service."""

    def __init__(self, service: str, processor: SpanProcessor) -> None:
        self.provider = TracerProvider(
            resource=Resource.create({SERVICE_NAME: f"uplift-{service}"}), span_limits=SpanLimits(max_links=_MOST_LINKS)
        )
        self.provider.sampler = _WithoutHousekeeping(self.provider.sampler)
        self.provider.add_span_processor(processor)
        self._tracer = self.provider.get_tracer("uplift")

    def instrument_engine(self, engine: AsyncEngine) -> None:
        """Statements become spans, without their parameters."""
        tracer = self.provider.get_tracer("uplift.database")
        EngineTracer(tracer, engine.sync_engine, NoOpUpDownCounter("connections"))

    def instrument_app(self, app: FastAPI) -> None:
        FastAPIInstrumentor.instrument_app(app, tracer_provider=self.provider, exclude_spans=["receive", "send"])

    def inject_context(self, attributes: Attributes, cause: Attributes | None) -> Attributes:
        """The attributes of a new event, with the place it was made at."""
        here = trace.get_current_span().get_span_context()
        parent, links = context.get_current(), list[Link]()
        origin = _span_context_of(cause)
        if origin is not None and origin.trace_id != here.trace_id:
            parent, links = _context_at(origin), [Link(here)] if here.is_valid else []
        span = self._tracer.start_span(
            f"create {attributes.type}", parent, SpanKind.PRODUCER, _described(attributes), links
        )
        span.end()
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, trace.set_span_in_context(span, Context()))
        return replace(attributes, **carrier)

    @contextmanager
    def start_batch_span(self, topic: str, events: Sequence[Attributes]) -> Generator[None]:
        """While a batch of a topic is handled."""
        described = {"messaging.destination.name": topic, "messaging.batch.message_count": len(events)}
        links = _links(_span_context_of(each) for each in events)
        with self._tracer.start_as_current_span(f"process {topic}", Context(), SpanKind.CONSUMER, described, links):
            yield

    @contextmanager
    def start_message_span(self, event: Attributes) -> Generator[None]:
        """While a message is handled alone, as a part of its own trace."""
        origin = _span_context_of(event)
        if origin is None:
            yield
            return
        batch = trace.get_current_span().get_span_context()
        with self._tracer.start_as_current_span(
            f"process {event.type}", _context_at(origin), SpanKind.CONSUMER, _described(event), [Link(batch)]
        ):
            yield

    @contextmanager
    def start_publish_span(self, headers: Iterable[dict[str, str]]) -> Generator[None]:
        """While rows of the outbox are handed to the broker."""
        places = [_place(each.get("ce_traceparent"), each.get("ce_tracestate")) for each in headers]
        described = {"messaging.batch.message_count": len(places)}
        with self._tracer.start_as_current_span("publish", Context(), SpanKind.PRODUCER, described, _links(places)):
            yield

    @contextmanager
    def start_due_item_span(self, kind: str) -> Generator[None]:
        with self._tracer.start_as_current_span(f"due {kind}", Context(), SpanKind.INTERNAL):
            yield

    def close(self) -> None:
        """Sends what is left."""
        self.provider.shutdown()


@contextmanager
def export_traces(services: Sequence[str], http: httpx.AsyncClient) -> Generator[dict[str, Tracing]]:
    """Tracing by service, exported to the collector that the environment names until the end of the block. Requests of
    `http`, and clients of MongoDB that are made in the block, are traced with it; what several services share is told
    under the name of none of them."""
    found = {name: _exported(name) for name in services}
    shared = found[services[0]] if len(services) == 1 else _exported("shared")
    HTTPXClientInstrumentor.instrument_client(http, tracer_provider=shared.provider)
    mongodb = PymongoInstrumentor()
    mongodb.instrument(tracer_provider=shared.provider)
    try:
        yield found
    finally:
        mongodb.uninstrument()
        for tracing in {shared, *found.values()}:
            tracing.close()


def _exported(service: str) -> Tracing:
    return Tracing(service, BatchSpanProcessor(OTLPSpanExporter()))


def _span_context_of(event: Attributes | None) -> SpanContext | None:
    return _place(event.traceparent, event.tracestate) if event else None


def _place(traceparent: str | None, tracestate: str | None) -> SpanContext | None:
    if traceparent is None:
        return None
    carrier = {"traceparent": traceparent, "tracestate": tracestate or ""}
    found = trace.get_current_span(_propagator.extract(carrier, Context())).get_span_context()
    return found if found.is_valid else None


def _context_at(place: SpanContext) -> Context:
    return trace.set_span_in_context(NonRecordingSpan(place), Context())


def _links(places: Iterable[SpanContext | None]) -> list[Link]:
    """One a trace: a file of calls is one request, and one link says so."""
    first = {place.trace_id: place for place in reversed(list(places)) if place is not None}
    return [Link(place) for place in first.values()]


def _described(event: Attributes) -> dict[str, str]:
    return {"cloudevents.event_id": str(event.id), "cloudevents.event_type": event.type, "uplift.tenant": event.tenant}


class _WithoutHousekeeping(Sampler):
    """A statement that no request, event or due item asked for (a relay that looks, a health check) is no trace."""

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
        if kind == SpanKind.CLIENT and not trace.get_current_span(parent_context).get_span_context().is_valid:
            return SamplingResult(Decision.DROP)
        return self._inner.should_sample(parent_context, trace_id, name, kind, *rest, **named)

    def get_description(self) -> str:
        return f"WithoutHousekeeping({self._inner.get_description()})"
