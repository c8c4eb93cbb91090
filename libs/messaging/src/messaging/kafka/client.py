# pyright: reportMissingTypeStubs=false
"""Helpers for the client library aiokafka: translation of its errors, limits on its logs, and a stop that always ends."""

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
    """Passes each warning once in LOG_INTERVAL_SECONDS. While Kafka is unavailable, every reader logs several a second."""

    def __init__(self) -> None:
        super().__init__()
        self._passed_at: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        key = str(record.msg)
        due = record.created >= self._passed_at.get(key, 0.0) + LOG_INTERVAL_SECONDS
        if due:
            self._passed_at[key] = record.created
        return due


for _name in NOISY_LOGGERS:
    logging.getLogger(f"aiokafka.{_name}").addFilter(_RateLimitFilter())


@contextmanager
def unreachable_as_connection_error() -> Generator[None]:
    """Turns timeouts and retriable Kafka errors in the block into ConnectionError."""
    try:
        yield
    except TimeoutError as error:
        raise ConnectionError("Kafka did not answer in time.") from error
    except KafkaError as error:
        if is_retriable(error):
            raise ConnectionError(f"Kafka cannot be reached: {error!r}") from error
        raise


def is_retriable(error: KafkaError) -> bool:
    """Whether a retry may succeed. The client reports lost tasks and nodes by a plain KafkaError. A closed or fenced producer
    is replaced by a new one."""
    ended = (ProducerClosed, ProducerFenced, OutOfOrderSequenceNumber)
    return error.retriable or type(error) is KafkaError or isinstance(error, ended)


async def stop_client(stop: Coroutine[Any, Any, None], client: Any) -> None:
    """Runs the client library's `stop`. It may wait forever for an answer, or be cancelled halfway; closing the connections
    after STOP_SECONDS ends the wait and frees what is still open."""
    stopping = asyncio.ensure_future(stop)
    await asyncio.wait((stopping,), timeout=STOP_SECONDS)
    await client.close()
    await asyncio.wait((stopping,), timeout=STOP_SECONDS)
    if not stopping.done():
        stopping.cancel()
        log.warning("A Kafka client did not stop in time")
    elif not stopping.cancelled() and (error := stopping.exception()):
        log.info("A Kafka client stopped with %r", error)
