"""LISTEN and NOTIFY between processes. A notification is a hint and may be lost: listeners also poll."""

import asyncio
import logging
from collections.abc import Callable

from sqlalchemy.ext.asyncio import AsyncEngine

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


async def listen(engine: AsyncEngine, channel: str, on_notify: Callable[[str | None], None]) -> None:
    """Calls `on_notify` with the payload of each notification, until cancelled. Reconnects after a lost connection, and
    calls `on_notify` with None after each connect, because notifications may have been missed."""
    while True:
        try:
            async with engine.connect() as connection:
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                raw = (await connection.get_raw_connection()).driver_connection
                assert raw is not None
                try:
                    await raw.execute(f"LISTEN {channel}")
                    on_notify(None)
                    async for note in raw.notifies():
                        on_notify(note.payload)
                finally:
                    await connection.invalidate()  # must not return to the pool with its LISTEN
        except Exception as error:
            log.warning("lost the connection that listens on %s: %s", channel, error)
        await asyncio.sleep(RETRY_SECONDS)
