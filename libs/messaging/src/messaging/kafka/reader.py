# pyright: reportMissingTypeStubs=false
"""Reading from Kafka as one member of a group.

A rebalance revokes all partitions of all members and assigns them again, while a batch may still be being handled. So the
reader keeps its positions: a partition that is assigned again continues at its position, unless the consumer has seen it
revoked; then it waits for `seek`. If another member has read the partition meanwhile, the stored offset shows it.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import aiokafka
from aiokafka.errors import KafkaError

from messaging.broker import Batch, Message, TopicPartition
from messaging.kafka.client import stop_client, unreachable_as_connection_error

log = logging.getLogger(__name__)

COMMIT_SECONDS = 0.1
HEARTBEAT_SECONDS = 1.0
FETCH_WAIT_SECONDS = 0.5
REBALANCE_SECONDS = 30.0
REQUEST_SECONDS = 40.0
SILENCE_SECONDS = 300.0
RETRY_SECONDS = 0.5
NEVER_MS = 2**31 - 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@asynccontextmanager
async def join_group(
    connection: Mapping[str, Any], group: str, topics: Sequence[str], session_seconds: float
) -> AsyncGenerator["KafkaReader"]:
    """Joins a Kafka group, and leaves it at the end of the block. Begins once Kafka answers; partitions are assigned later.
    Raises ConnectionError."""
    consumer: Any = aiokafka.AIOKafkaConsumer(
        **connection,
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        session_timeout_ms=int(session_seconds * 1000),
        heartbeat_interval_ms=int(min(HEARTBEAT_SECONDS, session_seconds / 3) * 1000),
        rebalance_timeout_ms=int(REBALANCE_SECONDS * 1000),
        request_timeout_ms=int(REQUEST_SECONDS * 1000),  # longer than a rebalance: joining is one request
        retry_backoff_ms=int(RETRY_SECONDS * 1000),
        # A batch may take any time. The time limits of handlers detect one that hangs.
        max_poll_interval_ms=NEVER_MS,
        fetch_max_wait_ms=int(FETCH_WAIT_SECONDS * 1000),
        consumer_timeout_ms=1000,  # how often the fetcher wakes without messages
    )
    reader = KafkaReader(consumer)
    committing = None
    try:
        with unreachable_as_connection_error():
            await consumer.start()
            consumer.subscribe(list(topics), listener=_Listener(reader))
        committing = asyncio.create_task(reader.run_commit_loop(), name=f"commits for {group}")
        yield reader
    finally:
        if committing:
            committing.cancel()
            await asyncio.wait((committing,))
            await reader.commit()
        await stop_client(consumer.stop(), consumer._client)


class KafkaReader:
    """A `Reader` on one aiokafka consumer."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._assigned: set[TopicPartition] = set()
        # The next offset of each partition, in the order in which partitions are read next.
        self._positions: dict[TopicPartition, int] = {}
        self._pending_seeks: set[TopicPartition] = set()
        self._uncommitted: dict[TopicPartition, int] = {}
        self._commit_due = asyncio.Event()
        self._answered_at = asyncio.get_running_loop().time()

    def assignment(self) -> set[TopicPartition]:
        """The partitions that this member reads now; empty during a rebalance."""
        for revoked in self._positions.keys() - self._assigned:
            del self._positions[revoked]
        return set(self._assigned)

    async def seek(self, partition: TopicPartition, offset: int) -> None:
        """Continues the partition at this offset from the next `fetch` on. Also works during a rebalance: the caller may
        have asked for the assignment before it and loaded the offset during it."""
        self._positions[partition] = offset
        self._pending_seeks.add(partition)
        await self.report_offset(partition, offset)  # so that the group's lag is known before it has read anything

    async def fetch(self, *, max_messages: int, wait_seconds: float) -> list[Batch]:
        """At most one batch per partition, oldest first; empty after `wait_seconds` without messages. Raises
        ConnectionError when Kafka has not answered for SILENCE_SECONDS."""
        batches: list[Batch] = []
        with unreachable_as_connection_error():
            self._check_client()
            # The client's own timeout does not end during a rebalance.
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds + FETCH_WAIT_SECONDS):
                    self._apply_pending_seeks()
                    await self._append_batches(batches, list(self._positions), max_messages)
                    if not batches:
                        await self._append_batches(batches, [], max_messages, wait_seconds)
        return sorted(batches, key=lambda batch: batch.messages[0].at)

    def _check_client(self) -> None:
        """Raises ConnectionError when the client has stopped, or Kafka has not answered for SILENCE_SECONDS. The client
        retries silently while Kafka is unavailable, and is not replaced sooner: as the same member it continues at once,
        while a new member would wait until the old one's session expires."""
        now = asyncio.get_running_loop().time()
        if self._consumer._fetcher.error_future.done():
            raise ConnectionError("The Kafka client has stopped fetching.")
        if self._consumer._coordinator.coordinator_id is not None:
            self._answered_at = now
        elif now > self._answered_at + SILENCE_SECONDS:
            raise ConnectionError(f"Kafka has not answered for {now - self._answered_at:.0f} s.")

    def _apply_pending_seeks(self) -> None:
        """Applies all seeks before the client fetches: it would fetch a partition that is resumed later only after the next
        response."""
        for partition in self._pending_seeks & self._assigned & self._positions.keys():
            self._consumer.seek(_to_kafka_partition(partition), self._positions[partition])
            self._consumer.resume(_to_kafka_partition(partition))
        self._pending_seeks.clear()

    async def _append_batches(
        self, batches: list[Batch], partitions: Sequence[TopicPartition], max_messages: int, wait_seconds: float = 0
    ) -> None:
        """Adds the fetched messages of these partitions, one after the other; without `partitions`, those of the partition that
        has messages first."""
        for wanted in [[_to_kafka_partition(partition)] for partition in partitions] or [[]]:
            found = await self._consumer.getmany(*wanted, timeout_ms=int(wait_seconds * 1000), max_records=max_messages)
            for kafka_partition, records in found.items():
                partition = TopicPartition(kafka_partition.topic, kafka_partition.partition)
                if partition not in self._positions:
                    continue
                next_offset = await self._consumer.position(kafka_partition)
                del self._positions[partition]  # to the end of the queue
                self._positions[partition] = next_offset
                batches.append(Batch(partition, [to_message(record) for record in records], next_offset))
                max_messages -= len(records)
            if max_messages <= 0:
                return

    def on_partitions_assigned(self, partitions: Iterable[TopicPartition]) -> None:
        """Called by the client after a rebalance; must not block."""
        self._assigned = set(partitions)
        for partition in self._assigned:
            if partition in self._positions:
                self._consumer.seek(_to_kafka_partition(partition), self._positions[partition])
            else:
                self._consumer.pause(_to_kafka_partition(partition))

    def on_partitions_revoked(self) -> None:
        """Called by the client when a rebalance begins."""
        self._assigned = set()

    # Commits, which are used to measure lag and for flow control

    async def report_offset(self, partition: TopicPartition, next_offset: int) -> None:
        """Records the group's progress, which `run_commit_loop` commits."""
        self._uncommitted[partition] = next_offset
        self._commit_due.set()

    async def run_commit_loop(self) -> None:
        """Commits reported offsets, at most every COMMIT_SECONDS, until cancelled."""
        while True:
            await self._commit_due.wait()
            self._commit_due.clear()
            await self.commit()
            await asyncio.sleep(COMMIT_SECONDS)

    async def commit(self) -> None:
        """Commits the reported offsets of assigned partitions. A failure is logged; the next commit includes them."""
        offsets = {partition: offset for partition, offset in self._uncommitted.items() if partition in self._assigned}
        if not offsets:
            return
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                await self._consumer.commit(
                    {_to_kafka_partition(partition): offset for partition, offset in offsets.items()}
                )
        except (KafkaError, TimeoutError, OSError) as error:
            log.info("offsets could not be committed, so lag is measured late: %r", error)
            self._commit_due.set()
        else:
            self._uncommitted = {
                partition: offset for partition, offset in self._uncommitted.items() if offsets.get(partition) != offset
            }


class _Listener(aiokafka.ConsumerRebalanceListener):
    """Passes the client's rebalance events to the reader, without awaiting anything, so that it cannot deadlock."""

    def __init__(self, reader: KafkaReader) -> None:
        self._reader = reader

    def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        self._reader.on_partitions_revoked()

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        self._reader.on_partitions_assigned(TopicPartition(each.topic, each.partition) for each in assigned)


def _to_kafka_partition(partition: TopicPartition) -> Any:
    return aiokafka.TopicPartition(partition.topic, partition.partition)


def to_message(record: Any) -> Message:
    """The message of an aiokafka record."""
    return Message(
        record.topic,
        record.partition,
        record.offset,
        (record.key or b"").decode(),
        record.value,
        {name: value.decode() for name, value in record.headers},
        EPOCH + timedelta(milliseconds=record.timestamp),
    )
