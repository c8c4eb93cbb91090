"""The reader of one group member: its position in each partition, and how it fetches pages."""

import asyncio
from collections.abc import Mapping, Sequence

import psycopg
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from messaging.broker import Batch, Message, TopicPartition

PAGE_BYTES = 8_000_000

# At least one message, and as many as fit into the page size. octet_length does not decompress a large value.
SELECT_PAGE = """
SELECT "offset", key, value, headers, at
FROM (
    SELECT *, sum(coalesce(octet_length(value), 0)) OVER (ORDER BY "offset" ROWS UNBOUNDED PRECEDING)
        - coalesce(octet_length(value), 0) AS bytes_before
    FROM (
        SELECT "offset", key, value, headers, at FROM broker.log
        WHERE topic = %s AND partition = %s AND "offset" >= %s
        ORDER BY "offset" LIMIT %s
    ) AS page
) AS measured
WHERE bytes_before < %s
ORDER BY "offset"
"""


async def read_page(
    connection: AsyncConnection,
    partition: TopicPartition,
    offset: int,
    *,
    max_messages: int,
    max_bytes: int = PAGE_BYTES,
) -> list[Message]:
    """Messages of a partition from `offset` on, in order; fewer than `max_messages` when their values are large."""
    async with connection.cursor(binary=True) as cursor:
        await cursor.execute(SELECT_PAGE, (partition.topic, partition.partition, offset, max_messages, max_bytes))
        rows = await cursor.fetchall()
    topic, number = partition.topic, partition.partition
    return [Message(topic, number, position, key, value, headers, at) for position, key, value, headers, at in rows]


class LogTableReader:
    """A `Reader`. `Members` assigns and revokes its partitions. `heads` (partition → next offset) shows which partitions have
    new messages, so that waiting needs no query."""

    def __init__(
        self,
        group: str,
        topics: Sequence[str],
        *,
        pool: AsyncConnectionPool[AsyncConnection],
        heads: Mapping[TopicPartition, int],
        committed: dict[tuple[str, TopicPartition], int],
    ) -> None:
        self.group = group
        self.topics = tuple(dict.fromkeys(topics))
        self.left_event = asyncio.Event()
        self._pool = pool
        self._heads = heads
        self._committed = committed
        self._assigned: set[TopicPartition] = set()
        self._revoked: set[TopicPartition] = set()
        # In the order in which partitions are read next; None until `seek`.
        self._positions: dict[TopicPartition, int | None] = {}
        self._wake = asyncio.Event()

    def assignment(self) -> set[TopicPartition]:
        """The partitions that this member reads now. A partition that was revoked and assigned again is missing once, so that
        the caller notices that it must seek again."""
        for partition in self._assigned - self._positions.keys() - self._revoked:
            self._positions[partition] = None
        self._revoked.clear()
        return set(self._positions)

    async def seek(self, partition: TopicPartition, offset: int) -> None:
        """Does nothing when the partition is no longer assigned."""
        if partition in self._positions:
            self._positions[partition] = offset
            await self.report_offset(partition, offset)  # a killed process may not have reported its last batch
            self._wake.set()

    async def fetch(self, *, max_messages: int, wait_seconds: float) -> list[Batch]:
        """At most one batch per partition, oldest first. Returns early, and empty, when the assignment has changed. Raises
        ConnectionError."""
        try:
            async with asyncio.timeout(wait_seconds):
                await self._wait_for_messages()
        except TimeoutError:
            return []
        return await self._read(max_messages)

    async def report_offset(self, partition: TopicPartition, next_offset: int) -> None:
        """Records the offset in memory; `Members` stores it soon."""
        self._committed[self.group, partition] = next_offset

    # For Members

    def assign_partition(self, partition: TopicPartition) -> None:
        """Adds a partition to the assignment."""
        self._assigned.add(partition)
        self._wake.set()

    def revoke_partition(self, partition: TopicPartition) -> None:
        """Removes a partition from the assignment."""
        self._assigned.discard(partition)
        if partition in self._positions:
            del self._positions[partition]
            self._revoked.add(partition)
        self._wake.set()

    def wake(self, partition: TopicPartition) -> None:
        """Ends the wait of `fetch` when the partition is assigned: it has new messages."""
        if partition in self._positions:
            self._wake.set()

    # Reading

    async def _wait_for_messages(self) -> None:
        while not self._list_partitions_behind() and not self._revoked and self._assigned == self._positions.keys():
            self._wake.clear()
            await self._wake.wait()

    def _list_partitions_behind(self) -> list[TopicPartition]:
        return [
            partition
            for partition, position in self._positions.items()
            if position is not None and position < self._heads.get(partition, 0)
        ]

    async def _read(self, max_messages: int) -> list[Batch]:
        behind = self._list_partitions_behind()
        batches: list[Batch] = []
        bytes_left = PAGE_BYTES
        if not behind:
            return batches
        try:
            async with self._pool.connection() as connection:
                for partition in behind:
                    start = self._positions.get(partition)
                    if start is None:
                        continue
                    page = await read_page(
                        connection, partition, start, max_messages=max_messages, max_bytes=bytes_left
                    )
                    # The partition was revoked, or its position changed, during the query.
                    if not page or self._positions.get(partition) != start:
                        continue
                    batches.append(Batch(partition, page, page[-1].offset + 1))
                    max_messages -= len(page)
                    bytes_left -= sum(len(message.value or b"") for message in page)
                    if max_messages <= 0 or bytes_left <= 0:
                        break
        except psycopg.OperationalError as error:
            raise ConnectionError(f"The broker's PostgreSQL cannot be reached: {error}") from error
        batches = [batch for batch in batches if batch.partition in self._positions]
        for batch in batches:
            del self._positions[batch.partition]  # to the end of the queue
            self._positions[batch.partition] = batch.next_offset
        return sorted(batches, key=lambda batch: batch.messages[0].at)
