"""A session: one transaction under row-level security, with the events that it emits.

Only the doors open and commit sessions. Actions use them and never commit.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, ClassVar, Protocol, TypeVar
from uuid import UUID

from contracts import TOPICS, Attributes, partition_of
from contracts.audit import Origin
from psycopg.types.json import Jsonb
from pydantic_core import to_json
from sqlalchemy import CursorResult, Executable, text
from sqlalchemy.ext.asyncio import AsyncConnection

from storage.driver_connection import DriverConnection
from storage.inserts import InsertSpec, MultiInsert, on_conflict_update
from storage.locks import lock_sql
from storage.tables import due_item


def is_valid_tenant_name(name: str) -> bool:
    """Whether the text can name one tenant. With a comma, row-level security would read it as two."""
    return bool(name) and "," not in name and name.isprintable()


T = TypeVar("T")
InjectTraceContext = Callable[[Attributes, Attributes | None], Attributes]
"""Adds the trace context to a new event's attributes; the second argument is the attributes of its cause."""


class EmittableEvent(Protocol):
    """An event of `contracts`, or a lighter class with the same methods where thousands are created."""

    type: ClassVar[str]

    def key(self, tenant: str) -> str:
        """The message key, which decides the partition."""
        ...

    def target_topic(self) -> str:
        """The topic to publish to."""
        ...

    def encode(self) -> bytes:
        """The event's data as JSON."""
        ...


class VersionedState(EmittableEvent, Protocol):
    """An event that carries complete state; a higher version replaces a lower one."""

    def state_version(self) -> int:
        """The version of the state."""
        ...


_SCHEDULE = InsertSpec(
    due_item,
    constant_columns=("kind", "attempts"),
    suffix_sql=on_conflict_update(due_item, ["at", "body", "attempts", "turn", "lease", "leased_until"])
    + " WHERE (due_item.at, due_item.body, due_item.attempts, due_item.turn)"
    " IS DISTINCT FROM (excluded.at, excluded.body, excluded.attempts, excluded.turn)",
)
_SCHEDULE_IF_ABSENT = InsertSpec(due_item, constant_columns=("kind", "attempts"), suffix_sql="ON CONFLICT DO NOTHING")


_OUTBOX_COLUMNS = ("tenant", "topic", "partition", "key", "headers", "value")
_OUTBOX_TYPES = ("text", "text", "int4", "text", "jsonb", "bytea")
_NAME = "cast(:name AS text)"
_LOCK, _LOCK_SHARED, _TRY_LOCK, _TRY_LOCK_SHARED = (
    f"SELECT {lock_sql(_NAME, shared=shared, wait=wait)}" for wait in (True, False) for shared in (False, True)
)
_LOCK_ALL = f"SELECT {lock_sql('name')} FROM unnest(cast(:names AS text[])) AS name"  # noqa: S608
_SET_TENANTS = "SELECT set_config('uplift.tenants', :tenants, true)"
_SET_TENANTS_AND_TIMEOUTS = (
    _SET_TENANTS
    + ", set_config('lock_timeout', :lock_timeout, true), set_config('statement_timeout', :statement_timeout, true)"
)


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long one transaction may wait for a lock, and one statement may run. Exceeding either raises an
    `OperationalError`, after which the work may be retried."""

    lock_seconds: float
    statement_seconds: float

    def settings(self) -> dict[str, str]:
        """PostgreSQL's settings, in milliseconds."""
        found = {"lock_timeout": self.lock_seconds, "statement_timeout": self.statement_seconds}
        return {name: f"{max(int(seconds * 1000), 1)}ms" for name, seconds in found.items()}


@dataclass
class Session:
    """One transaction of a service, with the events that it emits.

    `now` is the door's time: the wall clock for HTTP, the event's time for events, a simulated tenant's own clock. An action
    may handle each event at its own time, through `as_of`.
    `tenants` are those whose rows are visible. `cause` is the event being handled, if any. `origin` says on whose behalf
    the work is done; None: on the service's own.

    To run a statement, choose by what it returns: `rows`, `row`, `tuples`, `scalars`, `scalar` for a query, `run` for how
    many rows changed, `insert_rows` and `insert_multi` for INSERTs of many rows. SQL text given to these takes the driver's
    path, at a fifth of the engine's cost. `execute` takes SQLAlchemy's slow path, also for SQL text: it is for Core
    statements that are built at run time, and for a `CursorResult`.
    """

    connection: AsyncConnection
    service: str
    tenants: tuple[str, ...]
    now: datetime
    partitions: int | None = None
    """The most partitions of a topic to publish to; None: all that the topic declares."""
    cause: Attributes | None = None
    origin: Origin | None = None
    notify: bool = True
    """Whether `flush` wakes the relays of other processes by NOTIFY."""
    inject_trace_context: InjectTraceContext | None = None
    emitted_count: int = 0
    """How many events `flush` has written to the outbox."""
    after_commit: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])
    """Called in order once the transaction is committed, never otherwise. For metrics; they must not raise."""
    _driver: DriverConnection = field(init=False)
    _pending_writes: list[asyncio.Future[None]] = field(default_factory=list[asyncio.Future[None]])
    _outgoing: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    _cache: dict[tuple[Any, ...], Any] = field(default_factory=dict[tuple[Any, ...], Any])

    def __post_init__(self) -> None:
        self._driver = DriverConnection(self.connection)

    @property
    def tenant(self) -> str:
        """The one tenant of this session. Raises ValueError unless there is exactly one."""
        (tenant,) = self.tenants
        return tenant

    @contextmanager
    def as_of(self, time: datetime, cause: Attributes | None) -> Generator[None]:
        """Inside, `now` is `time` and `cause` is the event being handled; afterwards both are what they were."""
        before = self.now, self.cause
        self.now, self.cause = time, cause
        try:
            yield
        finally:
            self.now, self.cause = before

    async def execute(self, statement: Executable | str, parameters: Any = None) -> CursorResult[Any]:
        """Runs a Core statement, or SQL text with `:name` parameters, through the engine. SQL text takes SQLAlchemy's slow
        path here: `run`, `rows` and the others send it at a fifth of the cost."""
        return await self.connection.execute(text(statement) if isinstance(statement, str) else statement, parameters)

    async def run(self, statement: str, parameters: Mapping[str, Any] | None = None) -> int:
        """Runs SQL text. Returns how many rows it changed."""
        return (await self._driver.run(statement, parameters))[2]

    async def rows(self, statement: Executable | str, parameters: Any = None) -> list[dict[str, Any]]:
        """All rows, by column name."""
        if isinstance(statement, str):
            columns, found, _ = await self._driver.run(statement, parameters)
            return [dict(zip(columns, row, strict=True)) for row in found]
        return [dict(row) for row in (await self.execute(statement, parameters)).mappings()]

    async def row(self, statement: Executable | str, parameters: Any = None) -> dict[str, Any] | None:
        """The first row by column name, or None."""
        if isinstance(statement, str):
            columns, found, _ = await self._driver.run(statement, parameters)
            return dict(zip(columns, found[0], strict=True)) if found else None
        row = (await self.execute(statement, parameters)).mappings().first()
        return None if row is None else dict(row)

    async def tuples(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """All rows, as tuples in the order of the columns."""
        return (await self._driver.run(statement, parameters))[1]

    async def scalars(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[Any]:
        """The first column of all rows."""
        return [row[0] for row in await self.tuples(statement, parameters)]

    async def scalar(self, statement: Executable | str, parameters: Any = None) -> Any:
        """The first column of the first row; None if there is no row."""
        if isinstance(statement, str):
            return next(iter(await self.scalars(statement, parameters)), None)
        return (await self.execute(statement, parameters)).scalar()

    async def set_tenants(self, tenants: Iterable[str], timeouts: "Timeouts | None" = None) -> None:
        """From here on only these tenants' rows are visible. Raises ValueError for a text that cannot name a tenant."""
        names = tuple(sorted(set(tenants)))
        if not all(map(is_valid_tenant_name, names)):
            raise ValueError(f"not names of tenants: {names}")
        self.tenants = names
        settings = {"tenants": ",".join(self.tenants)}
        if timeouts is None:
            await self.run(_SET_TENANTS, settings)
        else:
            await self.run(_SET_TENANTS_AND_TIMEOUTS, settings | timeouts.settings())

    async def insert_rows(
        self, spec: InsertSpec, rows: Iterable[Mapping[str, Any]], **constants: Any
    ) -> list[dict[str, Any]]:
        """Inserts rows by one statement and returns what its RETURNING clause does; without rows, does nothing.
        `constants` are the values of the spec's constant columns; `tenant` is the session's unless it is among them.
        Raises KeyError when one is missing."""
        batch = MultiInsert()
        batch.add(spec, list(rows))
        return await self.insert_multi(batch, **constants)

    async def insert_multi(self, batch: MultiInsert, **constants: Any) -> list[dict[str, Any]]:
        """As `insert_rows`, for several tables. Returns the rows of the spec that was added last."""
        if not batch.rows:
            return []
        if "tenant" not in constants and "tenant" in batch.constant_columns():
            constants["tenant"] = self.tenant
        return await self.rows(batch.sql, batch.parameters(constants))

    async def copy_rows(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """COPY into a temporary staging table, which the caller has created (PostgreSQL refuses COPY into a table under
        row-level security). Values may be the texts that PostgreSQL parses."""
        await self._driver.copy_rows(table, columns, rows)

    def write_before_commit(self, work: Awaitable[None]) -> None:
        """Starts a write elsewhere at once, such as a document that rows of this session name. Commit waits for it; if
        it fails, the transaction rolls back. After a rollback the document stays, until the sweeper removes it."""
        self._pending_writes.append(asyncio.ensure_future(work))

    async def await_writes(self) -> None:
        """Waits for the writes of `write_before_commit`, before the commit. Raises what they raised."""
        await asyncio.gather(*self._pending_writes)

    async def cancel_writes(self) -> None:
        """Cancels the writes of `write_before_commit` that still run, and waits for their end."""
        for work in self._pending_writes:
            work.cancel()
        await asyncio.gather(*self._pending_writes, return_exceptions=True)

    def emit(self, event: EmittableEvent, *, tenant: str | None = None, cause: Attributes | None = None) -> UUID:
        """Records an event for the outbox; the relay publishes it after the commit. `cause` defaults to the event being
        handled. Returns the event's id. Raises ValueError when this service is not the topic's writer."""
        tenant = tenant or self.tenant
        attributes = self._create_attributes(event.type, tenant, cause or self.cause)
        self._queue_message(tenant, event.target_topic(), event.key(tenant), attributes, event.encode())
        return attributes.id

    def emit_tombstone(self, state: VersionedState, *, tenant: str | None = None) -> None:
        """Records a tombstone for the key of `state`, the newest one, in its compacted topic."""
        tenant = tenant or self.tenant
        attributes = replace(self._create_attributes(state.type, tenant, self.cause), version=state.state_version())
        self._queue_message(tenant, state.target_topic(), state.key(tenant), attributes, None)

    def _create_attributes(self, kind: str, tenant: str, cause: Attributes | None) -> Attributes:
        fresh = Attributes.create(kind, source=self.service, tenant=tenant, time=self.now, cause=cause)
        return fresh if self.inject_trace_context is None else self.inject_trace_context(fresh, cause)

    def _queue_message(self, tenant: str, topic: str, key: str, attributes: Attributes, value: bytes | None) -> None:
        declared = TOPICS[topic]
        if declared.writer != self.service:
            raise ValueError(f"{self.service} may not write to {topic}: its one writer is {declared.writer}")
        partitions = min(self.partitions or declared.partitions, declared.partitions)
        self._outgoing.append(
            (tenant, topic, partition_of(key, partitions), key, Jsonb(attributes.to_headers(), to_json), value)
        )

    async def flush(self) -> None:
        """Writes the recorded events to the outbox. Called last before the commit, so that the outbox's order follows the
        order in which transactions got their locks."""
        if not self._outgoing:
            return
        self.emitted_count += len(self._outgoing)
        # COPY takes a fifth of the time of an INSERT. The outbox is exempt from row-level security. Each row is freed once
        # it is copied: to free many at once takes long.
        self._outgoing.reverse()
        rows = (self._outgoing.pop() for _ in range(len(self._outgoing)))
        await self._driver.copy_rows("outbox", _OUTBOX_COLUMNS, rows, _OUTBOX_TYPES)
        if self.notify:
            await self.run("SELECT pg_notify('uplift_outbox', :service)", {"service": self.service})

    async def cached(self, key: tuple[Any, ...], load: Callable[[], Awaitable[T]]) -> T:
        """The result of `load`, called once per key and tenants in this session: for what every event of a batch
        needs, such as rules. Whoever changes such rows calls `clear_cache`."""
        cache_key = (self.tenants, *key)
        if cache_key not in self._cache:
            self._cache[cache_key] = await load()
        return self._cache[cache_key]

    def clear_cache(self) -> None:
        """Forgets the results of `cached`."""
        self._cache.clear()

    async def lock_key(self, key: str, *, shared: bool = False) -> None:
        """Waits for this key of the service's, and holds it until the end of the transaction. Shared holders exclude
        exclusive ones only. Keys are not scoped by tenant: include the tenant in the key."""
        await self.run(_LOCK_SHARED if shared else _LOCK, {"name": f"{self.service} {key}"})

    async def try_lock(self, key: str, *, shared: bool = False) -> bool:
        """As `lock_key`, without waiting: False when somebody else holds the key."""
        return bool(await self.scalar(_TRY_LOCK_SHARED if shared else _TRY_LOCK, {"name": f"{self.service} {key}"}))

    async def lock_keys(self, keys: Iterable[str]) -> None:
        """As `lock_key`, for several keys in sorted order, so that two callers do not deadlock. Call it once per
        transaction, before any other advisory lock or row of the service's own tables is locked."""
        await self.run(_LOCK_ALL, {"names": sorted({f"{self.service} {key}" for key in keys})})

    async def schedule(
        self,
        kind: str,
        ref: str,
        at: datetime,
        body: Mapping[str, Any] | None = None,
        *,
        serialize_by: str | None = None,
    ) -> None:
        """Has the clock door call the service's handler of `kind` at `at`, holding the lock `serialize_by`, if any. Scheduling
        the same kind and ref again replaces the item, resets its attempts and ends its lease; an identical item is left as
        it is. `ref` is unique within tenant and kind."""
        await self.schedule_all(
            kind, [{"tenant": self.tenant, "ref": ref, "at": at, "body": body or {}, "turn": serialize_by}]
        )

    async def schedule_if_absent(self, kind: str, ref: str, at: datetime) -> None:
        """As `schedule`, but an item of that kind and ref stays as it is, with its time and its body."""
        item: dict[str, Any] = {"tenant": self.tenant, "ref": ref, "at": at, "body": {}}
        await self.insert_rows(_SCHEDULE_IF_ABSENT, [item], kind=kind, attempts=0)

    async def schedule_all(self, kind: str, items: Iterable[Mapping[str, Any]]) -> None:
        """As `schedule`, for many items: each has `tenant`, `ref`, `at`, `body` and, optionally, the lock key `turn`."""
        await self.insert_rows(_SCHEDULE, items, kind=kind, attempts=0)

    async def unschedule(self, kind: str, ref: str) -> None:
        """Removes a scheduled item of the session's tenant, if there is one."""
        await self.execute(
            due_item.delete().where(due_item.c.tenant == self.tenant, due_item.c.kind == kind, due_item.c.ref == ref)
        )
