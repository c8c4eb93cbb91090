"""Wakes streams by PostgreSQL's LISTEN, over one connection per process."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from sqlalchemy.ext.asyncio import AsyncEngine
from storage import listen

from notification.store.notices import CHANNEL


class NotificationListener:
    """Listens while anybody subscribes. A wake-up is a hint only: subscribers also poll."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._person_events: dict[str, set[asyncio.Event]] = {}
        self._other_events: dict[str, set[asyncio.Event]] = {}
        self._listener: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def subscribe(self, tenant: str, person_id: object, *others: str) -> AsyncGenerator[asyncio.Event]:
        """An event that is set when there may be news of the person, or of one of the other keys of `notify_streams`."""
        key, wake = f"{tenant}/{person_id}", asyncio.Event()
        subscriptions = [(self._person_events, key), *((self._other_events, other) for other in others)]
        for events, name in subscriptions:
            events.setdefault(name, set()).add(wake)
        if self._listener is None:
            self._listener = asyncio.create_task(listen(self._engine, CHANNEL, self._on_notify))
        try:
            yield wake
        finally:
            for events, name in subscriptions:
                events[name].discard(wake)
                if not events[name]:
                    del events[name]
            if not self._person_events and self._listener:
                listener, self._listener = self._listener, None
                listener.cancel()
                with suppress(asyncio.CancelledError):
                    await listener

    def _on_notify(self, key: str | None) -> None:
        """`key` None: the connection was new, and messages may have been missed."""
        if key is None:
            woken = [*self._person_events.values()]
        else:
            woken = [self._person_events.get(key, ()), self._other_events.get(key, ())]
        for wakes in woken:
            for wake in wakes:
                wake.set()
