"""LISTEN: who waits for a person's notices is woken when there are some. One connection for a whole process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from sqlalchemy.ext.asyncio import AsyncEngine
from storage import listen

from notification.store.notices import CHANNEL


class NotificationListener:
    """Listens while anybody waits. Being woken is a hint only: whoever waits also looks from time to time."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._person_events: dict[str, set[asyncio.Event]] = {}
        self._other_events: dict[str, set[asyncio.Event]] = {}
        self._listener: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def subscribe(self, tenant: str, person_id: object, *others: str) -> AsyncIterator[asyncio.Event]:
        """An event that is set whenever there may be something new of the person, or of one of `others`."""
        key, wake = f"{tenant}/{person_id}", asyncio.Event()
        places = [(self._person_events, key), *((self._other_events, other) for other in others)]
        for waiting, name in places:
            waiting.setdefault(name, set()).add(wake)
        if self._listener is None:
            self._listener = asyncio.create_task(listen(self._engine, CHANNEL, self._on_notify))
        try:
            yield wake
        finally:
            for waiting, name in places:
                waiting[name].discard(wake)
                if not waiting[name]:
                    del waiting[name]
            if not self._person_events and self._listener:
                listener, self._listener = self._listener, None
                listener.cancel()
                with suppress(asyncio.CancelledError):
                    await listener

    def _on_notify(self, whose: str | None) -> None:
        """None: something may have come while nobody listened."""
        if whose is None:
            woken = [*self._person_events.values()]
        else:
            woken = [self._person_events.get(whose, ()), self._other_events.get(whose, ())]
        for wakes in woken:
            for wake in wakes:
                wake.set()
