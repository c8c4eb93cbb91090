"""Every metric of the platform, declared once. docs/metrics.md is made from this page.

A tenant, a person or anything else that grows with the customers is never a label: figures of one customer are asked of
the database. What may be absent for long begins at 0, so that a rate or an alert never waits for a first event.
"""

import re
import time
from collections import Counter as Tally
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, cast

from contracts import type_registry
from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.metrics import MetricWrapperBase
from prometheus_fastapi_instrumentator.metrics import Info
from pydantic_core import from_json
from storage import DocumentStore

disable_created_metrics()

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
VERDICTS = ("accepted", "corrected", "unchanged", "held", "rejected")
OTHER = "other"

# The HTTP door

HTTP_REQUESTS: Final = Counter(
    "uplift_http_requests", "Requests answered, by route below the service's prefix, and class of status (2xx …)",
    ["service", "route", "method", "status"],
)  # fmt: skip
HTTP_SECONDS: Final = Histogram(
    "uplift_http_request_duration_seconds", "Time until the answer begins", ["service", "route"], buckets=_SECONDS
)

# The event door

EVENTS_HANDLED: Final = Counter(
    "uplift_events_handled", "Events in: handled and committed", ["service", "topic", "type"]
)
EVENTS_RETRIED: Final = Counter(
    "uplift_events_retried", "Events whose batch was rolled back and is handled again", ["service", "topic"]
)
EVENTS_BURIED: Final = Counter("uplift_events_buried", "Events filed as dead letters", ["service", "topic"])
BATCH_EVENTS: Final = Histogram(
    "uplift_batch_events", "Events in a batch", ["service", "topic"], buckets=(1, 2, 5, 10, 25, 50, 100, 250, 500, 1000)
)
BATCH_SECONDS: Final = Histogram(
    "uplift_batch_duration_seconds", "Time of a batch from its first statement to its commit", ["service", "topic"],
    buckets=_SECONDS,
)  # fmt: skip
LAG_MESSAGES: Final = Gauge(
    "uplift_consumer_lag_messages", "Messages a reader has not handled yet", ["service", "topic"]
)
LAG_SECONDS: Final = Gauge(
    "uplift_consumer_lag_seconds", "Age of the oldest message a reader stands at", ["service", "topic"]
)
CONSUMER_STOPPED: Final = Gauge(
    "uplift_consumer_stopped", "1 when a reader gave up and needs a person", ["service", "topic"]
)
CONSUMER_RETRYING: Final = Gauge(
    "uplift_consumer_retrying", "1 while a reader waits to try something again", ["service", "topic"]
)

# The outbox and its relay

EVENTS_PUBLISHED: Final = Counter(
    "uplift_events_published", "Events out: handed to the broker and durable there", ["service", "topic", "type"]
)
RELAY_FAILURES: Final = Counter(
    "uplift_relay_failures", "Passes of the relay that failed and are repeated", ["service"]
)
OUTBOX_EVENTS: Final = Gauge("uplift_outbox_events", "Events committed and not published yet", ["service"])
OUTBOX_AGE: Final = Gauge(
    "uplift_outbox_age_seconds", "How long the oldest event of the outbox has been waiting", ["service"]
)

TENANT_BEHIND: Final = Gauge(
    "uplift_tenant_behind_seconds",
    "How long the oldest event of a tenant waits in the outbox, of the ten that are furthest behind",
    ["service", "tenant"],
)

# The time door

DUE_ITEMS: Final = Counter(
    "uplift_due_items", "Due items by what became of them: handled, or failed and postponed",
    ["service", "kind", "outcome"],
)  # fmt: skip
CLOCK_LATE: Final = Gauge("uplift_clock_late_seconds", "How long the oldest due item has been due", ["service"])

# The process

READY: Final = Gauge("uplift_ready", "1 when the process is ready, as /readyz says")
LOOP_LAG: Final = Histogram(
    "uplift_event_loop_lag_seconds", "How late the event loop wakes a sleeper: what every request waits at least",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)  # fmt: skip
DATABASE_CONNECTIONS: Final = Gauge(
    "uplift_database_connections", "Connections of the pool, in_use and idle", ["service", "state"]
)
DATABASE_CONNECTIONS_MOST: Final = Gauge(
    "uplift_database_connections_most", "Connections that the pool may open", ["service"]
)
DOCUMENT_SECONDS: Final = Histogram(
    "uplift_document_operation_duration_seconds", "Time of an operation of the document store",
    ["service", "operation"], buckets=_SECONDS,
)  # fmt: skip

# What Uplift is for

RECORDS: Final = Counter("uplift_records", "Records judged, by verdict; one that was held counts again", ["verdict"])
CALL_SECONDS: Final = Counter(
    "uplift_call_seconds",
    "Conversation, and silence in it, of live legs whose silence is known; a leg that is corrected counts again",
    ["part"],
)
BANDS: Final = Counter("uplift_bands", "Bands entered, left and corrected", ["change"])
ASSIGNMENTS: Final = Counter(
    "uplift_assignments", "Assignments: assigned, started, completed, overdue, withdrawn", ["change"]
)
POINTS: Final = Counter("uplift_points", "Points granted and reversed", ["change"])
NOTICES: Final = Counter("uplift_notices", "Notices written to people's inboxes")

_counters_by_type = {
    **{f"band.{each}": BANDS.labels(each) for each in ("entered", "left", "corrected")},
    **{
        f"assignment.{each}": ASSIGNMENTS.labels(each)
        for each in ("assigned", "started", "completed", "overdue", "withdrawn")
    },
}
_points = {f"points.{each}": POINTS.labels(each) for each in ("granted", "reversed")}
_conversation, _silence = CALL_SECONDS.labels("conversation"), CALL_SECONDS.labels("silence")
for _verdict in VERDICTS:
    RECORDS.labels(_verdict)


def list_metrics() -> list[MetricWrapperBase]:
    """All metrics of this page, in its order."""
    return [each for name, each in globals().items() if isinstance(each, MetricWrapperBase) and name.isupper()]


def labels_of(metric: MetricWrapperBase) -> tuple[str, ...]:
    return cast(tuple[str, ...], metric._labelnames)  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType]


def observe_request(service: str) -> Callable[[Info], None]:
    """For prometheus-fastapi-instrumentator: counts and times what `service` answers."""

    def observe(info: Info) -> None:
        method = info.method if info.method in _METHODS else OTHER
        HTTP_REQUESTS.labels(service, info.modified_handler, method, info.modified_status).inc()
        HTTP_SECONDS.labels(service, info.modified_handler).observe(info.modified_duration_without_streaming)

    return observe


class ReaderMetrics:
    """The figures of one reader: a service and a topic."""

    def __init__(self, service: str, topic: str) -> None:
        self._place = (service, topic)
        self._events = BATCH_EVENTS.labels(service, topic)
        self._seconds = BATCH_SECONDS.labels(service, topic)
        self.retried = EVENTS_RETRIED.labels(service, topic)
        self.buried = EVENTS_BURIED.labels(service, topic)

    def observe_batch(self, types: Sequence[str], began: float) -> None:
        """`began`: by time.perf_counter."""
        self._seconds.observe(time.perf_counter() - began)
        self._events.observe(len(types))
        for name, count in Tally(types).items():
            EVENTS_HANDLED.labels(*self._place, _type_label(name)).inc(count)


def count_verdicts(verdicts: Sequence[str]) -> None:
    for verdict, count in Tally(verdicts).items():
        RECORDS.labels(verdict).inc(count)


def count_published(service: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Counts rows of an outbox that were delivered, and what they say was done."""
    for (topic, name), count in Tally((row["topic"], row["headers"]["ce_type"]) for row in rows).items():
        EVENTS_PUBLISHED.labels(service, topic, _type_label(name)).inc(count)
        if counter := _counters_by_type.get(name):
            counter.inc(count)
    for row in rows:
        name = row["headers"]["ce_type"]
        if name in _points and row["value"]:
            _points[name].inc(abs(from_json(row["value"])["points"]))
        elif row["topic"] == "legs" and row["value"]:
            _count_silence(row["value"])


# Two numbers of forty fields, of every leg there is: decoding it all would take ten times as long. Neither a text within
# the leg nor an attribute, which is a text too, can look like this.
_silence_of = re.compile(rb'"silence_vendor_ms":(\d+)').search
_conversation_of = re.compile(rb'"conversation_ms":(\d+)').search


def _count_silence(leg: bytes) -> None:
    silence, conversation = _silence_of(leg), _conversation_of(leg)
    if silence and conversation and b'"void":true' not in leg:
        _conversation.inc(int(conversation[1]) / 1000)
        _silence.inc(int(silence[1]) / 1000)


def _type_label(name: str) -> str:
    """A type of event as a label: what others make up must not become time series."""
    return name if name in type_registry else OTHER


def with_metrics(documents: DocumentStore, service: str) -> DocumentStore:
    """The same store; how long its operations take is told."""
    return cast(DocumentStore, _Measured(documents, service))


class _Measured:
    def __init__(self, documents: DocumentStore, service: str) -> None:
        self._documents = documents
        self._service = service

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        operation = getattr(self._documents, name)
        seconds = DOCUMENT_SECONDS.labels(self._service, name)

        async def timed(*arguments: Any, **named: Any) -> Any:
            with seconds.time():
                return await operation(*arguments, **named)

        self.__dict__[name] = timed
        return timed
