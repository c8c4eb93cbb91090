"""The metrics that every service has, each declared once. A service declares its own in its `metrics.py`. docs/metrics.md
is generated from both.

The number of label values does not grow with the number of tenants: no label names a tenant or a person, except for the
ten tenants of `uplift_tenant_behind_seconds`. Counters that may stay without events for long start at 0, so that a rate
or an alert does not wait for the first event.
"""

import time
from collections import Counter as Tally
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from contracts import Event, type_registry
from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.metrics import MetricWrapperBase
from prometheus_fastapi_instrumentator.metrics import Info
from storage import DocumentStore

disable_created_metrics()

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
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

# The clock door

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
DATABASE_CONNECTIONS_MAX: Final = Gauge(
    "uplift_database_connections_most", "Connections that the pool may open", ["service"]
)
DOCUMENT_SECONDS: Final = Histogram(
    "uplift_document_operation_duration_seconds", "Time of an operation of the document store",
    ["service", "operation"], buckets=_SECONDS,
)  # fmt: skip


def list_metrics() -> list[MetricWrapperBase]:
    """The metrics of this module, in the order of their declaration."""
    return [each for name, each in globals().items() if isinstance(each, MetricWrapperBase) and name.isupper()]


def labels_of(metric: MetricWrapperBase) -> tuple[str, ...]:
    """The names of a metric's labels, in the order of their declaration."""
    return cast(tuple[str, ...], metric._labelnames)  # pyright: ignore[reportPrivateUsage, reportUnknownMemberType]


def observe_request(service: str) -> Callable[[Info], None]:
    """An instrumentation for prometheus-fastapi-instrumentator: counts and times the requests that `service` answers."""

    def observe(info: Info) -> None:
        method = info.method if info.method in _METHODS else OTHER
        HTTP_REQUESTS.labels(service, info.modified_handler, method, info.modified_status).inc()
        HTTP_SECONDS.labels(service, info.modified_handler).observe(info.modified_duration_without_streaming)

    return observe


class ReaderMetrics:
    """The metrics of one reader: a service and a topic."""

    def __init__(self, service: str, topic: str) -> None:
        self._labels = (service, topic)
        self._events = BATCH_EVENTS.labels(service, topic)
        self._seconds = BATCH_SECONDS.labels(service, topic)
        self.retried = EVENTS_RETRIED.labels(service, topic)
        self.buried = EVENTS_BURIED.labels(service, topic)

    def observe_batch(self, types: Sequence[str], began: float) -> None:
        """Counts a committed batch by its events' `types`. `began`: its start, by time.perf_counter."""
        self._seconds.observe(time.perf_counter() - began)
        self._events.observe(len(types))
        for name, count in Tally(types).items():
            EVENTS_HANDLED.labels(*self._labels, _type_label(name)).inc(count)


class PublishedEvent(NamedTuple):
    """An outbox event that the broker has stored. `value`: its JSON; None for a tombstone."""

    topic: str
    type: str
    value: bytes | None


CountPublished = Callable[[Sequence[PublishedEvent]], None]


def count_by_type(counters: Mapping[type[Event], Counter]) -> CountPublished:
    """A function that counts published events with the counter of their type; other types are not counted."""
    by_type = {event_type.type: counter for event_type, counter in counters.items()}

    def count_published(events: Sequence[PublishedEvent]) -> None:
        for name, count in Tally(each.type for each in events).items():
            if counter := by_type.get(name):
                counter.inc(count)

    return count_published


def observe_published(service: str, events: Sequence[PublishedEvent]) -> None:
    """Counts events that the relay of `service` has delivered to the broker."""
    for (topic, name), count in Tally((each.topic, each.type) for each in events).items():
        EVENTS_PUBLISHED.labels(service, topic, _type_label(name)).inc(count)


def _type_label(name: str) -> str:
    """The label of an event type. Unknown types share one label; otherwise a client could create any number of series."""
    return name if name in type_registry else OTHER


def with_metrics(documents: DocumentStore, service: str) -> DocumentStore:
    """The document store, wrapped so that the duration of its operations is observed."""
    return cast(DocumentStore, _TimedDocumentStore(documents, service))


class _TimedDocumentStore:
    """Observes the duration of every operation of a document store."""

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
