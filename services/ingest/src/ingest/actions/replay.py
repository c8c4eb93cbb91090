"""Judging a receipt's records again, after its mapping was corrected: document by document, each in a transaction.

The request judges the first document, so that a small receipt is done at once; the clock door judges the others. Meanwhile
the receipt's status is `replaying`.
"""

from uuid import UUID

from pydantic import BaseModel
from servicekit import DueItem, Lease
from servicekit.errors import Conflict
from storage import Document, DocumentStore, MultiInsert, Session

from ingest.actions import archive
from ingest.actions.intake import judge_chunk, new_chunk, write_chunk
from ingest.actions.sources import load_source
from ingest.store import interactions, locks, receipts, records
from ingest.store.receipts import ReceiptRow, Status

REPLAY = "replay"


class ReplayProgress(BaseModel):
    """`was`: the receipt's status before the replay. `after`: the last document that was judged again."""

    was: Status
    after: str


async def begin(session: Session, documents: DocumentStore, receipt_id: UUID, secret: bytes) -> int | None:
    """Judges the records of the first document again, and schedules the others. Returns the number of documents; None when
    a replay is under way. `secret`: the key of the tenant's customer hashes. Raises NotFound, and Conflict while the
    receipt is read or undone."""
    await locks.lock_tenant_exclusive(session)  # before the receipt's lock: the same order as an undo
    row = await receipts.require(session, receipt_id, lock=True)
    if row.status == "replaying":
        return None
    if row.status not in ("done", "interrupted", "cancelled"):
        raise Conflict("receipt-busy", f"The receipt is {row.status}; only a finished one can be replayed.")
    names = await receipts.load_document_ids(session, receipt_id)
    if names:
        await _replay(session, documents, row, names[0], secret)
    if len(names) > 1:
        progress = ReplayProgress(was=row.status, after=names[0])
        await receipts.mark(session, receipt_id, "replaying", progress.model_dump())
        await session.schedule(REPLAY, str(receipt_id), session.now)
    return len(names)


async def resume(lease: Lease, documents: DocumentStore, item: DueItem, secret: bytes) -> None:
    """Judges the records of the other documents again. Each transaction stores the progress; whoever takes over the lease
    resumes after it."""
    receipt_id = UUID(item.ref)
    async with lease.begin() as session:
        names = await receipts.load_document_ids(session, receipt_id)
    for name in names:
        async with lease.begin() as session:
            row = await receipts.find(session, receipt_id)
            if row is None or row.status != "replaying":
                return
            progress = ReplayProgress.model_validate(row.work)
            if name > progress.after:
                await _replay(session, documents, row, name, secret)
                progress.after = name
                await receipts.mark(session, receipt_id, "replaying", progress.model_dump())
            if name == names[-1]:
                await receipts.mark(session, receipt_id, progress.was)


async def _replay(session: Session, documents: DocumentStore, row: ReceiptRow, name: str, secret: bytes) -> None:
    """Judges the records of one raw document again, under the source's present configuration."""
    document: Document = (await documents.get(session.tenant, archive.RAW, [name]))[name]
    source = await load_source(session, row.source)
    assert source is not None, "a source is never removed"
    parts = await records.find_exclusive_parts(session, row.id, document.id)
    rederive = {name for key in await interactions.load_part_keys(session, parts) for name in key}
    before = await records.load_document_verdicts(session, row.id, document.id)
    await records.delete_records(session, row.id, document.id)
    chunk = new_chunk(row.id, row.mode, source, now=session.now, secret=secret)
    for record in archive.unpack_records(document):
        chunk.add(record)
    batch = MultiInsert()
    await judge_chunk(session, documents, chunk, batch, replaced_parts=parts, rederive=sorted(rederive))
    await write_chunk(session, chunk, batch)
    await records.restore_verdicts(session, row.id, document.id, before)
    await receipts.recount(session, row.id)
