"""The time door: bodies that wait to be read, receipts whose sender or process went away, documents nobody names."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from servicekit import DueItem
from servicekit.kit import DueHandler
from storage import Session, Sweeper

from ingest.actions import archive
from ingest.actions.reception import ABANDONED_AFTER, Reception, interrupt
from ingest.store import receipts

_QUIET = timedelta(minutes=10)


def handlers(reception: Reception) -> dict[str, DueHandler]:
    async def on_read(session: Session, item: DueItem) -> None:
        await reception.read_spooled(session, UUID(item.ref))

    async def on_abandoned(session: Session, item: DueItem) -> None:
        row = await receipts.find(session, UUID(item.ref))
        if row is None or row["status"] not in ("reading", "receiving"):
            return
        # The wall clock decides whether anybody still works at it: a simulated tenant's hours pass in a moment.
        if datetime.now(UTC) - row["touched_at"] < _QUIET:
            await session.schedule(item.kind, item.ref, session.now + ABANDONED_AFTER)
            return
        await interrupt(session, UUID(item.ref))
        await reception.forget_spool(item.tenant, UUID(item.ref))

    sweeper = Sweeper(reception.documents, {archive.RAW: receipts.unused_raw, archive.SPOOL: receipts.unused_spool})
    return {
        "read": on_read,
        "abandoned": on_abandoned,
        "sweep": sweeper.on_sweep,
        "discard": sweeper.on_discard,
    }
