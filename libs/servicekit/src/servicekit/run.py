"""Runs any number of services in one process, in the roles `api` (HTTP) and `work` (events, relay, clock)."""

import asyncio
import gc
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    nullcontext,
)
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
from contracts import TOPICS
from fastapi import FastAPI
from fastapi.responses import JSONResponse, Response
from messaging.broker import Broker, Outgoing
from messaging.consumer import ConsumerStatus, consume
from messaging.log_table import LogTableBroker
from messaging.relay import Relay
from messaging.retry import is_transient, wait_for_any
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_fastapi_instrumentator import Instrumentator
from sqlalchemy import text
from storage import listen
from storage.engine import DATABASE_OVERFLOW
from storage.outbox import OutboxRow

from servicekit import logs, metrics
from servicekit.budget import run_with_budget
from servicekit.service_definition import Service, ServiceContext
from servicekit.settings import PlatformSettings, TelemetrySettings
from servicekit.tokens import TokenVerifier
from servicekit.wiring import RunningService, bare_app, build_service, create_service_app

if TYPE_CHECKING:
    from servicekit.telemetry import Tracing

log = logging.getLogger("uplift.run")

ALL_ROLES = frozenset({"api", "work"})
_RETENTION_SECONDS = 600
_RESTART_SECONDS = 5
_MAX_TENANTS_SHOWN = 10
_UNKNOWN = float("nan")

_LOOP_PROBE_SECONDS = 0.25


@dataclass
class Process:
    """The services of this process, and what they share. `consumers`: (service, topic) → status of the reader."""

    settings: PlatformSettings
    roles: frozenset[str]
    broker: Broker
    stopping: asyncio.Event
    services: list[RunningService]
    consumers: dict[tuple[str, str], ConsumerStatus] = field(default_factory=dict[tuple[str, str], ConsumerStatus])
    tracings: "dict[str, Tracing]" = field(default_factory=dict[str, Any])
    """Service → its tracing; empty when traces are off."""

    async def lag(self) -> dict[str, dict[str, int]]:
        """Service → events that wait in its outbox, and messages that wait in each topic. When all are 0, nothing is in
        progress. A process without the role `work` reports the outbox only."""
        found: dict[str, dict[str, int]] = {}
        for each in self.services:
            found[each.service.name] = {"outbox": await each.outbox.count_waiting()}
            if "work" in self.roles:
                found[each.service.name] |= await self._count_lag_by_topic(each)
        return found

    async def _count_lag_by_topic(self, running: RunningService) -> dict[str, int]:
        """Topic → messages that the service has not handled."""
        topics = dict.fromkeys(running.doors, 0)
        for partition, count in (await self.broker.lag(running.service.name)).items():
            topics[partition.topic] = topics.get(partition.topic, 0) + count
        return topics

    async def find_readiness_problems(self) -> list[str]:
        """Why this process is not ready; empty when it is."""
        found = ["it is stopping"] if self.stopping.is_set() else []
        for each in self.services:
            try:
                async with each.context.sessions.system_transaction() as connection:
                    await connection.execute(text("SELECT 1"))
            except Exception as error:  # any error is a reason not to be ready
                found.append(f"{each.service.name}: the database does not answer ({type(error).__name__})")
        found.extend(
            f"{service}: the reader of {topic} has stopped: {status.error}"
            for (service, topic), status in self.consumers.items()
            if status.error
        )
        return found

    async def update_gauges(self) -> None:
        """Updates the gauges for /metrics. A gauge that cannot be measured is set to NaN, so that no alert evaluates an old
        value."""
        metrics.READY.set(int(not await self.find_readiness_problems()))
        metrics.TENANT_BEHIND.clear()
        for each in self.services:
            name = each.service.name
            pool: Any = each.context.sessions.engine.pool
            metrics.DATABASE_CONNECTIONS.labels(name, "in_use").set(pool.checkedout())
            metrics.DATABASE_CONNECTIONS.labels(name, "idle").set(pool.checkedin())
            metrics.DATABASE_CONNECTIONS_MAX.labels(name).set(pool.size() + DATABASE_OVERFLOW)
            try:
                waiting, age = await each.outbox.count_waiting(), await each.outbox.oldest_written_at()
                late = await each.clock.late_seconds()
                for tenant, seconds in (await each.outbox.find_slowest_tenants(_MAX_TENANTS_SHOWN)).items():
                    metrics.TENANT_BEHIND.labels(name, tenant).set(seconds)
            except Exception:  # the database is unavailable, which READY shows
                waiting, age, late = _UNKNOWN, None, _UNKNOWN
            metrics.OUTBOX_EVENTS.labels(name).set(waiting)
            metrics.OUTBOX_AGE.labels(name).set((datetime.now(UTC) - age).total_seconds() if age else min(waiting, 0))
            if "work" in self.roles:
                metrics.CLOCK_LATE.labels(name).set(late)
                await self._measure_readers(each)

    async def _measure_readers(self, running: RunningService) -> None:
        name = running.service.name
        try:
            behind: dict[str, float] = {**await self._count_lag_by_topic(running)}
        except Exception:  # the broker is unavailable
            behind = dict.fromkeys(running.doors, _UNKNOWN)
        for topic, count in behind.items():
            metrics.LAG_MESSAGES.labels(name, topic).set(count)
        for (service, topic), status in self.consumers.items():
            if service == name:
                metrics.LAG_SECONDS.labels(name, topic).set(status.lag_seconds(datetime.now(UTC)))
                metrics.CONSUMER_STOPPED.labels(name, topic).set(int(status.error is not None))
                metrics.CONSUMER_RETRYING.labels(name, topic).set(int(status.last_transient_error is not None))


def root_app(process: Process) -> FastAPI:
    """Health and metrics, and with the role `api` all services under their prefixes."""
    app = bare_app()
    app.state.process = process
    for running in process.services if "api" in process.roles else ():
        name = running.service.name
        served = create_service_app(running)
        Instrumentator().add(metrics.observe_request(name)).instrument(served)
        if name in process.tracings:
            process.tracings[name].instrument_app(served)
        app.mount(running.service.prefix, served)

    @app.get("/healthz")
    async def healthz() -> dict[str, str]:  # pyright: ignore[reportUnusedFunction]
        return {"status": "alive"}

    @app.get("/readyz")
    async def readyz() -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        problems = await process.find_readiness_problems()
        return JSONResponse({"ready": not problems, "problems": problems}, 503 if problems else 200)

    @app.get("/lag")
    async def lag() -> JSONResponse:  # pyright: ignore[reportUnusedFunction]
        try:
            return JSONResponse(await process.lag())
        except Exception as error:
            if not is_transient(error):
                raise
            return JSONResponse({"detail": f"It cannot be told now: {type(error).__name__}."}, 503)

    @app.get("/metrics")
    async def get_metrics() -> Response:  # pyright: ignore[reportUnusedFunction]
        await process.update_gauges()
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return app


def create_broker(settings: PlatformSettings) -> AbstractAsyncContextManager[Broker]:
    """The broker of the settings: Kafka if its servers are configured, else the log table in PostgreSQL. Raises ValueError if
    Kafka's security settings are incomplete, OSError if the CA file cannot be read."""
    if settings.kafka_bootstrap_servers:
        from messaging.kafka import KafkaBroker, KafkaSecurity  # imported only if used: its client is slow to load

        password = settings.kafka_password
        return KafkaBroker(
            settings.kafka_bootstrap_servers,
            partitions=settings.partitions,
            replication_factor=settings.kafka_replication_factor,
            session_seconds=settings.kafka_session_seconds,
            security=KafkaSecurity(
                protocol=settings.kafka_security_protocol,
                mechanism=settings.kafka_sasl_mechanism,
                username=settings.kafka_username,
                password=password.get_secret_value() if password else None,
                ca_file=settings.kafka_ca_file,
            ),
        )
    return LogTableBroker(build_broker_dsn(settings), partitions=settings.partitions)


def reduce_garbage_collection() -> None:
    """Tunes the garbage collector after start-up. Objects that exist now live as long as the process, so they are frozen:
    collecting them again and again took a fifth of a busy loop. A collection stops everything for about 0.3 µs per
    object; the thresholds bound it to 20,000 new objects, and 100,000 that survived one collection."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 5, 200)


@asynccontextmanager
async def run_services(
    services: Sequence[Service], settings: PlatformSettings, *, roles: frozenset[str] = ALL_ROLES
) -> AsyncGenerator[Process]:
    """Builds the services on a migrated database. With the role `work`, also consumes events, relays the outboxes and runs
    due items until the block ends, and then finishes what is in progress."""
    stopping = asyncio.Event()
    async with AsyncExitStack() as stack:
        logs.log_unhandled_task_errors(asyncio.get_running_loop())
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=10))
        tracings = stack.enter_context(_export_traces(services, http))
        broker = await stack.enter_async_context(create_broker(settings))
        if isinstance(broker, LogTableBroker):
            await broker.declare(list(TOPICS.values()))
        verifier = TokenVerifier(
            http,
            issuer=settings.issuer,
            audience=settings.audience,
            jwks_url=settings.jwks_url,
            issuer_name=settings.issuer_name,
        )
        wired = [build_service(each, settings, http=http, verifier=verifier, stopping=stopping) for each in services]
        process = Process(settings, roles, broker, stopping, wired, tracings=tracings)
        for running in wired:
            if running.service.name in tracings:
                instrument_service(running, tracings[running.service.name])
            stack.push_async_callback(running.context.sessions.engine.dispose)
            stack.push_async_callback(running.context.documents.close)
        reduce_garbage_collection()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_measure_loop_lag(stopping))
            listener = None
            if "work" in roles:
                for job in _create_worker_tasks(process):
                    tasks.create_task(job)
                if isinstance(broker, LogTableBroker):
                    tasks.create_task(_run_log_retention(broker, stopping))
                if "api" not in roles:
                    listener = tasks.create_task(_wake_relays_on_notify(process))
            try:
                yield process
            finally:
                stopping.set()
                if listener:
                    listener.cancel()


def _export_traces(
    services: Sequence[Service], http: httpx.AsyncClient
) -> "AbstractContextManager[dict[str, Tracing]]":
    """Service → tracing, if a collector is configured, else empty."""
    if not TelemetrySettings().otel_exporter_otlp_endpoint:
        return nullcontext({})
    from servicekit.telemetry import export_traces  # imported only if used: its packages are slow to load

    return export_traces([each.name for each in services], http)


def instrument_service(running: RunningService, tracing: "Tracing") -> None:
    """Creates spans for a service's doors, database statements and outgoing events."""
    tracing.instrument_engine(running.context.sessions.engine)
    running.context.sessions.inject_trace_context = tracing.inject_context
    running.clock.tracing = tracing
    for door in running.doors.values():
        door.tracing = tracing


def build_broker_dsn(settings: PlatformSettings) -> str:
    """The libpq connection string of the log table, with the role `broker`."""
    return settings.database_url.replace("{role}", "broker").replace("postgresql+psycopg:", "postgresql:", 1)


def _create_worker_tasks(process: Process) -> list[Coroutine[Any, Any, None]]:
    jobs: list[Coroutine[Any, Any, None]] = []
    stopping, settings = process.stopping, process.settings
    suspect_lock = asyncio.Lock()
    for running in process.services:
        name = running.service.name
        relay = Relay(process.broker, _RelayOutbox(running, process.tracings.get(name)), name)
        running.context.sessions.wake = relay.wake
        jobs += [relay.run(stopping), running.clock.run(stopping)]
        jobs += [_restart_on_failure(loop, running.context) for loop in running.parts.background]
        for topic, door in running.doors.items():
            status = process.consumers[name, topic] = ConsumerStatus()
            door.suspect_lock = suspect_lock
            reader = consume(
                process.broker,
                name,
                topic,
                door,
                stopping=stopping,
                status=status,
                max_messages=door.subscription.max_messages,
                deliver_twice=settings.deliver_twice,
                attempts=door,
            )
            jobs.append(reader)
    return jobs


async def _wake_relays_on_notify(process: Process) -> None:
    """Wakes the relays on NOTIFY, which processes with the role `api` alone send when they write to an outbox."""
    wakes = {each.service.name: each.context.sessions.wake for each in process.services}

    def on_notify(service: str | None) -> None:
        for name, wake in wakes.items():
            if wake is not None and service in (None, name):
                wake.set()

    await listen(process.services[0].context.sessions.engine, "uplift_outbox", on_notify)


async def _run_log_retention(broker: LogTableBroker, stopping: asyncio.Event) -> None:
    while not stopping.is_set():
        try:
            await broker.apply_retention(datetime.now(UTC))
        except Exception:
            log.exception("the retention of the log table failed")
        await wait_for_any(_RETENTION_SECONDS, stopping)


async def _restart_on_failure(loop: Callable[[ServiceContext], Awaitable[None]], context: ServiceContext) -> None:
    """Runs a background loop. A loop that fails is logged and started again; it never stops the process."""
    while not context.stopping.is_set():
        try:
            await run_with_budget(loop(context), seconds=None)
            return
        except Exception:
            log.exception("a background loop of %s failed", context.sessions.service)
            await wait_for_any(_RESTART_SECONDS, context.stopping)


async def _measure_loop_lag(stopping: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    while not stopping.is_set():
        due = loop.time() + _LOOP_PROBE_SECONDS
        await wait_for_any(_LOOP_PROBE_SECONDS, stopping)
        if not stopping.is_set():
            metrics.LOOP_LAG.observe(max(loop.time() - due, 0.0))


class _RelayOutbox:
    """A service's outbox, adapted to the relay: turns rows into messages and counts what was delivered."""

    def __init__(self, running: RunningService, tracing: "Tracing | None") -> None:
        self._outbox = running.outbox
        self._service = running.service
        self._tracing = tracing
        self._failures = metrics.RELAY_FAILURES.labels(running.service.name)

    async def publish_pending(
        self, publish: Callable[[list[Outgoing]], Awaitable[None]], capacity: Mapping[str, int]
    ) -> int:
        """Publishes waiting rows, at most `capacity` (topic → number) per topic. Returns how many."""
        delivered: list[metrics.PublishedEvent] = []

        async def forward(rows: list[OutboxRow]) -> None:
            messages = [
                Outgoing(row["topic"], row["partition"], row["key"], row["value"], row["headers"]) for row in rows
            ]
            with self._tracing.start_publish_span(row["headers"] for row in rows) if self._tracing else nullcontext():
                await publish(messages)
            delivered.extend(
                metrics.PublishedEvent(row["topic"], row["headers"]["ce_type"], row["value"]) for row in rows
            )

        try:
            count = await self._outbox.publish_pending(forward, capacity)
        except Exception:
            self._failures.inc()
            raise
        metrics.observe_published(self._service.name, delivered)
        if self._service.count_published is not None:
            self._service.count_published(delivered)
        return count

    async def oldest_written_at(self) -> datetime | None:
        """When the oldest waiting row was written; None when there is none."""
        return await self._outbox.oldest_written_at()
