"""Consumer groups: which members are alive, which member reads which partition, and which partitions have new messages.

A member is alive while its session holds the advisory lock of its number. Every process computes the same fair share from
the list of living members, releases the partitions that are not its own, and tries to lock those that are. Only the lock
decides: two processes that see different lists never read the same partition. When a process dies, its session ends and
its locks are released.
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

# TCP keepalives: both sides must notice within seconds that the other machine is departed.
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
        self._store_lock = asyncio.Lock()
        self._rebalance_due = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def join(self, group: str, topics: Sequence[str]) -> AsyncGenerator[LogTableReader]:
        """A new member of the group. At the end of the block, waits until its partitions are released."""
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
        self._rebalance_due.set()
        try:
            yield reader
        finally:
            self._readers.remove(reader)
            self._rebalance_due.set()
            await wait_for_any(REBALANCE_SECONDS, reader.left_event)

    async def store_committed(self, connection: AsyncConnection) -> None:
        """Stores the offsets that readers have reported since the last call."""
        async with self._store_lock:
            committed = dict(self._committed)
            if not committed:
                return
            rows = sorted(
                (group, partition.topic, partition.partition, next) for (group, partition), next in committed.items()
            )
            async with connection.transaction(), connection.cursor() as cursor:
                await cursor.execute("SET LOCAL synchronous_commit = off")  # used only to measure lag
                await cursor.executemany(STORE_COMMITTED, rows)
            for key, next_offset in committed.items():
                if self._committed[key] == next_offset:
                    del self._committed[key]

    async def _run_offset_storing(self) -> None:
        """Stores reported offsets often, since relays in other processes use them for flow control."""
        while True:
            await asyncio.sleep(OFFSET_STORE_SECONDS)
            if self._committed:
                with suppress(psycopg.Error):
                    async with self._pool.connection() as connection:
                        await self.store_committed(connection)

    async def close(self) -> None:
        """Cancels the background tasks and closes their connections."""
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
        self._rebalance_due.set()  # finds messages that were published before LISTEN
        async for note in connection.notifies():
            if note.payload:
                topic, partition, next_offset = note.payload.split(" ")
                self._advance(TopicPartition(topic, int(partition)), int(next_offset))
            else:
                self._rebalance_due.set()

    async def _run_rebalancing(self, connection: AsyncConnection, backoff: Backoff) -> None:
        locks = _PartitionLocks(connection)
        try:
            while True:
                self._rebalance_due.clear()
                for partition, next_offset in await locks.load_heads():
                    self._advance(partition, next_offset)
                await locks.rebalance(tuple(self._readers), tuple(self._heads))
                await self.store_committed(connection)
                backoff.reset()
                await wait_for_any(REBALANCE_SECONDS, self._rebalance_due)
        finally:
            locks.drop_all_locks()

    def _advance(self, partition: TopicPartition, next_offset: int) -> None:
        if next_offset > self._heads.get(partition, -1):
            self._heads[partition] = next_offset
            for reader in self._readers:
                reader.wake(partition)


class _PartitionLocks:
    """The advisory locks that one session of the locking connection holds."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._members: dict[LogTableReader, int] = {}
        self._held: dict[int, tuple[LogTableReader, TopicPartition]] = {}

    async def load_heads(self) -> list[tuple[TopicPartition, int]]:
        """The next offset of every partition."""
        rows = await self._rows("SELECT topic, partition, next FROM broker.heads ORDER BY topic, partition")
        return [(TopicPartition(topic, partition), next_offset) for topic, partition, next_offset in rows]

    async def rebalance(self, readers: Sequence[LogTableReader], partitions: Iterable[TopicPartition]) -> None:
        """Moves every reader towards its fair share of the partitions, as far as other members have released theirs."""
        departed = self._members.keys() - set(readers)
        changed = await self._unregister(departed) | await self._register(readers)
        target = await self._fair_share(partitions)
        excess = [lock for lock, owner in self._held.items() if target.get(lock) != owner]
        for lock in excess:
            reader, partition = self._held.pop(lock)
            reader.revoke_partition(partition)
        if excess:
            await self._rows("SELECT pg_advisory_unlock(lock) FROM unnest(%s::bigint[]) AS lock", excess)
        for reader in departed:
            reader.left_event.set()
        missing = [lock for lock in target if lock not in self._held]
        if missing:
            tried = await self._rows(
                "SELECT lock, pg_try_advisory_lock(lock) FROM unnest(%s::bigint[]) AS lock", missing
            )
            for lock in (lock for lock, won in tried if won):
                self._held[lock] = target[lock]
                reader, partition = target[lock]
                reader.assign_partition(partition)
        if changed or excess:
            await self._connection.execute("NOTIFY broker")

    def drop_all_locks(self) -> None:
        """Revokes all partitions, after the session has ended and its locks with it."""
        for reader, partition in self._held.values():
            reader.revoke_partition(partition)
        self._held.clear()

    async def _unregister(self, departed: Iterable[LogTableReader]) -> bool:
        members = [self._members.pop(reader) for reader in departed]
        if members:
            await self._rows("SELECT pg_advisory_unlock(member) FROM unnest(%s::bigint[]) AS member", members)
            await self._connection.execute("DELETE FROM broker.members WHERE member = ANY(%s::bigint[])", (members,))
        return bool(members)

    async def _register(self, readers: Sequence[LogTableReader]) -> bool:
        new = [reader for reader in readers if reader not in self._members]
        for reader in new:
            # A new number for each session: PostgreSQL may release the locks of a broken session late.
            member = secrets.randbits(63)
            # The lock comes first: a row without its lock counts as dead and may be deleted.
            await self._connection.execute("SELECT pg_advisory_lock(%s)", (member,))
            await self._connection.execute(REGISTER, (reader.group, list(reader.topics), member))
            self._members[reader] = member
        if new:
            await self._connection.execute(DELETE_DEAD_MEMBERS)
        return bool(new)

    async def _fair_share(
        self, partitions: Iterable[TopicPartition]
    ) -> dict[int, tuple[LogTableReader, TopicPartition]]:
        """Lock number → the reader of this process that should hold it, and the partition."""
        living: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
        for group, topic, member in await self._rows(SELECT_LIVING_MEMBERS):
            living[group, topic].append(member)
        by_topic: defaultdict[str, list[TopicPartition]] = defaultdict(list)
        for partition in partitions:
            by_topic[partition.topic].append(partition)
        target: dict[int, tuple[LogTableReader, TopicPartition]] = {}
        for reader, member in self._members.items():
            for topic in reader.topics:
                members = living[reader.group, topic]
                if member not in members:
                    continue
                # Starts at another member for each topic, so that topics with one partition do not all go to the first.
                first = partition_of(topic, len(members))
                for partition in by_topic[topic]:
                    if members[(first + partition.partition) % len(members)] == member:
                        target[lock_number(reader.group, partition.topic, partition.partition)] = reader, partition
        return target

    async def _rows(self, query: LiteralString, *parameters: object) -> list[tuple[Any, ...]]:
        return await (await self._connection.execute(query, parameters)).fetchall()
