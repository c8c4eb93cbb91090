"""One trace from a request through outbox and broker to what other services do about it."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import httpx
import pytest
from contracts import TOPICS, Attributes
from contracts.directory import PLATFORM_TENANT, Login
from contracts.legs import LegRecorded
from contracts.scores import ScoreChanged
from identity.actions import ensure_platform
from identity.service import service as identity
from kpi_engine.service import service as kpi_engine
from messaging.broker import Message, TopicPartition
from messaging.consumer import OffsetStep
from opentelemetry.instrumentation.pymongo import PymongoInstrumentor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from servicekit import ReceivedEvent, Subscription
from servicekit.event_door import EventDoor
from servicekit.run import Process, create_broker, instrument_service, root_app, run_services
from servicekit.telemetry import Tracing, export_traces
from servicekit.wiring import LOG_TABLE_MIGRATIONS, migrate_schema
from storage import Document, Session
from storage.mongo import MongoDocumentStore
from testkit import ISSUER, Cluster, Harness, TestIssuer, wait_until_true
from training.service import service as training

from tests.observability.collector import Collector, SpanRecord, run_collector


@asynccontextmanager
async def running(
    cluster: Cluster, issuer: TestIssuer, kafka: str | None
) -> AsyncIterator[tuple[Process, httpx.AsyncClient]]:
    """identity and training in one process, with a client of the platform's admin."""
    with cluster.database([identity, training]) as database:
        settings = cluster.settings(database, kafka_bootstrap_servers=kafka, kafka_replication_factor=1)
        if kafka is None:
            migrate_schema(LOG_TABLE_MIGRATIONS, settings)
        else:
            async with create_broker(settings) as broker:
                await broker.declare(list(TOPICS.values()))
        async with run_services([identity, training], settings) as process:
            for each in process.services:
                each.context.verifier = issuer.verifier()
            sessions = process.services[0].context.sessions
            async with sessions.begin([PLATFORM_TENANT], now=datetime.now(UTC)) as session:
                await ensure_platform(session, login=Login(iss=ISSUER, sub="root"))
            headers = {"authorization": f"Bearer {issuer.token('root', PLATFORM_TENANT)}"}
            transport = httpx.ASGITransport(root_app(process))
            async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers) as client:
                yield process, client


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with run_collector() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        yield found


@pytest.mark.parametrize("broker", ["log-table", "kafka"])
async def test_one_trace_from_a_request_to_another_service(
    broker: str, request: pytest.FixtureRequest, cluster: Cluster, issuer: TestIssuer, collector: Collector
) -> None:
    kafka = request.getfixturevalue("kafka") if broker == "kafka" else None
    async with running(cluster, issuer, kafka) as (process, client):

        async def known_here() -> bool:
            answer = await client.get("/api/identity/v1/tenants")
            return answer.status_code == 200

        await wait_until_true(known_here, seconds=60)
        answer = await client.post("/api/identity/v1/tenants", json={"slug": "acme", "name": "Acme"})
        assert answer.is_success, answer.text

        async def arrived() -> bool:
            async with process.services[1].context.sessions.begin(["acme"], now=datetime.now(UTC)) as session:
                return await session.scalar("SELECT count(*) FROM directory_tenant") == 1

        await wait_until_true(arrived, seconds=60)

    posted = _one(collector, "POST /tenants", "uplift-identity")
    made = [each for each in collector.named("create tenant.changed") if each.trace == posted.trace]
    assert [each.parent for each in made] == [posted.id]
    handled = [
        each for each in collector.named("process tenant.changed", "uplift-training") if each.trace == posted.trace
    ]
    assert [each.parent for each in handled] == [made[0].id], "the reader goes on with the event's trace"
    assert handled[0].kind == "CONSUMER"
    assert handled[0].attributes["uplift.tenant"] == "acme"
    statements = [each for each in collector.children(handled[0]) if each.kind == "CLIENT"]
    assert statements, "what the handler asked of the database stands below it"
    assert {each.service for each in statements} == {"uplift-training"}
    assert any(each.kind == "CLIENT" for each in collector.children(posted)), "and what the request asked"

    for name, service in (("publish", "uplift-identity"), ("process directory", "uplift-training")):
        linked = [each for each in collector.named(name, service) if posted.trace in each.links]
        assert len(linked) == 1, f"{name}: a batch has links to the traces of its events"
        assert linked[0].trace != posted.trace
    roots = [each for each in collector.spans if not each.parent]
    assert {each.kind for each in roots} <= {"SERVER", "PRODUCER", "CONSUMER", "INTERNAL"}, "housekeeping is no trace"


def _one(collector: Collector, name: str, service: str) -> SpanRecord:
    found = collector.named(name, service)
    assert len(found) == 1, sorted({each.name for each in collector.spans if each.service == service})
    return found[0]


async def test_what_follows_from_a_batch_goes_on_with_the_trace_of_its_cause(
    harness_for: Callable[..., Awaitable[Harness]],
) -> None:
    made = await harness_for(kpi_engine)
    exporter = InMemorySpanExporter()
    tracing = Tracing("kpi-engine", SimpleSpanProcessor(exporter))
    instrument_service(made.running, tracing)
    heard: list[ReceivedEvent[LegRecorded]] = []

    async def handle(session: Session, events: list[ReceivedEvent[LegRecorded]]) -> None:
        heard.extend(events)
        await session.set_tenants(["acme"])
        for each in events:
            session.emit(ScoreChanged.model_validate(ScoreChanged.example), cause=each.attributes)

    door = EventDoor(made.context.sessions, Subscription("legs", batch=handle))
    door.tracing = tracing
    messages = [_leg(offset, f"{offset + 1:032x}") for offset in range(3)]
    await door.apply(
        messages,
        [
            OffsetStep(
                "kpi-engine",
                TopicPartition("legs", 0),
                await door.load_next_offset("kpi-engine", TopicPartition("legs", 0)),
                3,
            )
        ],
    )

    spans = {each.name: each for each in exporter.get_finished_spans()}
    batch = spans["process legs"]
    assert batch.context is not None
    assert batch.parent is None
    assert sorted(link.context.trace_id for link in batch.links) == [1, 2, 3]
    followed = [each for each in exporter.get_finished_spans() if each.name == "create score.changed"]
    assert [each.context.trace_id for each in followed if each.context] == [1, 2, 3]
    assert all(each.parent is not None and each.parent.span_id == 7 for each in followed)
    assert all([link.context.span_id for link in each.links] == [batch.context.span_id] for each in followed)
    emitted = [attributes for attributes, _ in await made.read_outbox()]
    assert [each.traceparent and each.traceparent.split("-")[1] for each in emitted] == [
        f"{number:032x}" for number in (1, 2, 3)
    ]
    tracing.close()


def _leg(offset: int, trace_id: str) -> Message:
    attributes = Attributes.create("leg.recorded", source="ingest", tenant="acme", time=datetime.now(UTC))
    headers = attributes.to_headers() | {"ce_traceparent": f"00-{trace_id}-{7:016x}-01"}
    body = LegRecorded.model_validate(LegRecorded.example).model_dump_json().encode()
    return Message("legs", 0, offset, "acme|a", body, headers, attributes.time)


@pytest.mark.parametrize("mongodb_url", ["mongodb"], indirect=True)
async def test_what_the_document_store_is_asked_stands_below_the_request(
    mongodb_url: str, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It keeps the first tracer of a process for ever, which here is another test's.
    monkeypatch.setattr(PymongoInstrumentor(), "_commandtracer_instance", None)
    async with httpx.AsyncClient() as http:
        with export_traces(["ingest"], http) as tracings:
            documents = MongoDocumentStore(mongodb_url, "ingest")
            await documents.put("acme", "raw", [Document("1", {"a": 1})])
            with tracings["ingest"].provider.get_tracer("test").start_as_current_span("request", kind=SpanKind.SERVER):
                await documents.put("acme", "raw", [Document("2", {"a": 2})])
            await documents.close()
    asked = collector.children(_one(collector, "request", "uplift-ingest"))
    assert asked
    assert {each.attributes["db.system"] for each in asked} == {"mongodb"}
    assert all(each.name == "request" or each.parent for each in collector.spans), "the first was nobody's request"


def test_the_place_in_a_trace_travels_as_the_extension_of_cloudevents() -> None:
    attributes = Attributes.create("leg.recorded", source="ingest", tenant="acme", time=datetime.now(UTC))
    assert "ce_traceparent" not in attributes.to_headers()
    headers = attributes.to_headers() | {"ce_traceparent": f"00-{1:032x}-{2:016x}-01", "ce_tracestate": "a=1"}
    assert Attributes.from_headers(headers).to_headers() == headers


async def test_without_a_collector_tracing_costs_nothing_to_speak_of(
    harness_for: Callable[..., Awaitable[Harness]],
) -> None:
    """What an event passes when traces are off: two dictionary look-ups on the way in, one comparison on the way out."""
    made = await harness_for(kpi_engine)
    attributes = Attributes.create("leg.recorded", source="ingest", tenant="acme", time=datetime.now(UTC))
    headers = attributes.to_headers()
    async with made.context.sessions.begin(["acme"], now=datetime.now(UTC)) as session:
        assert session.inject_trace_context is None
        began = time.process_time()
        for _ in range(20_000):
            if session.inject_trace_context is not None:
                raise AssertionError
            headers.get("ce_traceparent")
            headers.get("ce_tracestate")
        each = (time.process_time() - began) / 20_000
    print(f"tracing off: {each * 1e6:.2f} µs an event")
    assert each < 2e-6
