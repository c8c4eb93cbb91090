"""LISTEN: who waits for a person's notices is woken when there are some. One connection for a whole process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from sqlalchemy.ext.asyncio import AsyncEngine
from storage import listen

from notification.store.notices import CHANNEL


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
            self._listener = asyncio.create_task(listen(self._engine, CHANNEL, self._heard))
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

    def _heard(self, whose: str | None) -> None:
        """None: something may have come while nobody listened."""
        for wakes in self._waiting.values() if whose is None else [self._waiting.get(whose, ())]:
            for wake in wakes:
                wake.set()
