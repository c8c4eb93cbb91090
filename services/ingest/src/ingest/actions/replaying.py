"""A receipt's records are judged again, after a mapping was mended."""

from uuid import UUID

from servicekit.errors import Conflict, NotFound
from storage import Document, DocumentStore, Session

from ingest.actions import archive
from ingest.actions.intake import chunk_of, take_chunk, write_chunk
from ingest.actions.sources import load_source
from ingest.store import interactions, receipts
from ingest.store.bulk import Batch


async def replay_document(
    session: Session, documents: DocumentStore, receipt_id: UUID, document: Document, secret: bytes
) -> None:
    """Judges the records of one raw document again under the source's present configuration. Raises NotFound, and
    Conflict while the receipt is still being read. `secret`: the key of the tenant's customer hashes."""
    row = await receipts.find(session, receipt_id, lock=True)
    if row is None:
        raise NotFound("unknown-receipt", f"There is no receipt `{receipt_id}`.")
    if row["status"] not in ("done", "interrupted", "cancelled"):
        raise Conflict("receipt-busy", f"The receipt is {row['status']}; only a finished one can be replayed.")
    source = await load_source(session, row["source"])
    assert source is not None, "a source is never removed"
    parts = await receipts.parts_only_here(session, receipt_id, document.id)
    found = await interactions.parts_by_id(session, parts)
    around = {part["contact"] for part in found} | {part["root"] for part in found}
    before = {each["number"]: each for each in await receipts.records_of_document(session, receipt_id, document.id)}
    await receipts.forget_records(session, receipt_id, document.id)
    chunk = chunk_of(receipt_id, row["mode"], source, now=session.now, secret=secret)
    for record in archive.records_of(document):
        chunk.add(record)
    batch = Batch()
    await take_chunk(session, documents, chunk, batch, replacing=parts, around=sorted(around))
    await write_chunk(session, chunk, batch)
    await receipts.keep_verdicts(session, receipt_id, document.id, before)
    await receipts.recount(session, receipt_id)
