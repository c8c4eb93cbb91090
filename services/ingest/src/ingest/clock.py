"""The time door: bodies that wait to be read, receipts that are replayed or undone, what follows from changes of the directory, receipts whose sender or process went away, documents nobody names."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

from servicekit import DueItem, Job, Lease
from servicekit.service_definition import DueHandler
from storage import Session, Sweeper

from ingest.actions import archive, directory_changes, replay, undo
from ingest.actions.upload_service import UploadService
from ingest.actions.uploads import ABANDONED_AFTER, mark_interrupted
from ingest.store import interactions, receipts

_QUIET_PERIOD = timedelta(minutes=10)
_PLAIN_ID_CHARS = 36


def handlers(reception: UploadService) -> dict[str, DueHandler | Job]:
    async def on_read(lease: Lease, item: DueItem) -> None:
        await reception.read_spooled(lease, item.tenant, UUID(item.ref))

    async def on_abandoned(session: Session, item: DueItem) -> None:
        row = await receipts.find(session, UUID(item.ref))
        if row is None or row["status"] not in ("reading", "receiving"):
            return
        # The wall clock decides whether anybody still works at it: a simulated tenant's hours pass in a moment.
        if datetime.now(UTC) - row["touched_at"] < _QUIET_PERIOD:
            await session.schedule(item.kind, item.ref, session.now + ABANDONED_AFTER)
            return
        await mark_interrupted(session, UUID(item.ref))
        await session.schedule("read", item.ref, session.now)  # which finds nothing to read, and forgets the copy

    async def on_days(session: Session, item: DueItem) -> None:
        await directory_changes.on_check_workdays(session, reception.documents, item)

    async def on_follow(session: Session, item: DueItem) -> None:
        await directory_changes.on_rederive(session, reception.documents, item)

    async def on_undo(lease: Lease, item: DueItem) -> None:
        await undo.go_on(lease, reception.documents, item)

    sweeper = Sweeper(
        reception.documents, {archive.RAW: _find_unused_documents, archive.SPOOL: receipts.find_unused_spool}
    )
    return {
        "read": Job(on_read),
        replay.REPLAY: Job(reception.replay_on),
        undo.UNDO: Job(on_undo),
        "abandoned": on_abandoned,
        "sweep": sweeper.on_sweep,
        "discard": sweeper.on_discard,
        "days": on_days,
        "follow": on_follow,
    }


async def _find_unused_documents(session: Session, ids: Sequence[str]) -> list[str]:
    """Of raw records, whose ids are a receipt's with a number, and of contents of versions, whose ids are plain."""
    raw = [id for id in ids if len(id) > _PLAIN_ID_CHARS]
    plain = [id for id in ids if len(id) == _PLAIN_ID_CHARS]
    return await receipts.find_unused_raw(session, raw) + await interactions.find_unused_documents(session, plain)
