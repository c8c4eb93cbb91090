"""The clock door: reads spooled bodies, resumes replays, undos and changes of the directory, marks abandoned receipts, and
sweeps unused documents."""

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


def handlers(upload_service: UploadService) -> dict[str, DueHandler | Job]:
    """The handlers of due items, by kind."""

    async def on_read(lease: Lease, item: DueItem) -> None:
        await upload_service.read_spooled(lease, item.tenant, UUID(item.ref))

    async def on_abandoned(session: Session, item: DueItem) -> None:
        row = await receipts.find(session, UUID(item.ref))
        if row is None or row.status not in ("reading", "receiving"):
            return
        # The wall clock decides whether a process still reads it: a simulated tenant's hours pass in a moment.
        if datetime.now(UTC) - row.touched_at < _QUIET_PERIOD:
            await session.schedule(item.kind, item.ref, session.now + ABANDONED_AFTER)
            return
        await mark_interrupted(session, UUID(item.ref))
        await session.schedule("read", item.ref, session.now)  # deletes the spooled body, reads nothing

    async def on_days(session: Session, item: DueItem) -> None:
        await directory_changes.on_check_workdays(session, upload_service.documents, item)

    async def on_follow(session: Session, item: DueItem) -> None:
        await directory_changes.on_rederive(session, upload_service.documents, item)

    async def on_undo(lease: Lease, item: DueItem) -> None:
        await undo.resume(lease, upload_service.documents, item)

    sweeper = Sweeper(
        upload_service.documents, {archive.RAW: _find_unused_documents, archive.SPOOL: receipts.find_unused_spool}
    )
    return {
        "read": Job(on_read),
        replay.REPLAY: Job(upload_service.resume_replay),
        undo.UNDO: Job(on_undo),
        "abandoned": on_abandoned,
        "sweep": sweeper.on_sweep,
        "discard": sweeper.on_discard,
        "days": on_days,
        "follow": on_follow,
    }


async def _find_unused_documents(session: Session, ids: Sequence[str]) -> list[str]:
    """Those of these documents that no row names. A document of raw records has a receipt's id and a number as its id; one
    of leg contents has a plain id."""
    raw = [id for id in ids if len(id) > _PLAIN_ID_CHARS]
    plain = [id for id in ids if len(id) == _PLAIN_ID_CHARS]
    return await receipts.find_unused_raw(session, raw) + await interactions.find_unused_documents(session, plain)
