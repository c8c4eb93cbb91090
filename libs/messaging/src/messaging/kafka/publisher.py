# pyright: reportMissingTypeStubs=false
"""The producer. One that fails is thrown away with all it still holds, and the next call begins a new one.

The client library delivers an idempotent message or tries for ever. A caller that has been told of a failure publishes
again, so what it gave before must never follow later on its own: it would arrive after newer messages of its key.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from messaging.broker import Outgoing
from messaging.kafka.client import stop_client, unreachable_as_connection_error

BATCH_BYTES = 512 * 1024
REQUEST_BYTES = 1024 * 1024  # as much as a broker takes unless told otherwise
MAX_MESSAGE_BYTES = REQUEST_BYTES - 16 * 1024


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
                    producer = await self._ensure_producer()
                    await _validate_messages(producer, messages)
                    # The first of them wakes the sender, but it does not run before all are there: no lingering needed.
                    for message in messages:
                        sent.append(await producer.send(**_to_record_arguments(message)))  # noqa: PERF401  a failure must find them
                    await asyncio.gather(*sent)
        except (ConnectionError, KafkaError, asyncio.CancelledError):
            for each in sent:
                each.cancel()
            if producer is not None:
                self._discard_producer(producer)
            raise

    async def close(self) -> None:
        if self._producer is not None:
            self._discard_producer(self._producer)
        if self._retiring:
            await asyncio.wait(self._retiring)

    async def _ensure_producer(self) -> Any:
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
                    self._stop_in_background(producer.stop(), producer)
                    raise
                self._producer = producer
            return self._producer

    def _discard_producer(self, producer: Any) -> None:
        if producer is self._producer:
            self._producer = None
            self._stop_in_background(_stop_undelivered(producer), producer)

    def _stop_in_background(self, stop: Coroutine[Any, Any, None], producer: Any) -> None:
        task = asyncio.create_task(stop_client(stop, producer.client), name="ends a Kafka producer")
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)


async def _stop_undelivered(producer: Any) -> None:
    """Its own `stop` would first deliver what is left. Who else waits for that runs into a timeout of his own."""
    sender, accumulator = producer._sender, producer._message_accumulator
    if sender.sender_task is not None:
        sender.sender_task.cancel()
        await asyncio.wait((sender.sender_task,))
    accumulator._batches.clear()
    accumulator._pending_batches.clear()
    await producer.stop()


async def _validate_messages(producer: Any, messages: Sequence[Outgoing]) -> None:
    """Raises ValueError before anything has been sent, and so without harm to what others publish."""
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
    for message in messages:
        headers = sum(len(name) + len(value) for name, value in message.headers.items())
        size = len(message.key) + len(message.value or b"") + headers
        if size > MAX_MESSAGE_BYTES:
            raise ValueError(f"A message for {message.topic} has {size} bytes; {MAX_MESSAGE_BYTES} are the most.")


def _to_record_arguments(message: Outgoing) -> dict[str, Any]:
    return {
        "topic": message.topic,
        "partition": message.partition,
        "key": message.key.encode(),
        "value": message.value,
        "headers": [(name, value.encode()) for name, value in message.headers.items()],
    }
