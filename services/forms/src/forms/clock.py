"""The time door: documents that nothing points to are removed."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from servicekit import DueItem
from storage import DocumentStore, Session

from forms import store

# By the wall clock, whatever the tenant's: how long a transaction may still be under way after its document.
GRACE = timedelta(hours=1)
_PAGE = 500


class Sweeper:
    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    async def on_discard(self, session: Session, item: DueItem) -> None:
        """A draft's document that another one has replaced; kept while a published version is made of it."""
        gone = await store.unreferenced(session, store.DEFINITIONS, [UUID(item.ref)])
        await self._documents.delete(session.tenant, store.DEFINITIONS, [str(each) for each in gone])

    async def on_sweep(self, session: Session, item: DueItem) -> None:
        """Documents of one day whose transaction failed after they were written."""
        wall: datetime = await session.scalar("SELECT now()")
        again = False
        for collection in (store.DEFINITIONS, store.SUBMISSIONS):
            after: str | None = None
            while True:
                page = await self._documents.find(
                    session.tenant, collection, {"day": item.ref}, after=after, limit=_PAGE
                )
                if not page:
                    break
                after = page[-1].id
                ids = [UUID(each.id) for each in page]
                old = [each for each in ids if _written_at(each) < wall - GRACE]
                again |= len(old) < len(ids)
                gone = await store.unreferenced(session, collection, old)
                await self._documents.delete(session.tenant, collection, [str(each) for each in gone])
        if again:
            await session.schedule("sweep", item.ref, session.now + timedelta(days=1))


def _written_at(id: UUID) -> datetime:
    """A UUIDv7 begins with the milliseconds of its making."""
    return datetime.fromtimestamp((id.int >> 80) / 1000, UTC)
