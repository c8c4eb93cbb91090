"""Groups: which member reads which partition, who is alive, and what is new.

A member is alive while its session holds the advisory lock of its number. Every process computes the same fair share
from the list of the living, gives up what is not its own and tries to lock what is; the lock alone decides, so two that
see different lists never read the same partition. When a process dies, its session ends and its locks are free.
"""

import asyncio
import logging
import secrets
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, LiteralString

import psycopg
from contracts import partition_of
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from messaging.broker import TopicPartition
from messaging.log_table.locks import lock_number
from messaging.log_table.reader import LogTableReader
from messaging.retry import Backoff, wait_for_any

log = logging.getLogger(__name__)

REBALANCE_SECONDS = 1.0
OFFSET_STORE_SECONDS = 0.1

# Seconds and probes: both sides must notice within seconds that the other machine has vanished.
KEEPALIVE_IDLE_SECONDS, KEEPALIVE_INTERVAL_SECONDS, KEEPALIVE_PROBES = 3, 1, 3
SERVER_KEEPALIVES = """
SELECT set_config('tcp_keepalives_idle', %s, false), set_config('tcp_keepalives_interval', %s, false),
    set_config('tcp_keepalives_count', %s, false)
"""
REGISTER = """
INSERT INTO broker.members (group_name, topic, member) SELECT %s, unnest(%s::text[]), %s ON CONFLICT DO NOTHING
"""
DELETE_DEAD_MEMBERS = "DELETE FROM broker.members WHERE member NOT IN (SELECT member FROM broker.living_members)"
SELECT_LIVING_MEMBERS = "SELECT group_name, topic, member FROM broker.living_members ORDER BY member"
STORE_COMMITTED = """
INSERT INTO broker.group_offsets (group_name, topic, partition, next) VALUES (%s, %s, %s, %s)
ON CONFLICT (group_name, topic, partition) DO UPDATE SET next = excluded.next
"""


class Members:
    """All members that joined through one broker instance. They share the listening and the locking connection."""

    def __init__(self, dsn: str, pool: AsyncConnectionPool[AsyncConnection]) -> None:
        self._dsn = dsn
        self._pool = pool
        self._readers: list[LogTableReader] = []
        self._heads: dict[TopicPartition, int] = {}
        self._committed: dict[tuple[str, TopicPartition], int] = {}
        self._storing = asyncio.Lock()
        self._due = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def join(self, group: str, topics: Sequence[str]) -> AsyncGenerator[LogTableReader]:
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(self._stay_connected(self._listen, "listens"), name="broker listener"),
                asyncio.create_task(
                    self._stay_connected(self._run_rebalancing, "holds the locks"), name="broker members"
                ),
                asyncio.create_task(self._run_offset_storing(), name="broker progress"),
            ]
        reader = LogTableReader(group, topics, pool=self._pool, heads=self._heads, committed=self._committed)
        self._readers.append(reader)
        self._due.set()
        try:
            yield reader
        finally:
            self._readers.remove(reader)
            self._due.set()
            await wait_for_any(
                REBALANCE_SECONDS, reader.left_event
            )  # so that its partitions are free when this returns

    async def store_committed(self, connection: AsyncConnection) -> None:
        """Stores what readers have reported since the last time."""
        async with self._storing:
            committed = dict(self._committed)
            if not committed:
                return
            rows = sorted((group, source.topic, source.partition, next) for (group, source), next in committed.items())
            async with connection.transaction(), connection.cursor() as cursor:
                await cursor.execute("SET LOCAL synchronous_commit = off")  # figures only
                await cursor.executemany(STORE_COMMITTED, rows)
            for place, next_offset in committed.items():
                if self._committed[place] == next_offset:
                    del self._committed[place]

    async def _run_offset_storing(self) -> None:
        """Relays elsewhere pace themselves by how far readers are, so they must not learn of it late."""
        while True:
            await asyncio.sleep(OFFSET_STORE_SECONDS)
            if self._committed:
                with suppress(psycopg.Error):
                    async with self._pool.connection() as connection:
                        await self.store_committed(connection)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    # The two connections

    async def _stay_connected(self, use: Callable[[AsyncConnection, Backoff], Awaitable[None]], purpose: str) -> None:
        backoff = Backoff(initial_seconds=0.1, max_seconds=2.0)
        while True:
            try:
                connection = await AsyncConnection.connect(
                    self._dsn,
                    autocommit=True,
                    application_name="broker",
                    keepalives_idle=KEEPALIVE_IDLE_SECONDS,
                    keepalives_interval=KEEPALIVE_INTERVAL_SECONDS,
                    keepalives_count=KEEPALIVE_PROBES,
                )
                try:
                    await connection.execute(
                        SERVER_KEEPALIVES,
                        (str(KEEPALIVE_IDLE_SECONDS), str(KEEPALIVE_INTERVAL_SECONDS), str(KEEPALIVE_PROBES)),
                    )
                    await use(connection, backoff)
                finally:
                    await connection.close()
            except (psycopg.OperationalError, OSError) as error:
                log.warning("Lost the connection that %s: %s", purpose, error)
            except Exception:
                log.exception("The connection that %s failed", purpose)
            await asyncio.sleep(backoff.next_delay_seconds())

    async def _listen(self, connection: AsyncConnection, backoff: Backoff) -> None:
        await connection.execute("LISTEN broker")
        backoff.reset()
        self._due.set()  # for what was published while nobody listened
        async for note in connection.notifies():
            if note.payload:
                topic, partition, next_offset = note.payload.split(" ")
                self._advance(TopicPartition(topic, int(partition)), int(next_offset))
            else:
                self._due.set()

    async def _run_rebalancing(self, connection: AsyncConnection, backoff: Backoff) -> None:
        turns = _PartitionLocks(connection)
        try:
            while True:
                self._due.clear()
                for source, next_offset in await turns.load_heads():
                    self._advance(source, next_offset)
                await turns.rebalance(tuple(self._readers), tuple(self._heads))
                await self.store_committed(connection)
                backoff.reset()
                await wait_for_any(REBALANCE_SECONDS, self._due)
        finally:
            turns.drop_all_locks()

    def _advance(self, source: TopicPartition, next_offset: int) -> None:
        if next_offset > self._heads.get(source, -1):
            self._heads[source] = next_offset
            for reader in self._readers:
                reader.wake(source)


class _PartitionLocks:
    """What one session of the locking connection holds."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._members: dict[LogTableReader, int] = {}
        self._held: dict[int, tuple[LogTableReader, TopicPartition]] = {}

    async def load_heads(self) -> list[tuple[TopicPartition, int]]:
        rows = await self._rows("SELECT topic, partition, next FROM broker.heads ORDER BY topic, partition")
        return [(TopicPartition(topic, partition), next_offset) for topic, partition, next_offset in rows]

    async def rebalance(self, readers: Sequence[LogTableReader], sources: Iterable[TopicPartition]) -> None:
        """Moves every reader towards its fair share of partitions, as far as others have let go of them."""
        gone = self._members.keys() - set(readers)
        changed = await self._unregister(gone) | await self._register(readers)
        wanted = await self._fair_share(sources)
        surplus = [lock for lock, owner in self._held.items() if wanted.get(lock) != owner]
        for lock in surplus:
            reader, source = self._held.pop(lock)
            reader.revoke_partition(source)
        if surplus:
            await self._rows("SELECT pg_advisory_unlock(lock) FROM unnest(%s::bigint[]) AS lock", surplus)
        for reader in gone:
            reader.left_event.set()
        missing = [lock for lock in wanted if lock not in self._held]
        if missing:
            tried = await self._rows(
                "SELECT lock, pg_try_advisory_lock(lock) FROM unnest(%s::bigint[]) AS lock", missing
            )
            for lock in (lock for lock, won in tried if won):
                self._held[lock] = wanted[lock]
                reader, source = wanted[lock]
                reader.assign_partition(source)
        if changed or surplus:
            await self._connection.execute("NOTIFY broker")

    def drop_all_locks(self) -> None:
        """The session has ended, and its locks with it."""
        for reader, source in self._held.values():
            reader.revoke_partition(source)
        self._held.clear()

    async def _unregister(self, gone: Iterable[LogTableReader]) -> bool:
        members = [self._members.pop(reader) for reader in gone]
        if members:
            await self._rows("SELECT pg_advisory_unlock(member) FROM unnest(%s::bigint[]) AS member", members)
            await self._connection.execute("DELETE FROM broker.members WHERE member = ANY(%s::bigint[])", (members,))
        return bool(members)

    async def _register(self, readers: Sequence[LogTableReader]) -> bool:
        fresh = [reader for reader in readers if reader not in self._members]
        for reader in fresh:
            # A number of its own in each session: an old session may hold its locks a little longer than it lives.
            member = secrets.randbits(63)
            # The lock first: a row without it counts as dead and may be swept away.
            await self._connection.execute("SELECT pg_advisory_lock(%s)", (member,))
            await self._connection.execute(REGISTER, (reader.group, list(reader.topics), member))
            self._members[reader] = member
        if fresh:
            await self._connection.execute(DELETE_DEAD_MEMBERS)
        return bool(fresh)

    async def _fair_share(self, sources: Iterable[TopicPartition]) -> dict[int, tuple[LogTableReader, TopicPartition]]:
        """By lock: who should hold it, of the readers here."""
        living: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        for group, topic, member in await self._rows(SELECT_LIVING_MEMBERS):
            living[group, topic].append(member)
        partitions: defaultdict[str, list[TopicPartition]] = defaultdict(list)
        for source in sources:
            partitions[source.topic].append(source)
        wanted: dict[int, tuple[LogTableReader, TopicPartition]] = {}
        for reader, member in self._members.items():
            for topic in reader.topics:
                members = living[reader.group, topic]
                if member not in members:
                    continue
                # Topics with one partition each should not all go to the first member.
                first = partition_of(topic, len(members))
                for source in partitions[topic]:
                    if members[(first + source.partition) % len(members)] == member:
                        wanted[lock_number(reader.group, source.topic, source.partition)] = reader, source
        return wanted

    async def _rows(self, query: LiteralString, *parameters: object) -> list[tuple[Any, ...]]:
        return await (await self._connection.execute(query, parameters)).fetchall()
