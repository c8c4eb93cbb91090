"""Undoing a receipt: parts that only it contains are removed, and the legs are derived again.

In steps, each in a transaction: the request does the first, so that a small receipt is done at once; the clock door does the
others. A receipt whose status is `undoing` supports no part any more, and cannot be read or replayed. The last step sets
the status `undone`.
"""

from collections.abc import Sequence
from uuid import UUID

from pydantic import BaseModel
from servicekit import DueItem, Lease
from servicekit.errors import Conflict
from storage import DocumentStore, MultiInsert, Session

from ingest.actions.merging import merge_parts
from ingest.actions.sources import load_source
from ingest.actions.states import derive_states
from ingest.model.sources import Source
from ingest.store import interactions, locks, receipts, records, states
from ingest.store.receipts import ReceiptRow

UNDO = "undo"
RECORDS_PER_STEP = 1000
AGENTS_PER_STEP = 50
DRY_RUN_STEPS = 5


class UndoResult(BaseModel):
    """What an undo has done so far: records that no other receipt contains, interactions and legs that changed, legs of
    these that are void now, intervals of agents' states that changed, and the agents whose legs or states changed. `after`:
    number of the last record that a step covered. `after_agent`: after all records, the last agent whose states were
    covered."""

    records: int = 0
    interactions: int = 0
    legs_changed: int = 0
    legs_voided: int = 0
    states_changed: int = 0
    agents: set[UUID] = set()
    after: int = 0
    after_agent: str | None = None
    done: bool = False


async def preview(session: Session, documents: DocumentStore, row: ReceiptRow) -> UndoResult:
    """What the first `DRY_RUN_STEPS` steps of an undo would do. Writes nothing."""
    result, source = UndoResult(), await _source(session, row)
    for _ in range(DRY_RUN_STEPS):
        if not result.done:
            await _step(session, documents, row.id, source, result, dry_run=True)
    return result


async def begin(session: Session, documents: DocumentStore, receipt_id: UUID) -> tuple[ReceiptRow, UndoResult]:
    """Does the first step of an undo; returns the progress of one that began before. Also returns the receipt as it was.
    Raises NotFound, and Conflict while the receipt is read or replayed."""
    await locks.lock_tenant_exclusive(session)  # before the receipt's lock: the same order as who reads it
    row = await receipts.require(session, receipt_id, lock=True)
    if row.status in receipts.BUSY_STATUSES:
        raise Conflict("receipt-busy", f"The receipt is {row.status}; wait until it is done, or cancel it.")
    if row.status == "undone":
        return row, UndoResult(done=True)
    if row.status == "undoing":
        return row, UndoResult.model_validate(row.work)
    await receipts.mark(session, receipt_id, "undoing")
    result = UndoResult()
    await _step_and_store(session, documents, row, result)
    if not result.done:
        await session.schedule(UNDO, str(receipt_id), session.now)
    return row, result


async def resume(lease: Lease, documents: DocumentStore, item: DueItem) -> None:
    """Does the other steps. Each transaction stores the progress; whoever takes over the lease resumes after it."""
    done = False
    while not done:
        async with lease.begin() as session:
            await locks.lock_tenant_exclusive(session)
            row = await receipts.find(session, UUID(item.ref), lock=True)
            if row is None or row.status != "undoing":
                return
            result = UndoResult.model_validate(row.work)
            await _step_and_store(session, documents, row, result)
            done = result.done


async def _step_and_store(session: Session, documents: DocumentStore, row: ReceiptRow, result: UndoResult) -> None:
    await _step(session, documents, row.id, await _source(session, row), result, dry_run=False)
    status = "undone" if result.done else "undoing"
    await receipts.mark(session, row.id, status, None if result.done else result.model_dump(mode="json"))


async def _source(session: Session, row: ReceiptRow) -> Source:
    source = await load_source(session, row.source)
    assert source is not None, "a source is never removed"
    return source


async def _step(
    session: Session, documents: DocumentStore, receipt_id: UUID, source: Source, result: UndoResult, *, dry_run: bool
) -> None:
    """Undoes some records; after all records, the states of some agents. Adds to `result`."""
    if result.after_agent is None:
        page = await records.load_exclusive_parts_page(session, receipt_id, result.after, RECORDS_PER_STEP)
        if page.parts:
            await _remove(session, documents, source, receipt_id, page.parts, result, dry_run=dry_run)
        result.after = page.last or result.after
        if page.records == RECORDS_PER_STEP:
            return
    agents = await states.load_agents_of_receipt(session, receipt_id, result.after_agent or "", AGENTS_PER_STEP)
    if agents:
        if dry_run:
            changes = await derive_states(
                session, source.slug, dict.fromkeys(agents, 0), excluded_receipt_id=receipt_id
            )
        else:
            changes = await derive_states(session, source.slug, await states.delete_points(session, receipt_id, agents))
        result.states_changed += changes.recorded_count
        result.agents |= changes.agents
        result.after_agent = agents[-1]
    result.done = len(agents) < AGENTS_PER_STEP


async def _remove(
    session: Session,
    documents: DocumentStore,
    source: Source,
    receipt_id: UUID,
    parts: Sequence[UUID],
    result: UndoResult,
    *,
    dry_run: bool,
) -> None:
    keys = await interactions.load_part_keys(session, parts)
    result.records += len(keys)
    rederive = {name for key in keys for name in key}
    batch = MultiInsert()
    merged = await merge_parts(
        session, documents, source, removing=parts, rederive=rederive, inserts=batch, dry_run=dry_run
    )
    await session.insert_multi(
        batch, source=source.slug, receipt_id=receipt_id, known_at=session.now, since=session.now
    )
    result.interactions += len(merged.versions.changed)
    result.legs_changed += merged.versions.recorded_count
    result.legs_voided += merged.versions.voided_count
    result.agents |= merged.versions.agents
