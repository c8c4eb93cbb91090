# pyright: reportMissingTypeStubs=false
"""Publishing to Kafka. A producer that fails is discarded with its undelivered messages; the next call starts a new one.

The client library retries an idempotent message forever. But a caller that gets an error publishes its messages again, so
the failed ones must not be delivered later: they would arrive after newer messages of the same key.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from messaging.broker import Outgoing
from messaging.kafka.client import stop_client, unreachable_as_connection_error

BATCH_BYTES = 512 * 1024
REQUEST_BYTES = 1024 * 1024  # Kafka's default limit
MAX_MESSAGE_BYTES = REQUEST_BYTES - 16 * 1024


class Publisher:
    """Publishes messages by one producer at a time. `seconds`: the timeout of `publish`."""

    def __init__(self, connection: Mapping[str, Any], seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self._producer: Any = None
        self._start_lock = asyncio.Lock()
        self._stopping: set[asyncio.Task[None]] = set()

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Returns when all messages are durable. Raises ConnectionError when Kafka does not answer in time, ValueError for
        an unknown topic or partition or a message over MAX_MESSAGE_BYTES."""
        producer: Any = None
        sent: list[asyncio.Future[Any]] = []
        try:
            with unreachable_as_connection_error():
                async with asyncio.timeout(self._seconds):
                    producer = await self._ensure_producer()
                    await _validate_messages(producer, messages)
                    # The first message wakes the sender task, which runs only after all are queued: no linger time needed.
                    for message in messages:
                        sent.append(await producer.send(**_to_record_arguments(message)))  # noqa: PERF401  kept if a send fails
                    await asyncio.gather(*sent)
        except (ConnectionError, KafkaError, asyncio.CancelledError):
            for each in sent:
                each.cancel()
            if producer is not None:
                self._discard_producer(producer)
            raise

    async def close(self) -> None:
        """Stops the producer, and waits for those that are stopping."""
        if self._producer is not None:
            self._discard_producer(self._producer)
        if self._stopping:
            await asyncio.wait(self._stopping)

    async def _ensure_producer(self) -> Any:
        async with self._start_lock:
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
        task = asyncio.create_task(stop_client(stop, producer.client), name="stop a Kafka producer")
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)


async def _stop_undelivered(producer: Any) -> None:
    """Stops a producer and drops its undelivered messages, which its own `stop` would still deliver. Other callers that
    wait for these messages get a timeout."""
    sender, accumulator = producer._sender, producer._message_accumulator
    if sender.sender_task is not None:
        sender.sender_task.cancel()
        await asyncio.wait((sender.sender_task,))
    accumulator._batches.clear()
    accumulator._pending_batches.clear()
    await producer.stop()


async def _validate_messages(producer: Any, messages: Sequence[Outgoing]) -> None:
    """Raises ValueError for messages that Kafka would refuse, before any is sent, so that the producer stays usable."""
    cluster = producer.client.cluster
    for topic in {message.topic for message in messages}:
        known: set[int] | None = cluster.partitions_for_topic(topic)
        if known is None:
            metadata = await producer.client.fetch_all_metadata()
            if topic not in metadata.topics():
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
