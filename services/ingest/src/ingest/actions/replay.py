"""A receipt's records are judged again, after a mapping was mended: document by document, each a transaction. The first is
with the request, so that what is small is done at once; the clock does the others. Meanwhile the receipt is `replaying`.
"""

from typing import Any
from uuid import UUID

from servicekit import DueItem, Lease
from servicekit.errors import Conflict
from storage import Document, DocumentStore, MultiInsert, Session

from ingest.actions import archive
from ingest.actions.intake import judge_chunk, new_chunk, write_chunk
from ingest.actions.sources import load_source
from ingest.store import interactions, receipts

REPLAY = "replay"


async def begin(session: Session, documents: DocumentStore, receipt_id: UUID, secret: bytes) -> int | None:
    """Judges the first document's records again. Returns how many documents there are; None when a replay is under way.
    Raises NotFound, and Conflict while the receipt is read or undone. `secret`: the key of the tenant's customer hashes."""
    await interactions.lock_tenant_exclusive(session)  # before the receipt is locked, as an undo does
    row = await receipts.require(session, receipt_id, lock=True)
    if row["status"] == "replaying":
        return None
    if row["status"] not in ("done", "interrupted", "cancelled"):
        raise Conflict("receipt-busy", f"The receipt is {row['status']}; only a finished one can be replayed.")
    names = await receipts.load_document_ids(session, receipt_id)
    if names:
        await _replay(session, documents, row, names[0], secret)
    if len(names) > 1:
        await receipts.mark(session, receipt_id, "replaying", {"was": row["status"], "after": names[0]})
        await session.schedule(REPLAY, str(receipt_id), session.now)
    return len(names)


async def go_on(lease: Lease, documents: DocumentStore, item: DueItem, secret: bytes) -> None:
    """The other documents. The last one that was read is noted with it, so that whoever takes over goes on behind it."""
    receipt_id = UUID(item.ref)
    async with lease.begin() as session:
        names = await receipts.load_document_ids(session, receipt_id)
    for name in names:
        async with lease.begin() as session:
            row = await receipts.find(session, receipt_id)
            if row is None or row["status"] != "replaying":
                return
            if name > row["work"]["after"]:
                await _replay(session, documents, row, name, secret)
                await receipts.mark(session, receipt_id, "replaying", {**row["work"], "after": name})
            if name == names[-1]:
                await receipts.mark(session, receipt_id, row["work"]["was"])


async def _replay(session: Session, documents: DocumentStore, row: dict[str, Any], name: str, secret: bytes) -> None:
    """Judges the records of one raw document again under the source's present configuration."""
    receipt_id: UUID = row["id"]
    document: Document = (await documents.get(session.tenant, archive.RAW, [name]))[name]
    source = await load_source(session, row["source"])
    assert source is not None, "a source is never removed"
    parts = await receipts.find_exclusive_parts(session, receipt_id, document.id)
    found = await interactions.load_parts(session, parts)
    around = {part["contact"] for part in found} | {part["root"] for part in found}
    before = {each["number"]: each for each in await receipts.load_document_records(session, receipt_id, document.id)}
    await receipts.delete_records(session, receipt_id, document.id)
    chunk = new_chunk(receipt_id, row["mode"], source, now=session.now, secret=secret)
    for record in archive.unpack_records(document):
        chunk.add(record)
    batch = MultiInsert()
    await judge_chunk(session, documents, chunk, batch, replaced_parts=parts, rederive=sorted(around))
    await write_chunk(session, chunk, batch)
    await receipts.restore_verdicts(session, receipt_id, document.id, before)
    await receipts.recount(session, receipt_id)
