"""One service with its three doors, on a real PostgreSQL, in the process of the test."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import httpx
from contracts import Attributes, Event, derived_id, type_registry
from contracts.directory import OrgUnitChanged, PersonChanged, TenantChanged
from messaging.broker import Message, TopicPartition
from messaging.consumer import OffsetStep
from servicekit.event_door import parse_message
from servicekit.service_definition import Service, ServiceContext
from servicekit.wiring import RunningService, bare_app, build_service, create_service_app
from sqlalchemy import text
from storage.sweeping import Sweeper

from testkit.postgres import Cluster
from testkit.tokens import TestIssuer

E = TypeVar("E", bound=Event)

_START = datetime(2026, 3, 2, 8, tzinfo=UTC)


class Harness:
    """`deliver` is the event door, `client_as` the HTTP door, `tick` the time door. `read_outbox` and `read_events` return
    what the service emitted: no relay runs, so its events stay in the outbox. `now` is the time of events that have none.
    """

    def __init__(self, running: RunningService, issuer: TestIssuer) -> None:
        self.running = running
        self.issuer = issuer
        self.now = _START
        self._offsets: dict[str, int] = {}
        self._root = bare_app()
        self._root.mount(running.service.prefix, create_service_app(running))
        self._clients: list[httpx.AsyncClient] = []

    def sweep_young_documents(self) -> None:
        """Makes sweeps remove unreferenced documents of any age from now on."""
        for handler in self.running.parts.due_handlers.values():
            if isinstance(sweeper := getattr(handler, "__self__", None), Sweeper):
                sweeper.grace_period = timedelta(hours=-1)

    @property
    def context(self) -> ServiceContext:
        """The service's sessions, documents, settings and HTTP client."""
        return self.running.context

    async def apply_directory(
        self,
        tenant: str,
        *,
        people: Sequence[PersonChanged] = (),
        org_units: Sequence[OrgUnitChanged] = (),
        of_tenant: TenantChanged | None = None,
    ) -> None:
        """Delivers these states, the tenant's first, to the service's copy of the directory."""
        states = [of_tenant or TenantChanged(slug=tenant, name=tenant.title()), *org_units, *people]
        await self.deliver(*states, tenant=tenant)

    async def deliver(
        self,
        *bodies: Event,
        tenant: str,
        at: datetime | None = None,
        topic: str | None = None,
        twice: bool = True,
        ids: Sequence[Any] | None = None,
    ) -> None:
        """Delivers events in one batch for each topic. With `twice`, each batch is handled once more, as after a relay that
        died between publishing and deleting.

        `at` is the events' time. `ids` are the events' ids; without them each call makes new ones, the same for both
        times. Raises AssertionError for a topic that the service does not read."""
        by_topic: dict[str, list[Message]] = {}
        for number, body in enumerate(bodies):
            message = self.message(body, tenant=tenant, at=at, topic=topic, event_id=ids[number] if ids else None)
            by_topic.setdefault(message.topic, []).append(message)
        for name, messages in by_topic.items():
            door = self.running.doors.get(name)
            if door is None:
                raise AssertionError(f"{self.running.service.name} does not read {name}")
            partition = TopicPartition(name, 0)
            expected = await door.load_next_offset("test", partition)
            await door.apply(messages, [OffsetStep("test", partition, expected, messages[-1].offset + 1)])
            if twice:
                tenants = {message.headers["ce_tenant"] for message in messages}
                async with self.context.sessions.begin(tenants, now=at or self.now) as session:
                    await door.handle(session, [parse_message(message) for message in messages])

    def message(
        self, body: Event, *, tenant: str, at: datetime | None = None, topic: str | None = None, event_id: Any = None
    ) -> Message:
        """A message with this event, at the topic's next offset in partition 0."""
        attributes = Attributes.create(body.type, source="test", tenant=tenant, time=at or self.now)
        if event_id is not None:
            attributes = replace(attributes, id=event_id)
        name = topic or body.target_topic()
        offset = self._offsets.get(name, 0)
        self._offsets[name] = offset + 1
        return Message(
            name, 0, offset, body.key(tenant), body.model_dump_json().encode(), attributes.to_headers(), attributes.time
        )

    async def read_outbox(self) -> list[tuple[Attributes, Event]]:
        """The events in the outbox, oldest first, without tombstones."""
        async with self.context.sessions.system_transaction() as connection:
            rows = (await connection.execute(text("SELECT headers, value FROM outbox ORDER BY seq"))).mappings().all()
        pairs = [(Attributes.from_headers(row["headers"]), row["value"]) for row in rows]
        return [
            (attributes, type_registry[attributes.type].model_validate_json(value))
            for attributes, value in pairs
            if value
        ]

    async def read_events(self, kind: type[E], tenant: str | None = None) -> list[E]:
        """The events of one type in the outbox, oldest first; of every tenant unless one is named."""
        return [
            body
            for attributes, body in await self.read_outbox()
            if isinstance(body, kind) and tenant in (None, attributes.tenant)
        ]

    async def clear_outbox(self) -> None:
        """Deletes the events in the outbox."""
        async with self.context.sessions.system_transaction() as connection:
            await connection.execute(text("DELETE FROM outbox"))

    def client_as(self, who: str, tenant: str) -> httpx.AsyncClient:
        """An HTTP client with a token of the person whose login has the sub `who`. Its paths are below the service's prefix."""
        return self.client(self.issuer.token(who, tenant))

    def client(self, token: str | None) -> httpx.AsyncClient:
        """As `client_as`, with this token, or without one."""
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self._root),
            base_url=f"http://test{self.running.service.prefix}",
            headers={"authorization": f"Bearer {token}"} if token else {},
        )
        self._clients.append(client)
        return client

    async def tick(self, now: datetime) -> int:
        """Handles what is due at `now`, until nothing is due any more. Returns how many items were handled."""
        handled = 0
        while count := await self.running.clock.tick(now):
            handled += count
        return handled

    async def rows(self, tenant: str, statement: str, **parameters: Any) -> list[dict[str, Any]]:
        """The rows that a query returns under row-level security of this tenant."""
        async with self.context.sessions.begin([tenant], now=self.now) as session:
            return await session.rows(statement, parameters)

    async def close(self) -> None:
        """Closes the clients, the document store and the database connections."""
        for client in self._clients:
            await client.aclose()
        await self.context.http.aclose()
        await self.context.documents.close()
        await self.context.sessions.engine.dispose()


@asynccontextmanager
async def harness(service: Service, cluster: Cluster, issuer: TestIssuer, **settings: Any) -> AsyncGenerator[Harness]:
    """A service on a database of its own, until the block ends. `settings` replace those of `Cluster.settings`."""
    with cluster.database([service]) as database:
        running = build_service(
            service,
            cluster.settings(database, **settings),
            http=httpx.AsyncClient(timeout=5),
            verifier=issuer.verifier(),
            stopping=asyncio.Event(),
        )
        built = Harness(running, issuer)
        try:
            yield built
        finally:
            await built.close()


def stable_ids(*names: str) -> list[Any]:
    """Event ids by name, for `deliver(ids=…)`."""
    return [derived_id("test event", name) for name in names]
