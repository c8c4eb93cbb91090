"""Which errors are worth a retry, and the delays between retries."""

import asyncio
import random
from dataclasses import dataclass

import psycopg


@dataclass(slots=True)
class Backoff:
    """Delays that double from `initial_seconds` to `max_seconds`, with random jitter so that clients do not retry together."""

    initial_seconds: float = 0.1
    max_seconds: float = 15.0
    tries: int = 0

    def next_delay_seconds(self) -> float:
        """The seconds to wait before the next retry: 50 to 100 % of the current delay."""
        wait = min(self.max_seconds, self.initial_seconds * 2 ** min(self.tries, 20))
        self.tries += 1
        return wait * random.uniform(0.5, 1.0)  # noqa: S311  no secret

    def reset(self) -> None:
        """Starts again at `initial_seconds`. To be called after a success."""
        self.tries = 0


def is_transient(error: BaseException) -> bool:
    """Whether a retry may succeed. The error's attribute `transient` decides, if it has one."""
    marker = getattr(error, "transient", None)
    if isinstance(marker, bool):
        return marker
    if isinstance(error, OSError | psycopg.OperationalError):  # ConnectionError and TimeoutError are OSErrors
        return True
    # SQLAlchemy wraps the driver's error.
    driver_error = getattr(error, "orig", None)
    return isinstance(driver_error, BaseException) and is_transient(driver_error)


async def wait_for_any(seconds: float, *events: asyncio.Event) -> None:
    """Returns after `seconds`, or as soon as one of the events is set."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=max(seconds, 0.0), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
