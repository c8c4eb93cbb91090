"""The log table broker: topics, publishing, lag, retention. Reading is in `reader`, group membership in `members`."""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from datetime import datetime
from typing import Self

import psycopg
from contracts import Topic
from psycopg import AsyncConnection
from psycopg.types.json import set_json_dumps, set_json_loads
from psycopg_pool import AsyncConnectionPool
from pydantic_core import from_json, to_json

from messaging.broker import GroupProgress, Message, Outgoing, TopicPartition
from messaging.log_table import retention
from messaging.log_table.members import Members
from messaging.log_table.reader import LogTableReader, read_page

POOL_SIZE = 4
POOL_WAIT_SECONDS = 10.0
CLOSE_SECONDS = 1.0
PAGE = 500

DECLARE = """
INSERT INTO broker.topics (name, partitions, compacted, retention_days) VALUES (%s, %s, %s, %s)
ON CONFLICT (name) DO UPDATE SET compacted = excluded.compacted, retention_days = excluded.retention_days
RETURNING partitions
"""
INSERT_HEADS = """
INSERT INTO broker.heads (topic, partition) SELECT %s, generate_series(0, %s - 1) ON CONFLICT DO NOTHING
"""
RESERVE_OFFSETS = """
UPDATE broker.heads SET next = next + %s WHERE topic = %s AND partition = %s RETURNING next, clock_timestamp()
"""
COPY = """
COPY broker.log (topic, partition, "offset", key, headers, value, at) FROM STDIN (FORMAT binary)
"""
COPY_TYPES = ["text", "int4", "int8", "text", "json", "bytea", "timestamptz"]
NOTIFY = "SELECT pg_notify('broker', note) FROM unnest(%s::text[]) AS note"
LAG = """
SELECT topic, partition, greatest(heads.next - coalesce(offsets.next, 0), 0)
FROM broker.heads
LEFT JOIN (SELECT topic, partition, next FROM broker.group_offsets WHERE group_name = %(group)s) AS offsets
    USING (topic, partition)
WHERE topic IN (SELECT topic FROM broker.group_offsets WHERE group_name = %(group)s)
"""
PROGRESS = """
SELECT group_name, sum(coalesce(offsets.next, 0))::bigint,
    sum(greatest(heads.next - coalesce(offsets.next, 0), 0))::bigint
FROM (SELECT DISTINCT group_name FROM broker.group_offsets WHERE topic = %(topic)s AND group_name = ANY(%(groups)s)) AS known
CROSS JOIN broker.heads
LEFT JOIN broker.group_offsets AS offsets USING (group_name, topic, partition)
WHERE heads.topic = %(topic)s
GROUP BY group_name
"""


class LogTableBroker:
    """A `Broker` on PostgreSQL. Use it as `async with LogTableBroker(dsn) as broker`, after the migrations in
    `messaging.log_table.migrations` have been run.

    `partitions` overrides the declared number of partitions, so writers must ask `count_partitions`. Uses at most six
    connections: a pool of four for publishing and reading, and, after the first `join`, one that listens and one that
    holds the locks. Publishing waits up to `pool_wait_seconds` for a connection of the pool.
    """

    def __init__(
        self, dsn: str, *, partitions: int | None = None, pool_wait_seconds: float = POOL_WAIT_SECONDS
    ) -> None:
        self._dsn = dsn
        self._override = partitions
        self._declared: dict[str, int] = {}
        self._pool = AsyncConnectionPool[AsyncConnection](
            dsn,
            min_size=1,
            max_size=POOL_SIZE,
            open=False,
            timeout=pool_wait_seconds,
            # Replaces connections that a restart of PostgreSQL has closed before they are used.
            check=AsyncConnectionPool.check_connection,
            kwargs={"autocommit": True, "application_name": "broker"},
            configure=_configure,
            name="broker",
        )
        self._members = Members(dsn, self._pool)

    async def __aenter__(self) -> Self:
        await self._pool.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._members.close()
        with suppress(psycopg.OperationalError):
            async with self._pool.connection(timeout=CLOSE_SECONDS) as connection:
                await self._members.store_committed(connection)
        await self._pool.close()

    async def declare(self, topics: Sequence[Topic]) -> None:
        """Creates the missing topics and updates the retention of the others. Raises ValueError when a topic exists with
        another number of partitions."""
        async with self._connection() as connection, connection.transaction():
            for topic in sorted(topics, key=lambda topic: topic.name):
                partition_count = self._override or topic.partitions
                row = await (
                    await connection.execute(
                        DECLARE, (topic.name, partition_count, topic.compacted, topic.retention_days)
                    )
                ).fetchone()
                if row is None or row[0] != partition_count:
                    raise ValueError(f"Topic {topic.name} has {row and row[0]} partitions, not {partition_count}.")
                await connection.execute(INSERT_HEADS, (topic.name, partition_count))
        self._declared |= {topic.name: self._override or topic.partitions for topic in topics}

    def count_partitions(self, topic: str) -> int:
        """The number of partitions of a declared topic. Raises ValueError when this broker has not declared it."""
        try:
            return self._declared[topic]
        except KeyError:
            raise ValueError(f"Topic {topic} has not been declared.") from None

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Publishes all messages in one transaction. Raises ValueError for a topic or partition that does not exist."""
        if not messages:
            return
        counts = Counter((message.topic, message.partition) for message in messages)
        # Rows are locked in this order, so that two publishers cannot deadlock.
        targets = sorted(counts)
        async with self._connection() as connection, connection.transaction(), connection.cursor() as cursor:
            await cursor.executemany(RESERVE_OFFSETS, [(counts[target], *target) for target in targets], returning=True)
            reserved: dict[tuple[str, int], tuple[Iterator[int], datetime]] = {}
            notes: list[str] = []
            for topic, partition in targets:
                row = await cursor.fetchone()
                if row is None:
                    raise ValueError(f"Topic {topic} has no partition {partition}.")
                next_offset, at = row
                reserved[topic, partition] = iter(range(next_offset - counts[topic, partition], next_offset)), at
                notes.append(f"{topic} {partition} {next_offset}")
                cursor.nextset()
            async with cursor.copy(COPY) as copy:
                copy.set_types(COPY_TYPES)
                for each in messages:
                    offsets, at = reserved[each.topic, each.partition]
                    await copy.write_row(
                        (each.topic, each.partition, next(offsets), each.key, each.headers, each.value, at)
                    )
            await cursor.execute(NOTIFY, (notes,))

    def join(self, group: str, topics: Sequence[str]) -> AbstractAsyncContextManager[LogTableReader]:
        """Joins the group as a member, and leaves it on exit."""
        return self._members.join(group, topics)

    async def lag(self, group: str) -> dict[TopicPartition, int]:
        """Partition → messages that the group has not committed."""
        async with self._connection() as connection:
            await self._members.store_committed(connection)
            rows = await (await connection.execute(LAG, {"group": group})).fetchall()
        return {TopicPartition(topic, partition): behind for topic, partition, behind in rows}

    async def load_progress(self, topic: str, groups: Sequence[str]) -> dict[str, GroupProgress]:
        """Group → its progress in the topic. A group that has never committed the topic is left out."""
        async with self._connection() as connection:
            await self._members.store_committed(connection)
            found = await connection.execute(PROGRESS, {"topic": topic, "groups": list(groups)})
            return {group: GroupProgress(handled, waiting) for group, handled, waiting in await found.fetchall()}

    async def read_to_end(self, topic: str, *, from_offset: int = 0) -> AsyncIterator[Message]:
        """Yields the messages of a topic, partition by partition, up to its end at the time of the call."""
        async with self._connection() as connection:
            ends = await (
                await connection.execute(
                    "SELECT partition, next FROM broker.heads WHERE topic = %s ORDER BY partition", (topic,)
                )
            ).fetchall()
        for partition, end in ends:
            offset = from_offset
            while offset < end:
                async with self._connection() as connection:
                    page = await read_page(connection, TopicPartition(topic, partition), offset, max_messages=PAGE)
                for message in page:
                    if message.offset < end:
                        yield message
                offset = page[-1].offset + 1 if page else end

    async def apply_retention(self, now: datetime) -> int:
        """Deletes the messages that retention and compaction no longer keep. A background task calls it from time to time.
        Never deletes a partition's newest message, so that readers arrive at its end. Returns how many were deleted."""
        async with self._connection() as connection:
            return await retention.apply_retention(connection, now)

    @asynccontextmanager
    async def _connection(self) -> AsyncGenerator[AsyncConnection]:
        with unreachable_as_connection_error():
            async with self._pool.connection() as connection:
                yield connection


async def _configure(connection: AsyncConnection) -> None:
    # pydantic's JSON codec: the standard library's took half of the time of publishing and reading.
    set_json_dumps(to_json, connection)
    set_json_loads(from_json, connection)


@contextmanager
def unreachable_as_connection_error() -> Generator[None]:
    """Turns psycopg's OperationalError in the block into ConnectionError."""
    try:
        yield
    except psycopg.OperationalError as error:
        raise ConnectionError(f"The broker's PostgreSQL cannot be reached: {error}") from error
