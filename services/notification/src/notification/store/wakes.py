"""LISTEN: who waits for a person's notices is woken when there are some. One connection for a whole process."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from sqlalchemy.ext.asyncio import AsyncEngine

from notification.store.notices import CHANNEL

log = logging.getLogger("uplift.notification")

RETRY_SECONDS = 1.0


class Wakes:
    """Listens while anybody waits. Being woken is a hint only: whoever waits also looks from time to time."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._listener: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def of(self, tenant: str, person_id: object) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever there may be something new."""
        key, wake = f"{tenant}/{person_id}", asyncio.Event()
        self._waiting.setdefault(key, set()).add(wake)
        if self._listener is None:
            self._listener = asyncio.create_task(self._listen())
        try:
            yield wake
        finally:
            self._waiting[key].discard(wake)
            if not self._waiting[key]:
                del self._waiting[key]
            if not self._waiting and self._listener:
                listener, self._listener = self._listener, None
                listener.cancel()
                with suppress(asyncio.CancelledError):
                    await listener

    async def _listen(self) -> None:
        while True:
            try:
                async with self._engine.connect() as connection:
                    await connection.execution_options(isolation_level="AUTOCOMMIT")
                    raw = (await connection.get_raw_connection()).driver_connection
                    assert raw is not None
                    try:
                        await raw.execute(f"LISTEN {CHANNEL}")
                        self._wake_all()  # for what came while nobody listened
                        async for note in raw.notifies():
                            for wake in self._waiting.get(note.payload, ()):
                                wake.set()
                    finally:
                        await connection.invalidate()  # it must not go back to the pool with its LISTEN
            except Exception as error:
                log.warning("lost the connection that listens for notices: %s", error)
            await asyncio.sleep(RETRY_SECONDS)

    def _wake_all(self) -> None:
        for wakes in self._waiting.values():
            for wake in wakes:
                wake.set()
