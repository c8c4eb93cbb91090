# pyright: reportMissingTypeStubs=false
"""The producer. One that fails is thrown away with all it still holds, and the next call begins a new one.

The client library delivers an idempotent message or tries for ever. A caller that has been told of a failure publishes
again, so what it gave before must never follow later on its own: it would arrive after newer messages of its key.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from messaging.broker import Outgoing
from messaging.kafka.client import stopped, unreachable_as_connection_error

BATCH_BYTES = 512 * 1024
REQUEST_BYTES = 1024 * 1024


class Publisher:
    def __init__(self, connection: Mapping[str, Any], seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self._producer: Any = None
        self._starting = asyncio.Lock()
        self._retiring: set[asyncio.Task[None]] = set()

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        producer: Any = None
        sent: list[asyncio.Future[Any]] = []
        try:
            with unreachable_as_connection_error():
                async with asyncio.timeout(self._seconds):
                    producer = await self._started()
                    await _check_places(producer, messages)
                    # The first of them wakes the sender, but it does not run before all are there: no lingering needed.
                    for message in messages:
                        sent.append(await producer.send(**_record(message)))
                    await asyncio.gather(*sent)
        except (ConnectionError, KafkaError, asyncio.CancelledError) as error:
            for each in sent:
                each.cancel()
            if producer is not None:
                self._retire(producer, error)
            raise

    async def close(self) -> None:
        if self._producer is not None:
            self._retire(self._producer, ConnectionError("The broker has been closed."))
        if self._retiring:
            await asyncio.wait(self._retiring)

    async def _started(self) -> Any:
        async with self._starting:
            if self._producer is None:
                producer: Any = AIOKafkaProducer(
                    **self._connection,
                    acks="all",
                    enable_idempotence=True,
                    compression_type="lz4",
                    max_batch_size=BATCH_BYTES,
                    max_request_size=REQUEST_BYTES,
                    request_timeout_ms=int(self._seconds * 1000),
                )
                try:
                    await producer.start()
                except BaseException:
                    await stopped(producer.stop(), producer.client)
                    raise
                self._producer = producer
            return self._producer

    def _retire(self, producer: Any, error: BaseException) -> None:
        if producer is self._producer:
            self._producer = None
            task = asyncio.create_task(_ended(producer, repr(error)), name="ends a Kafka producer")
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)


async def _ended(producer: Any, why: str) -> None:
    async def stop() -> None:
        # In this order: nothing more is sent; who waits is told; then its own end has nothing left to deliver.
        sender, accumulator = producer._sender, producer._message_accumulator
        if sender.sender_task is not None:
            sender.sender_task.cancel()
            await asyncio.wait((sender.sender_task,))
        accumulator.fail_all(KafkaError(why))
        await producer.stop()

    await stopped(stop(), producer.client)


async def _check_places(producer: Any, messages: Sequence[Outgoing]) -> None:
    """Raises ValueError before anything has been sent."""
    cluster = producer.client.cluster
    for topic in {message.topic for message in messages}:
        known: set[int] | None = cluster.partitions_for_topic(topic)
        if known is None:
            everything = await producer.client.fetch_all_metadata()
            if topic not in everything.topics():
                raise ValueError(f"There is no topic {topic}, so it has no partition.")
            known = await producer.partitions_for(topic)
        for message in messages:
            if message.topic == topic and message.partition not in (known or ()):
                raise ValueError(f"Topic {topic} has no partition {message.partition}.")


def _record(message: Outgoing) -> dict[str, Any]:
    return {
        "topic": message.topic,
        "partition": message.partition,
        "key": message.key.encode(),
        "value": message.value,
        "headers": [(name, value.encode()) for name, value in message.headers.items()],
    }
