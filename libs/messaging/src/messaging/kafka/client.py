# pyright: reportMissingTypeStubs=false
"""What all parts need of the client library: its errors as ours, and an end that always comes."""

import asyncio
import logging
from collections.abc import Coroutine, Generator
from contextlib import contextmanager
from typing import Any

from aiokafka.errors import IncompatibleBrokerVersion, KafkaError

log = logging.getLogger(__name__)

STOP_SECONDS = 5.0


@contextmanager
def unreachable_as_connection_error() -> Generator[None]:
    try:
        yield
    except TimeoutError as error:
        raise ConnectionError("Kafka did not answer in time.") from error
    except KafkaError as error:
        if is_passing(error):
            raise ConnectionError(f"Kafka cannot be reached: {error!r}") from error
        raise


def is_passing(error: KafkaError) -> bool:
    """Whether another try may succeed. An error of the bare class is how the client reports lost tasks and nodes."""
    return error.retriable or (type(error) is KafkaError and not isinstance(error, IncompatibleBrokerVersion))


async def stopped(stop: Coroutine[Any, Any, None], client: Any) -> None:
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
