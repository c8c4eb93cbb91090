"""Removing documents that nothing points to.

A document is written before the transaction that points to it, and that transaction may never come to its end. So the
clock is told durably, before a process writes its first document into a tenant's collection, to sweep it: once a day it
goes through what was written since the last time, and removes what the service's rows do not name. What the service
itself lets go of later, such as a draft that was replaced, it discards.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from storage.documents import Document, DocumentStore, JsonbDocumentStore
from storage.mongo import MongoDocumentStore
from storage.session import Session, Sessions

SWEEP_INTERVAL = timedelta(days=1)
GRACE_PERIOD = timedelta(days=1)
"""How old a document must be, by the wall clock: far older than the transaction that it was written for can be."""

_SCHEDULE_SWEEP = """
INSERT INTO due_item (tenant, kind, ref, at, body)
SELECT :tenant, 'sweep', :collection,
       coalesce((SELECT now FROM tenant_clock WHERE tenant = :tenant), :now) + :every, '{}'
ON CONFLICT DO NOTHING
"""

FindUnreferenced = Callable[[Session, Sequence[str]], Awaitable[Collection[str]]]
"""Which of these documents no row names. Called in the transaction that then has them removed."""


class DueItemLike(Protocol):
    @property
    def ref(self) -> str: ...
    @property
    def body(self) -> dict[str, Any]: ...


def create_document_store(sessions: Sessions, mongodb_url: str | None) -> DocumentStore:
    """A service's documents: in MongoDB where a URL names one, else `jsonb` in its own schema."""
    apart = sessions.with_own_pool()
    store = MongoDocumentStore(mongodb_url, sessions.service) if mongodb_url else JsonbDocumentStore(apart)
    return SweptDocumentStore(store, apart)


class SweptDocumentStore:
    """A store, and the promise that what is written into it and not named is removed again. `sessions` are its own:
    documents are written while units of work are open."""

    def __init__(self, store: DocumentStore, sessions: Sessions) -> None:
        self._store = store
        self._sessions = sessions
        self._scheduled_sweeps: set[tuple[str, str]] = set()
        self._schedule_lock = asyncio.Lock()
        self.get = store.get
        self.find = store.find
        self.delete = store.delete
        self.ids_before = store.ids_before

    async def close(self) -> None:
        await self._store.close()
        await self._sessions.engine.dispose()

    async def put(self, tenant: str, collection: str, documents: Sequence[Document]) -> None:
        if documents and (tenant, collection) not in self._scheduled_sweeps:
            # One at a time: it waits for a sweep under way, which must find a connection beside the one that waits.
            async with self._schedule_lock:
                await self._ensure_sweep_scheduled(tenant, collection)
        await self._store.put(tenant, collection, documents)

    async def _ensure_sweep_scheduled(self, tenant: str, collection: str) -> None:
        if (tenant, collection) in self._scheduled_sweeps:
            return
        now = datetime.now(UTC)
        async with self._sessions.begin([tenant], now=now) as session:
            place = {"tenant": tenant, "collection": collection}
            await session.run(_SCHEDULE_SWEEP, {**place, "now": now, "every": SWEEP_INTERVAL})
        self._scheduled_sweeps.add((tenant, collection))


async def schedule_discard(session: Session, collection: str, document: str) -> None:
    """Has a document removed that the service no longer needs, unless something still names it then."""
    await session.schedule("discard", document, session.now + GRACE_PERIOD, {"collection": collection})


class Sweeper:
    """The clock's handlers of `sweep` and `discard`. `unused` is asked by collection."""

    def __init__(self, documents: DocumentStore, unused: Mapping[str, FindUnreferenced]) -> None:
        self._documents = documents
        self._unused = unused

    async def on_sweep(self, session: Session, item: DueItemLike) -> None:
        """Goes through a collection's documents from where the last sweep ended, a page at a time, each a due item of its
        own, and comes again tomorrow."""
        # The wall clock, whatever the tenant's: a simulated tenant's days pass while a request is under way.
        known = {name: datetime.fromisoformat(item.body[name]) for name in ("since", "before") if item.body.get(name)}
        before, since = known.get("before") or datetime.now(UTC) - GRACE_PERIOD, known.get("since")
        after: str | None = item.body.get("after")
        ids = await self._documents.ids_before(session.tenant, item.ref, before, since=since, after=after)
        if ids:
            await self._delete_unreferenced(session, item.ref, ids)
            going_on = {**item.body, "before": before.isoformat(), "after": ids[-1]}
            await session.schedule("sweep", item.ref, session.now, going_on)
        else:
            await session.schedule("sweep", item.ref, session.now + SWEEP_INTERVAL, {"since": before.isoformat()})

    async def on_discard(self, session: Session, item: DueItemLike) -> None:
        await self._delete_unreferenced(session, item.body["collection"], [item.ref])

    async def _delete_unreferenced(self, session: Session, collection: str, ids: Sequence[str]) -> None:
        unused = await self._unused[collection](session, ids)
        await self._documents.delete(session.tenant, collection, list(unused))
