# pyright: reportMissingTypeStubs=false
"""What all parts need of the client library: its errors as ours, and an end that always comes."""

import asyncio
import logging
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from typing import Any

from aiokafka.errors import KafkaError, OutOfOrderSequenceNumber, ProducerClosed, ProducerFenced

log = logging.getLogger(__name__)

STOP_SECONDS = 5.0
LOG_INTERVAL_SECONDS = 30.0
NOISY_LOGGERS = ("client", "conn", "consumer.fetcher", "consumer.group_coordinator", "producer.sender")


class _RateLimitFilter(logging.Filter):
    """While Kafka is away each reader would report every attempt, several a second."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        key = str(record.msg)
        due = record.created >= self._said.get(key, 0.0) + LOG_INTERVAL_SECONDS
        if due:
            self._said[key] = record.created
        return due


for _name in NOISY_LOGGERS:
    logging.getLogger(f"aiokafka.{_name}").addFilter(_RateLimitFilter())


@contextmanager
def unreachable_as_connection_error() -> Generator[None]:
    try:
        yield
    except TimeoutError as error:
        raise ConnectionError("Kafka did not answer in time.") from error
    except KafkaError as error:
        if is_retriable(error):
            raise ConnectionError(f"Kafka cannot be reached: {error!r}") from error
        raise


def is_retriable(error: KafkaError) -> bool:
    """Whether another try may succeed. An error of the bare class is how the client reports lost tasks and nodes; an ended
    producer is followed by a new one."""
    ended = (ProducerClosed, ProducerFenced, OutOfOrderSequenceNumber)
    return error.retriable or type(error) is KafkaError or isinstance(error, ended)


async def stop_client(stop: Coroutine[Any, Any, None], client: Any) -> None:
    """Runs the client library's own `stop`. It may wait for an answer that does not come, or end halfway in a cancellation
    of its own; closing the connections then ends the wait and what it has left open."""
    stopping = asyncio.ensure_future(stop)
    await asyncio.wait((stopping,), timeout=STOP_SECONDS)
    await client.close()
    await asyncio.wait((stopping,), timeout=STOP_SECONDS)
    if not stopping.done():
        stopping.cancel()
        log.warning("A Kafka client did not end")
    elif not stopping.cancelled() and (error := stopping.exception()):
        log.info("A Kafka client ended with %r", error)
