"""One session per unit of work: one transaction, under row-level security, with an out-tray of events.

Only the doors open and commit sessions. Actions use them and never commit.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar, Protocol, TypeVar
from uuid import UUID

from contracts import TOPICS, Attributes, partition_of
from contracts.audit import Origin
from pydantic_core import to_json
from sqlalchemy import Connection, CursorResult, Executable, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.bulk import build_insert, build_on_conflict_update, encode_rows_parameter
from storage.driver_connection import DriverConnection, encode_copy_row
from storage.engine import create_engine, schema_name
from storage.tables import due_item


def is_valid_tenant_name(name: str) -> bool:
    """Whether this can name one tenant. A comma would name two under row-level security."""
    return bool(name) and "," not in name and name.isprintable()


T = TypeVar("T")
InjectTraceContext = Callable[[Attributes, Attributes | None], Attributes]
"""Adds to a new event's attributes where in a trace it was made; the second are those of its cause."""

_JSONB = b"\1"  # the version of its binary format


class EmittableEvent(Protocol):
    """An event, or what stands for one where thousands are made."""

    type: ClassVar[str]

    def key(self, tenant: str) -> str: ...
    def target_topic(self) -> str: ...
    def encode(self) -> bytes: ...


class VersionedState(EmittableEvent, Protocol):
    """Whole state, of which a later version replaces an earlier one."""

    def state_version(self) -> int: ...


_SCHEDULE = build_insert(
    due_item,
    suffix_sql=build_on_conflict_update(due_item, ["at", "body", "attempts", "turn", "lease", "leased_until"])
    + " WHERE (due_item.at, due_item.body, due_item.attempts, due_item.turn)"
    " IS DISTINCT FROM (excluded.at, excluded.body, excluded.attempts, excluded.turn)",
)


_SET_TENANTS = "SELECT set_config('uplift.tenants', :tenants, true)"
_SET_TENANTS_AND_TIMEOUTS = (
    _SET_TENANTS
    + ", set_config('lock_timeout', :lock_timeout, true), set_config('statement_timeout', :statement_timeout, true)"
)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long the database waits for a lock, and works at a statement, in one transaction. Both end in an
    `OperationalError`, after which the work may be tried again."""

    lock_seconds: float
    statement_seconds: float

    def settings(self) -> dict[str, str]:
        found = {"lock_timeout": self.lock_seconds, "statement_timeout": self.statement_seconds}
        return {name: f"{max(int(seconds * 1000), 1)}ms" for name, seconds in found.items()}


@dataclass
class Session:
    """A unit of work in one transaction.

    `now` is the door's time: the wall clock for HTTP, the event's time for events, the simulated tenant's own clock
    where it has one. `tenants` are those whose rows can be seen. `cause` is the event that is being handled, if any.
    `origin`: on whose behalf, where it is not the service's own.
    """

    connection: AsyncConnection
    service: str
    tenants: tuple[str, ...]
    now: datetime
    partitions: int | None = None
    cause: Attributes | None = None
    origin: Origin | None = None
    notify: bool = True
    inject_trace_context: InjectTraceContext | None = None
    emitted_count: int = 0
    after_commit: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    """Called in order when the transaction is committed, and never otherwise. For figures; nothing may fail there."""
    _driver: DriverConnection = field(init=False)
    _pending_writes: list[asyncio.Future[None]] = field(default_factory=list[asyncio.Future[None]])
    _outgoing: list[bytes] = field(default_factory=list[bytes])
    _cache: dict[tuple[Any, ...], Any] = field(default_factory=dict[tuple[Any, ...], Any])

    def __post_init__(self) -> None:
        self._driver = DriverConnection(self.connection)

    @property
    def tenant(self) -> str:
        """The one tenant of this unit of work. Raises ValueError when it has several."""
        (tenant,) = self.tenants
        return tenant

    async def execute(self, statement: Executable | str, parameters: Any = None) -> CursorResult[Any]:
        """Runs a Core statement or SQL text with `:name` parameters by way of the engine."""
        return await self.connection.execute(text(statement) if isinstance(statement, str) else statement, parameters)

    async def run(self, statement: str, parameters: Mapping[str, Any] | None = None) -> int:
        """Runs SQL text. Returns how many rows it touched."""
        return (await self._driver.run(statement, parameters))[2]

    async def rows(self, statement: Executable | str, parameters: Any = None) -> list[dict[str, Any]]:
        if isinstance(statement, str):
            columns, found, _ = await self._driver.run(statement, parameters)
            return [dict(zip(columns, row, strict=True)) for row in found]
        return [dict(row) for row in (await self.execute(statement, parameters)).mappings()]

    async def row(self, statement: Executable | str, parameters: Any = None) -> dict[str, Any] | None:
        """The first row, or None."""
        if isinstance(statement, str):
            columns, found, _ = await self._driver.run(statement, parameters)
            return dict(zip(columns, found[0], strict=True)) if found else None
        row = (await self.execute(statement, parameters)).mappings().first()
        return None if row is None else dict(row)

    async def tuples(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """The rows, their columns by place."""
        return (await self._driver.run(statement, parameters))[1]

    async def scalars(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[Any]:
        """The first column."""
        return [row[0] for row in await self.tuples(statement, parameters)]

    async def scalar(self, statement: Executable | str, parameters: Any = None) -> Any:
        """The first column of the first row; None without a row."""
        if isinstance(statement, str):
            return next(iter(await self.scalars(statement, parameters)), None)
        return (await self.execute(statement, parameters)).scalar()

    async def set_tenants(self, tenants: Iterable[str], timeouts: "Timeouts | None" = None) -> None:
        """Sees these tenants' rows only, from here on. Raises ValueError for what cannot name a tenant."""
        self.tenants = tuple(sorted(set(tenants)))
        if not all(map(is_valid_tenant_name, self.tenants)):
            raise ValueError(f"not names of tenants: {self.tenants}")
        settings = {"tenants": ",".join(self.tenants)}
        if timeouts is None:
            await self.run(_SET_TENANTS, settings)
        else:
            await self.run(_SET_TENANTS_AND_TIMEOUTS, settings | timeouts.settings())

    async def copy_in(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """COPY into a temporary stage table (PostgreSQL refuses COPY into a table under row-level security)."""
        raw = (await self.connection.get_raw_connection()).driver_connection
        assert raw is not None
        async with raw.cursor() as cursor:
            async with cursor.copy(f"COPY {table} ({', '.join(columns)}) FROM STDIN") as copy:
                for row in rows:
                    await copy.write_row(row)

    def write_before_commit(self, work: Awaitable[None]) -> None:
        """Begins to write something elsewhere, such as a document that rows of this unit of work will name. The commit
        waits for it, and does not come when it fails."""
        self._pending_writes.append(asyncio.ensure_future(work))

    async def await_writes(self) -> None:
        """Waits for what was begun by `first`; the doors do so before they commit. Raises what it raised."""
        await asyncio.gather(*self._pending_writes)

    async def cancel_writes(self) -> None:
        """Ends what was begun by `first` and nobody waits for any more."""
        for work in self._pending_writes:
            work.cancel()
        await asyncio.gather(*self._pending_writes, return_exceptions=True)

    def emit(self, body: EmittableEvent, *, tenant: str | None = None, cause: Attributes | None = None) -> UUID:
        """Puts an event into the out-tray. It is published after the commit, until delivered. Returns its id."""
        tenant = tenant or self.tenant
        attributes = self._create_attributes(body.type, tenant, cause or self.cause)
        self._append_to_outbox(tenant, body.target_topic(), body.key(tenant), attributes, body.encode())
        return attributes.id

    def emit_tombstone(self, body: VersionedState, *, tenant: str | None = None) -> None:
        """Forgets the key of `body`, the newest state, in its compacted topic."""
        tenant = tenant or self.tenant
        attributes = replace(self._create_attributes(body.type, tenant, self.cause), version=body.state_version())
        self._append_to_outbox(tenant, body.target_topic(), body.key(tenant), attributes, None)

    def _create_attributes(self, kind: str, tenant: str, cause: Attributes | None) -> Attributes:
        fresh = Attributes.create(kind, source=self.service, tenant=tenant, time=self.now, cause=cause)
        return fresh if self.inject_trace_context is None else self.inject_trace_context(fresh, cause)

    def _append_to_outbox(self, tenant: str, topic: str, key: str, attributes: Attributes, value: bytes | None) -> None:
        declared = TOPICS[topic]
        if declared.writer != self.service:
            raise ValueError(f"{self.service} may not write to {topic}: its one writer is {declared.writer}")
        partitions = min(self.partitions or declared.partitions, declared.partitions)
        self._outgoing.append(
            encode_copy_row(
                tenant.encode(),
                topic.encode(),
                partition_of(key, partitions).to_bytes(4, "big"),
                key.encode(),
                _JSONB + to_json(attributes.to_headers()),
                value,
            )
        )

    async def flush(self) -> None:
        """Writes the out-tray to the outbox. The doors call it as the last thing before the commit, so that the
        outbox's order follows the order in which transactions got their locks."""
        if not self._outgoing:
            return
        # COPY takes a fifth of the time of an INSERT with arrays. The outbox is exempt from row-level security.
        await self._driver.copy_rows("outbox (tenant, topic, partition, key, headers, value)", self._outgoing)
        self.emitted_count += len(self._outgoing)
        self._outgoing.clear()
        if self.notify:
            await self.run("SELECT pg_notify('uplift_outbox', :service)", {"service": self.service})

    async def cached(self, key: tuple[Any, ...], load: Callable[[], Awaitable[T]]) -> T:
        """What `load` gives, loaded once in this unit of work for these tenants: for what every event of a batch asks
        for again, such as rules. Whoever changes such things calls `forget`."""
        place = (self.tenants, *key)
        if place not in self._cache:
            self._cache[place] = await load()
        return self._cache[place]

    def clear_cache(self) -> None:
        """Everything known by `once` is loaded anew."""
        self._cache.clear()

    async def lock_keys(self, keys: Iterable[str]) -> None:
        """Waits until no other unit of work of this service holds one of these keys, and holds them to its end. All are
        taken in one order, so that nobody waits in a circle: call it once, before anything else is locked."""
        await self.run(
            "SELECT pg_advisory_xact_lock(key) FROM (SELECT DISTINCT hashtextextended('turn ' || k, 0) AS key "
            "FROM unnest(cast(:keys AS text[])) AS k ORDER BY 1) AS keys",
            {"keys": [f"{self.service} {key}" for key in keys]},
        )

    async def schedule(
        self,
        kind: str,
        ref: str,
        at: datetime,
        body: Mapping[str, Any] | None = None,
        *,
        lock_key: str | None = None,
    ) -> None:
        """The clock calls the service's handler of `kind` at `at`, after it has taken `turn`, if any. The same kind and
        ref again: moved."""
        await self.schedule_all(
            kind, [{"tenant": self.tenant, "ref": ref, "at": at, "body": body or {}, "turn": lock_key}]
        )

    async def schedule_all(self, kind: str, items: Iterable[Mapping[str, Any]]) -> None:
        """As `schedule`, many at once: `tenant`, `ref`, `at`, `body` and, where there is one, `turn` of each."""
        await self.run(_SCHEDULE, encode_rows_parameter(items, kind=kind, attempts=0))

    async def unschedule(self, kind: str, ref: str) -> None:
        await self.execute(
            due_item.delete().where(due_item.c.tenant == self.tenant, due_item.c.kind == kind, due_item.c.ref == ref)
        )


class Sessions:
    """Opens units of work of one service.

    With a `wake`, a relay in this process is told of new events by it; without, other processes' relays by NOTIFY,
    which makes commits wait for one another.
    """

    def __init__(self, engine: AsyncEngine, service: str, *, partitions: int | None = None) -> None:
        self.engine = engine
        self.service = service
        self.partitions = partitions
        self.wake: asyncio.Event | None = None
        self.inject_trace_context: InjectTraceContext | None = None

    @asynccontextmanager
    async def begin(
        self,
        tenants: Iterable[str],
        *,
        now: datetime,
        cause: Attributes | None = None,
        timeouts: "Timeouts | None" = None,
    ) -> AsyncGenerator[Session]:
        """One transaction that sees `tenants`: committed on a clean exit, rolled back on an exception."""
        async with self._transaction() as connection:
            session = Session(
                connection,
                self.service,
                (),
                now,
                partitions=self.partitions,
                cause=cause,
                notify=self.wake is None,
                inject_trace_context=self.inject_trace_context,
            )
            await session.set_tenants(tenants, timeouts)
            try:
                yield session
                await session.await_writes()
                await session.flush()
            finally:
                await session.cancel_writes()
        if session.emitted_count and self.wake is not None:
            self.wake.set()
        for tell in session.after_commit:
            tell()

    def with_own_pool(self) -> "Sessions":
        """Units of work by connections of their own: for what is written while another unit of work is open, which must
        not wait for a connection that another one like it holds."""
        schema = schema_name(self.service)
        return Sessions(
            create_engine(self.engine.url, schema=schema, pool_size=2, extra_pool_size=0, max_overflow=0), self.service
        )

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[AsyncConnection]:
        """As `engine.begin()`, whose five steps take turns with the loop where two do."""
        connection = await self.engine.connect()
        try:
            assert connection.sync_connection is not None
            connection.sync_connection.begin()  # sends nothing; the driver begins with the first statement
            yield connection
            await connection.run_sync(_commit_and_close)
        finally:
            if not connection.closed:
                await asyncio.shield(asyncio.ensure_future(connection.close()))

    @asynccontextmanager
    async def in_turn(self, key: str) -> AsyncGenerator[None]:
        """As `Session.lock_keys`, for work of several units and of what lies between them. Holds a connection, and no
        transaction."""
        key = f"turn {self.service} {key}"
        async with self.engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(text("SELECT pg_advisory_lock(hashtextextended(:key, 0))"), {"key": key})
            try:
                yield
            finally:
                # With a connection that is not used again it is let go of in any case, also when this is cancelled.
                await asyncio.shield(connection.invalidate())

    @asynccontextmanager
    async def system_transaction(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction that sees no tenant's rows, only the tables that are exempt: outbox, offsets, due items."""
        async with self.engine.begin() as connection:
            yield connection


def _commit_and_close(connection: Connection) -> None:
    connection.commit()
    connection.close()
