"""Garbage collection of documents that no row references.

A document is written before the transaction that references it, and that transaction may fail. So before a process
writes its first document into a tenant's collection, it schedules a daily sweep as a due item. A sweep checks the
documents written since the last one and removes those that no row references. A document that a service stops
referencing later, such as a replaced draft, is discarded by an item of its own.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from storage.documents import Document, DocumentStore, JsonbDocumentStore
from storage.mongo import MongoDocumentStore
from storage.session import Session
from storage.sessions import Sessions

SWEEP_INTERVAL = timedelta(days=1)
GRACE_PERIOD = timedelta(days=1)
"""How old a document must be by the wall clock to be removed: far older than any transaction that would reference it."""

_SCHEDULE_SWEEP = """
INSERT INTO due_item (tenant, kind, ref, at, body)
SELECT :tenant, 'sweep', :collection,
       coalesce((SELECT now FROM tenant_clock WHERE tenant = :tenant), :now) + :every, '{}'
ON CONFLICT DO NOTHING
"""

FindUnreferenced = Callable[[Session, Sequence[str]], Awaitable[Collection[str]]]
"""Returns which of these documents no row references. Called in the transaction in which they are then removed."""


class DueItemLike(Protocol):
    """The part of the clock door's due item that the sweeper reads."""

    @property
    def ref(self) -> str:
        """A collection, or a document to discard."""
        ...

    @property
    def body(self) -> dict[str, Any]:
        """How far a sweep has come, or the collection of a document to discard."""
        ...


def create_document_store(sessions: Sessions, mongodb_url: str | None) -> DocumentStore:
    """A service's document store: in MongoDB if there is a URL, else `jsonb` in the service's own schema."""
    own_sessions = sessions.with_own_pool()
    store = MongoDocumentStore(mongodb_url, sessions.service) if mongodb_url else JsonbDocumentStore(own_sessions)
    return SweptDocumentStore(store, own_sessions)


class SweptDocumentStore:
    """A `DocumentStore` that schedules the sweep of a collection before its first write. `sessions` have a pool of their
    own, because documents are written while sessions are open."""

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
        """Closes the store and the pool."""
        await self._store.close()
        await self._sessions.engine.dispose()

    async def put(self, tenant: str, collection: str, documents: Sequence[Document]) -> None:
        """See `DocumentStore.put`."""
        if documents and (tenant, collection) not in self._scheduled_sweeps:
            # One at a time: the INSERT may wait for a running sweep, which itself needs a connection of this pool.
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
    """Schedules the removal of a document that the service no longer needs, unless a row references it by then."""
    await session.schedule("discard", document, session.now + GRACE_PERIOD, {"collection": collection})


class Sweeper:
    """The handlers of the due items `sweep` and `discard`. `unused` finds unreferenced documents, by collection. A sweep
    removes documents that are older than `grace_period`."""

    def __init__(
        self,
        documents: DocumentStore,
        unused: Mapping[str, FindUnreferenced],
        *,
        grace_period: timedelta = GRACE_PERIOD,
    ) -> None:
        self._documents = documents
        self._unused = unused
        self.grace_period = grace_period

    async def on_sweep(self, session: Session, item: DueItemLike) -> None:
        """Removes unreferenced documents of a collection that were written since the last sweep: one page per call, then
        the next page at once, or after the last one the next sweep in a day."""
        # The wall clock also for a simulated tenant, whose days may pass while a request is running.
        known = {name: datetime.fromisoformat(item.body[name]) for name in ("since", "before") if item.body.get(name)}
        before, since = known.get("before") or datetime.now(UTC) - self.grace_period, known.get("since")
        after: str | None = item.body.get("after")
        ids = await self._documents.ids_before(session.tenant, item.ref, before, since=since, after=after)
        if ids:
            await self._delete_unreferenced(session, item.ref, ids)
            next_page = {**item.body, "before": before.isoformat(), "after": ids[-1]}
            await session.schedule("sweep", item.ref, session.now, next_page)
        else:
            await session.schedule("sweep", item.ref, session.now + SWEEP_INTERVAL, {"since": before.isoformat()})

    async def on_discard(self, session: Session, item: DueItemLike) -> None:
        """Removes one document unless a row references it."""
        await self._delete_unreferenced(session, item.body["collection"], [item.ref])

    async def _delete_unreferenced(self, session: Session, collection: str, ids: Sequence[str]) -> None:
        unused = await self._unused[collection](session, ids)
        await self._documents.delete(session.tenant, collection, list(unused))
