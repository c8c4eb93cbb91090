# pyright: reportMissingTypeStubs=false
"""The Kafka broker. Publishing is in `publisher`, reading in `reader`, topic configuration in `topics`."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Self

import aiokafka
from aiokafka.admin import AIOKafkaAdminClient
from contracts import Topic

from messaging.broker import GroupProgress, Message, Outgoing, TopicPartition
from messaging.kafka.client import stop_client, unreachable_as_connection_error
from messaging.kafka.publisher import Publisher
from messaging.kafka.reader import KafkaReader, join_group, to_message
from messaging.kafka.security import KafkaSecurity
from messaging.kafka.topics import create_missing, find_differences

REQUEST_SECONDS = 10.0
PAGE = 500


class KafkaBroker:
    """A `Broker` on Kafka 3.x and 4.x. Use it as `async with KafkaBroker("host:9092,host:9092") as broker`.

    A group is a separate Kafka group for each topic, `group:topic`. So a member that joins or leaves causes a rebalance of
    one topic, not of all topics of the service.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        partitions: int | None = None,
        replication_factor: int = 1,
        session_seconds: float = 30.0,
        publish_seconds: float = 10.0,
        security: KafkaSecurity = KafkaSecurity(),
    ) -> None:
        """`partitions`: replaces the declared number of partitions. `session_seconds`: how long until another member replaces
        one that was killed. `publish_seconds`: the timeout of `publish`. Raises what `KafkaSecurity.build_connection` raises."""
        self._connection: dict[str, Any] = {"bootstrap_servers": bootstrap_servers} | security.build_connection()
        self._override = partitions
        self._replicas = replication_factor
        self._session_seconds = session_seconds
        self._publisher = Publisher(self._connection, publish_seconds)
        self._declared: dict[str, int] = {}
        self._lag_lock = asyncio.Lock()
        self._lag_clients: tuple[AsyncExitStack, AIOKafkaAdminClient, Any] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close_lag_clients()
        await self._publisher.close()

    async def declare(self, topics: Sequence[Topic]) -> None:
        """Creates the missing topics. Raises ValueError with every difference of the existing ones."""
        async with self._admin() as admin:
            await create_missing(admin, topics, self._partition_counts(topics), self._replicas)
        await self.validate_topics(topics)

    async def validate_topics(self, topics: Sequence[Topic]) -> None:
        """Raises ValueError with one sentence for each topic that is missing or differs. Changes nothing."""
        async with self._admin() as admin:
            wrong = await find_differences(admin, topics, self._partition_counts(topics), self._replicas)
        if wrong:
            raise ValueError("\n".join(wrong))
        self._declared |= self._partition_counts(topics)

    def count_partitions(self, topic: str) -> int:
        """The number of partitions of a topic that this broker has declared or validated. Raises ValueError for others."""
        try:
            return self._declared[topic]
        except KeyError:
            raise ValueError(f"Topic {topic} has not been declared.") from None

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Returns when all messages are durable. Raises ConnectionError. Raises ValueError, before anything is sent, for a
        topic or partition that does not exist or a message that is too large."""
        if messages:
            await self._publisher.publish(messages)

    def join(self, group: str, topics: Sequence[str]) -> AbstractAsyncContextManager[KafkaReader]:
        """Joins the group as a member, and leaves it on exit. Members of a group with the same topics share their partitions.
        The first partitions are assigned about a second after this returns."""
        return join_group(self._connection, f"{group}:{'+'.join(sorted(topics))}", topics, self._session_seconds)

    async def lag(self, group: str) -> dict[TopicPartition, int]:
        """Partition → messages that the group has not committed. The clients stay open for the next call, unless one fails."""
        async with self._lag_lock:
            try:
                with unreachable_as_connection_error():
                    return await self._lag(group)
            except BaseException:
                await self._close_lag_clients()
                raise

    async def _lag(self, group: str) -> dict[TopicPartition, int]:
        admin, consumer = await self._ensure_lag_clients()
        groups = [name for name, *_ in await admin.list_consumer_groups() if name.startswith(f"{group}:")]
        committed: dict[Any, int] = {}
        for found in await asyncio.gather(*(admin.list_consumer_group_offsets(each) for each in groups)):
            committed |= {partition: each.offset for partition, each in found.items()}
        partitions = await _list_topic_partitions(consumer, {partition.topic for partition in committed})
        ends: dict[Any, int] = await consumer.end_offsets(partitions)
        begins: dict[Any, int] = await consumer.beginning_offsets(partitions)
        return {
            TopicPartition(partition.topic, partition.partition): max(
                end - max(committed.get(partition, 0), begins[partition]), 0
            )
            for partition, end in ends.items()
        }

    async def load_progress(self, topic: str, groups: Sequence[str]) -> dict[str, GroupProgress]:
        """Group → its progress in the topic. A group that has never committed the topic is left out."""
        async with self._lag_lock:
            try:
                with unreachable_as_connection_error():
                    admin, consumer = await self._ensure_lag_clients()
                    names = [f"{group}:{topic}" for group in groups]
                    found = await asyncio.gather(*(admin.list_consumer_group_offsets(name) for name in names))
                    partitions = await _list_topic_partitions(consumer, {topic})
                    ends: dict[Any, int] = await consumer.end_offsets(partitions)
                    begins: dict[Any, int] = await consumer.beginning_offsets(partitions)
            except BaseException:
                await self._close_lag_clients()
                raise
        progress: dict[str, GroupProgress] = {}
        for group, committed in zip(groups, found, strict=True):
            positions = {
                partition: max(each.offset, begins[partition])
                for partition, each in committed.items()
                if partition in begins
            }
            if positions:
                handled = {partition: positions.get(partition, begin) for partition, begin in begins.items()}
                waiting = sum(max(ends[partition] - handled[partition], 0) for partition in ends)
                progress[group] = GroupProgress(sum(handled.values()), waiting)
        return progress

    async def _ensure_lag_clients(self) -> tuple[AIOKafkaAdminClient, Any]:
        """The clients that measure lag, created at the first call."""
        if self._lag_clients is None:
            async with AsyncExitStack() as stack:
                admin = await stack.enter_async_context(self._admin())
                consumer = await stack.enter_async_context(self._open_groupless_consumer())
                self._lag_clients = stack.pop_all(), admin, consumer
        _, admin, consumer = self._lag_clients
        return admin, consumer

    async def _close_lag_clients(self) -> None:
        if self._lag_clients is not None:
            clients, *_ = self._lag_clients
            self._lag_clients = None
            await clients.aclose()

    async def read_to_end(self, topic: str, *, from_offset: int = 0) -> AsyncIterator[Message]:
        """Yields the messages of a topic, partition by partition, up to its end at the time of the call."""
        async with self._open_groupless_consumer() as consumer:
            partitions = await _list_topic_partitions(consumer, {topic})
            ends: dict[Any, int] = await consumer.end_offsets(partitions)
            begins: dict[Any, int] = await consumer.beginning_offsets(partitions)
            for partition in partitions:
                start = max(begins[partition], from_offset)
                if start >= ends[partition]:
                    continue
                consumer.assign([partition])
                consumer.seek(partition, start)
                while await consumer.position(partition) < ends[partition]:
                    found = await consumer.getmany(partition, timeout_ms=int(REQUEST_SECONDS * 1000), max_records=PAGE)
                    if not found and await consumer.position(partition) < ends[partition]:
                        raise ConnectionError(f"Kafka does not give the rest of {topic}/{partition.partition}.")
                    for record in found.get(partition, []):
                        if record.offset < ends[partition]:
                            yield to_message(record)

    def _partition_counts(self, topics: Sequence[Topic]) -> dict[str, int]:
        return {topic.name: min(self._override or topic.partitions, topic.partitions) for topic in topics}

    @asynccontextmanager
    async def _admin(self) -> AsyncGenerator[AIOKafkaAdminClient]:
        admin = AIOKafkaAdminClient(**self._connection, request_timeout_ms=int(REQUEST_SECONDS * 1000))
        with unreachable_as_connection_error():
            try:
                await admin.start()
                yield admin
            finally:
                await admin.close()

    @asynccontextmanager
    async def _open_groupless_consumer(self) -> AsyncGenerator[Any]:
        """A consumer outside of any group."""
        consumer: Any = aiokafka.AIOKafkaConsumer(
            **self._connection,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            request_timeout_ms=int(REQUEST_SECONDS * 1000),
        )
        with unreachable_as_connection_error():
            try:
                await consumer.start()
                yield consumer
            finally:
                await stop_client(consumer.stop(), consumer._client)


async def _list_topic_partitions(consumer: Any, topics: set[str]) -> list[Any]:
    """All partitions of the topics that exist."""
    if not topics:
        return []
    cluster: Any = await consumer._client.fetch_all_metadata()
    return [
        aiokafka.TopicPartition(topic, partition)
        for topic in sorted(topics & cluster.topics())
        for partition in sorted(cluster.partitions_for_topic(topic))
    ]
