# pyright: reportMissingTypeStubs=false
"""Reading: one member of a group.

A rebalance takes all partitions from all members, and gives them out anew. It runs beside whatever handles a batch, so
the reader keeps its places over it: a partition that comes back goes on where it was, one that its user has seen
gone waits for `seek`. Somebody else may have moved on meanwhile: the stored offset tells.
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
    """Returns once Kafka answers; partitions come later."""
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
        # A batch may take as long as it likes. Whether a loop hangs is for the watchdog to say, not for the group.
        max_poll_interval_ms=NEVER_MS,
        fetch_max_wait_ms=int(FETCH_WAIT_SECONDS * 1000),
        consumer_timeout_ms=1000,  # how often its fetching wakes for nothing
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
    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer
        self._assigned: set[TopicPartition] = set()
        # Where each partition goes on. The order is whose turn it is.
        self._positions: dict[TopicPartition, int] = {}
        self._pending_seeks: set[TopicPartition] = set()
        self._uncommitted: dict[TopicPartition, int] = {}
        self._something_to_commit = asyncio.Event()
        self._answered = asyncio.get_running_loop().time()

    def assignment(self) -> set[TopicPartition]:
        """Empty while the group shares out anew."""
        for gone in self._positions.keys() - self._assigned:
            del self._positions[gone]
        return set(self._assigned)

    async def seek(self, source: TopicPartition, offset: int) -> None:
        # Also while the group shares out: whoever asked before may only now know the offset.
        self._positions[source] = offset
        self._pending_seeks.add(source)
        await self.report_offset(source, offset)  # where the group stands is known before it has read anything

    async def fetch(self, *, max_messages: int, wait_seconds: float) -> list[Batch]:
        batches: list[Batch] = []
        with unreachable_as_connection_error():
            self._check_client()
            # The client's own wait does not end before a rebalance does.
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds + FETCH_WAIT_SECONDS):
                    self._apply_pending_seeks()
                    await self._append_batches(batches, list(self._positions), max_messages)
                    if not batches:
                        await self._append_batches(batches, [], max_messages, wait_seconds)
        return sorted(batches, key=lambda batch: batch.messages[0].at)

    def _check_client(self) -> None:
        """The client says nothing while Kafka is away, and tries on. It is left to: as the member that it was it goes on
        at once when Kafka is back, while a new member would wait until the old one's session ends."""
        now = asyncio.get_running_loop().time()
        if self._consumer._fetcher.error_future.done():
            raise ConnectionError("The Kafka client has stopped fetching.")
        if self._consumer._coordinator.coordinator_id is not None:
            self._answered = now
        elif now > self._answered + SILENCE_SECONDS:
            raise ConnectionError(f"Kafka has not answered for {now - self._answered:.0f} s.")

    def _apply_pending_seeks(self) -> None:
        """All at once: the client asks for what it knows, and for the rest only when that answer is there."""
        for source in self._pending_seeks & self._assigned & self._positions.keys():
            self._consumer.seek(_to_kafka_partition(source), self._positions[source])
            self._consumer.resume(_to_kafka_partition(source))
        self._pending_seeks.clear()

    async def _append_batches(
        self, batches: list[Batch], sources: Sequence[TopicPartition], max_messages: int, wait_seconds: float = 0
    ) -> None:
        """Adds what lies ready of the partitions, asked one after the other; of whichever has news first when none is
        named."""
        for asked in [[_to_kafka_partition(source)] for source in sources] or [[]]:
            found = await self._consumer.getmany(*asked, timeout_ms=int(wait_seconds * 1000), max_records=max_messages)
            for place, records in found.items():
                source = TopicPartition(place.topic, place.partition)
                if source not in self._positions:
                    continue
                next_offset = await self._consumer.position(place)
                del self._positions[source]  # to the end of the queue
                self._positions[source] = next_offset
                batches.append(Batch(source, [to_message(record) for record in records], next_offset))
                max_messages -= len(records)
            if max_messages <= 0:
                return

    def on_partitions_assigned(self, sources: Iterable[TopicPartition]) -> None:
        """The group has shared out: called by the client, which must not be kept waiting."""
        self._assigned = set(sources)
        for source in self._assigned:
            if source in self._positions:
                self._consumer.seek(_to_kafka_partition(source), self._positions[source])
            else:
                self._consumer.pause(_to_kafka_partition(source))

    def on_partitions_revoked(self) -> None:
        self._assigned = set()

    # Commits, for figures and for those who pace themselves by them

    async def report_offset(self, source: TopicPartition, next_offset: int) -> None:
        self._uncommitted[source] = next_offset
        self._something_to_commit.set()

    async def run_commit_loop(self) -> None:
        while True:
            await self._something_to_commit.wait()
            self._something_to_commit.clear()
            await self.commit()
            await asyncio.sleep(COMMIT_SECONDS)

    async def commit(self) -> None:
        offsets = {source: offset for source, offset in self._uncommitted.items() if source in self._assigned}
        if not offsets:
            return
        try:
            async with asyncio.timeout(HEARTBEAT_SECONDS):
                await self._consumer.commit({_to_kafka_partition(source): offset for source, offset in offsets.items()})
        except (KafkaError, TimeoutError, OSError) as error:
            log.info("Lag figures are late: offsets could not be committed: %r", error)
            self._something_to_commit.set()
        else:
            self._uncommitted = {
                source: offset for source, offset in self._uncommitted.items() if offsets.get(source) != offset
            }


class _Listener(aiokafka.ConsumerRebalanceListener):
    """Nothing in it waits, so it cannot wait for what waits for it."""

    def __init__(self, reader: KafkaReader) -> None:
        self._reader = reader

    def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        self._reader.on_partitions_revoked()

    def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        self._reader.on_partitions_assigned(TopicPartition(each.topic, each.partition) for each in assigned)


def _to_kafka_partition(source: TopicPartition) -> Any:
    return aiokafka.TopicPartition(source.topic, source.partition)


def to_message(record: Any) -> Message:
    return Message(
        record.topic,
        record.partition,
        record.offset,
        (record.key or b"").decode(),
        record.value,
        {name: value.decode() for name, value in record.headers},
        EPOCH + timedelta(milliseconds=record.timestamp),
    )
