"""Opens the sessions of one service: transactions, and locks that outlast one."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from datetime import datetime

from contracts import Attributes
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.engine import create_engine, schema_name
from storage.locks import lock_sql
from storage.session import InjectTraceContext, Session, Timeouts

_LOCK_SESSION = f"SELECT {lock_sql('cast(:name AS text)', session_level=True)}"


class Sessions:
    """Opens sessions of one service.

    `wake` is the event that wakes a relay in this process after a commit with events. Without it NOTIFY wakes the relays
    of other processes, which makes commits wait for one another.
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
        timeouts: Timeouts | None = None,
    ) -> AsyncGenerator[Session]:
        """One transaction that sees the rows of `tenants`: committed on a clean exit, rolled back on an exception."""
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
        for callback in session.after_commit:
            callback()

    def with_own_pool(self) -> "Sessions":
        """Sessions on a pool of their own: for writes while another session is open. On one pool, many such pairs
        would wait for each other's connections."""
        schema = schema_name(self.service)
        return Sessions(
            create_engine(self.engine.url, schema=schema, pool_size=2, extra_pool_size=0, max_overflow=0), self.service
        )

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[AsyncConnection]:
        """As `engine.begin()`, with two switches to the driver's greenlet instead of five."""
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
    async def hold_lock(self, key: str) -> AsyncGenerator[None]:
        """Holds the lock of `Session.lock_key` at session level, for work that spans several transactions. It occupies a
        connection, without a transaction."""
        async with self.engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(text(_LOCK_SESSION), {"name": f"{self.service} {key}"})
            try:
                yield
            finally:
                # Closing the connection releases the lock in any case, also when this is cancelled.
                await asyncio.shield(connection.invalidate())

    @asynccontextmanager
    async def system_transaction(self) -> AsyncGenerator[AsyncConnection]:
        """A transaction that sees no tenant's rows, only the tables without row-level security: outbox, offsets, due
        items."""
        async with self.engine.begin() as connection:
            yield connection


def _commit_and_close(connection: Connection) -> None:
    connection.commit()
    connection.close()
