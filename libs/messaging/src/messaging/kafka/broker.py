# pyright: reportMissingTypeStubs=false
"""The broker itself. Publishing is in `publisher`, reading in `reader`, declaring in `topics`."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Self

import aiokafka
from aiokafka.admin import AIOKafkaAdminClient
from contracts import Topic

from messaging.broker import GroupProgress, Message, Outgoing, TopicPartition
from messaging.kafka.client import stop_client, unreachable_as_connection_error
from messaging.kafka.publisher import Publisher
from messaging.kafka.reader import KafkaReader, join_group, to_message
from messaging.kafka.topics import create_missing, find_differences

REQUEST_SECONDS = 10.0
PAGE = 500


class KafkaBroker:
    """A `Broker` on Kafka 3.x and 4.x. Use it as `async with KafkaBroker("host:9092,host:9092") as broker`.

    A group here is one group of Kafka's for each topic, `group:topic`: a member that comes or goes stops the readers of
    one topic for a moment, not those of the whole service.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        partitions: int | None = None,
        replication_factor: int = 1,
        session_seconds: float = 30.0,
        publish_seconds: float = 10.0,
        connection: Mapping[str, Any] | None = None,
    ) -> None:
        """`partitions` is the most that a topic gets, whatever it declares. Another member takes over `session_seconds` after one was killed.
        `publish` gives up after `publish_seconds`. `connection` holds what the client library needs for TLS and SASL, by its names."""
        self._connection: dict[str, Any] = {"bootstrap_servers": bootstrap_servers} | dict(connection or {})
        self._override = partitions
        self._replicas = replication_factor
        self._session_seconds = session_seconds
        self._publisher = Publisher(self._connection, publish_seconds)
        self._declared: dict[str, int] = {}
        self._watching = asyncio.Lock()
        self._watch: tuple[AsyncExitStack, AIOKafkaAdminClient, Any] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close_lag_clients()
        await self._publisher.close()

    async def declare(self, topics: Sequence[Topic]) -> None:
        """As the protocol says; raises ValueError with everything in which an existing topic differs."""
        async with self._admin() as admin:
            await create_missing(admin, topics, self._partition_counts(topics), self._replicas)
        await self.validate_topics(topics)

    async def validate_topics(self, topics: Sequence[Topic]) -> None:
        """Raises ValueError with one sentence for each topic that is missing or differs; changes nothing."""
        async with self._admin() as admin:
            wrong = await find_differences(admin, topics, self._partition_counts(topics), self._replicas)
        if wrong:
            raise ValueError("\n".join(wrong))
        self._declared |= self._partition_counts(topics)

    def count_partitions(self, topic: str) -> int:
        """How many partitions a topic has that has been declared or checked here. Raises ValueError for others."""
        try:
            return self._declared[topic]
        except KeyError:
            raise ValueError(f"Topic {topic} has not been declared.") from None

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """As the protocol says. Raises ValueError for a topic or partition that does not exist; then nothing is sent."""
        if messages:
            await self._publisher.publish(messages)

    def join(self, group: str, topics: Sequence[str]) -> AbstractAsyncContextManager[KafkaReader]:
        """As the protocol says; members of a group that name the same topics share them. The first partitions come
        once the group has shared out, a second or so after this returns."""
        return join_group(self._connection, f"{group}:{'+'.join(sorted(topics))}", topics, self._session_seconds)

    async def lag(self, group: str) -> dict[TopicPartition, int]:
        """As the protocol says. It is asked often, so its clients stay for the next time, as long as they answer."""
        async with self._watching:
            try:
                with unreachable_as_connection_error():
                    return await self._lag(group)
            except BaseException:
                await self._close_lag_clients()
                raise

    async def _lag(self, group: str) -> dict[TopicPartition, int]:
        admin, observer = await self._ensure_lag_clients()
        groups = [name for name, *_ in await admin.list_consumer_groups() if name.startswith(f"{group}:")]
        committed: dict[Any, int] = {}
        for found in await asyncio.gather(*(admin.list_consumer_group_offsets(each) for each in groups)):
            committed |= {place: each.offset for place, each in found.items()}
        places = await _list_topic_partitions(observer, {place.topic for place in committed})
        ends: dict[Any, int] = await observer.end_offsets(places)
        begins: dict[Any, int] = await observer.beginning_offsets(places)
        return {
            TopicPartition(place.topic, place.partition): max(end - max(committed.get(place, 0), begins[place]), 0)
            for place, end in ends.items()
        }

    async def load_progress(self, topic: str, groups: Sequence[str]) -> dict[str, GroupProgress]:
        async with self._watching:
            try:
                with unreachable_as_connection_error():
                    admin, observer = await self._ensure_lag_clients()
                    names = [f"{group}:{topic}" for group in groups]
                    found = await asyncio.gather(*(admin.list_consumer_group_offsets(name) for name in names))
                    places = await _list_topic_partitions(observer, {topic})
                    ends: dict[Any, int] = await observer.end_offsets(places)
                    begins: dict[Any, int] = await observer.beginning_offsets(places)
            except BaseException:
                await self._close_lag_clients()
                raise
        told: dict[str, GroupProgress] = {}
        for group, committed in zip(groups, found, strict=True):
            at = {place: max(each.offset, begins[place]) for place, each in committed.items() if place in begins}
            if at:
                here = {place: at.get(place, begin) for place, begin in begins.items()}
                waiting = sum(max(ends[place] - here[place], 0) for place in ends)
                told[group] = GroupProgress(sum(here.values()), waiting)
        return told

    async def _ensure_lag_clients(self) -> tuple[AIOKafkaAdminClient, Any]:
        """Clients that look, made once."""
        if self._watch is None:
            async with AsyncExitStack() as stack:
                admin = await stack.enter_async_context(self._admin())
                observer = await stack.enter_async_context(self._open_groupless_consumer())
                self._watch = stack.pop_all(), admin, observer
        _, admin, observer = self._watch
        return admin, observer

    async def _close_lag_clients(self) -> None:
        if self._watch is not None:
            clients, *_ = self._watch
            self._watch = None
            await clients.aclose()

    async def read_to_end(self, topic: str, *, from_offset: int = 0) -> AsyncIterator[Message]:
        async with self._open_groupless_consumer() as observer:
            places = await _list_topic_partitions(observer, {topic})
            ends: dict[Any, int] = await observer.end_offsets(places)
            begins: dict[Any, int] = await observer.beginning_offsets(places)
            for place in places:
                start = max(begins[place], from_offset)
                if start >= ends[place]:
                    continue
                observer.assign([place])
                observer.seek(place, start)
                while await observer.position(place) < ends[place]:
                    found = await observer.getmany(place, timeout_ms=int(REQUEST_SECONDS * 1000), max_records=PAGE)
                    if not found and await observer.position(place) < ends[place]:
                        raise ConnectionError(f"Kafka does not give the rest of {topic}/{place.partition}.")
                    for record in found.get(place, []):
                        if record.offset < ends[place]:
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
        """A consumer that is in no group."""
        observer: Any = aiokafka.AIOKafkaConsumer(
            **self._connection,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            request_timeout_ms=int(REQUEST_SECONDS * 1000),
        )
        with unreachable_as_connection_error():
            try:
                await observer.start()
                yield observer
            finally:
                await stop_client(observer.stop(), observer._client)


async def _list_topic_partitions(observer: Any, topics: set[str]) -> list[Any]:
    """All partitions of the topics that exist."""
    if not topics:
        return []
    cluster: Any = await observer._client.fetch_all_metadata()
    return [
        aiokafka.TopicPartition(topic, partition)
        for topic in sorted(topics & cluster.topics())
        for partition in sorted(cluster.partitions_for_topic(topic))
    ]
