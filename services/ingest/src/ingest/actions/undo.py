"""Taking a receipt back: what only it contributed is removed, and what follows is derived again.

In steps, each a transaction: the first with the request, so that what is small is done at once, the others by the clock. A
receipt that is `undoing` backs nothing any more, and nothing of it can be read or replayed; it is `undone` with the last
step.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from pydantic import BaseModel
from servicekit import DueItem, Lease
from servicekit.errors import Conflict
from storage import DocumentStore, MultiInsert, Session

from ingest.actions.merging import merge_parts
from ingest.actions.sources import load_source
from ingest.actions.states import derive_states
from ingest.model.sources import Source
from ingest.store import interactions, receipts, states

UNDO = "undo"
RECORDS = 1000
AGENTS = 50
LOOKED_AT = 5
"""Steps of a dry run."""


class UndoResult(BaseModel):
    """What taking a receipt back has done so far: records that nothing else backs, interactions and legs that changed, how
    many of these legs are void now, stretches of agents' states, and the agents concerned. `after`: the number of the last
    record that was looked at; `after_agent`: then, the last of the agents of whose states the receipt speaks."""

    records: int = 0
    interactions: int = 0
    legs_changed: int = 0
    legs_voided: int = 0
    states_changed: int = 0
    agents: set[UUID] = set()
    after: int = 0
    after_agent: str | None = None
    done: bool = False


async def look(session: Session, documents: DocumentStore, row: dict[str, Any]) -> UndoResult:
    """What an undo would do, as far as its first steps tell. Writes nothing."""
    found, source = UndoResult(), await _source(session, row)
    for _ in range(LOOKED_AT):
        if not found.done:
            await _step(session, documents, row["id"], source, found, dry_run=True)
    return found


async def begin(session: Session, documents: DocumentStore, receipt_id: UUID) -> tuple[dict[str, Any], UndoResult]:
    """The first step of an undo, or how far one is that was begun before. Returns the receipt as it was. Raises Conflict
    while it is read, and NotFound."""
    await interactions.lock_tenant_exclusive(
        session
    )  # before the receipt is locked, as a reader of a cancelled one does
    row = await receipts.require(session, receipt_id, lock=True)
    if row["status"] in receipts.BUSY:
        raise Conflict("receipt-busy", f"The receipt is {row['status']}; wait until it is done, or cancel it.")
    if row["status"] == "undone":
        return row, UndoResult(done=True)
    if row["status"] == "undoing":
        return row, UndoResult.model_validate(row["work"])
    await receipts.mark(session, receipt_id, "undoing")
    found = UndoResult()
    await _go_on(session, documents, row, found)
    if not found.done:
        await session.schedule(UNDO, str(receipt_id), session.now)
    return row, found


async def go_on(lease: Lease, documents: DocumentStore, item: DueItem) -> None:
    """The other steps. What was done is noted with each, so that whoever takes over goes on behind it."""
    done = False
    while not done:
        async with lease.begin() as session:
            await interactions.lock_tenant_exclusive(session)
            row = await receipts.find(session, UUID(item.ref), lock=True)
            if row is None or row["status"] != "undoing":
                return
            found = UndoResult.model_validate(row["work"])
            await _go_on(session, documents, row, found)
            done = found.done


async def _go_on(session: Session, documents: DocumentStore, row: dict[str, Any], found: UndoResult) -> None:
    await _step(session, documents, row["id"], await _source(session, row), found, dry_run=False)
    status = "undone" if found.done else "undoing"
    await receipts.mark(session, row["id"], status, None if found.done else found.model_dump(mode="json"))


async def _source(session: Session, row: dict[str, Any]) -> Source:
    source = await load_source(session, row["source"])
    assert source is not None, "a source is never removed"
    return source


async def _step(
    session: Session, documents: DocumentStore, receipt_id: UUID, source: Source, found: UndoResult, *, dry_run: bool
) -> None:
    """Some records; when there are no more of them, some agents whose states it tells of."""
    if found.after_agent is None:
        page = await receipts.page_only_here(session, receipt_id, found.after, RECORDS)
        if page.parts:
            await _remove(session, documents, source, receipt_id, page.parts, found, dry_run=dry_run)
        found.after = page.last or found.after
        if page.records == RECORDS:
            return
    agents = await states.agents_of(session, receipt_id, found.after_agent or "", AGENTS)
    if agents:
        if dry_run:
            told = await derive_states(session, source.slug, dict.fromkeys(agents, 0), excluded_receipt_id=receipt_id)
        else:
            told = await derive_states(session, source.slug, await states.delete_points(session, receipt_id, agents))
        found.states_changed += told.recorded_count
        found.agents |= told.agents
        found.after_agent = agents[-1]
    found.done = len(agents) < AGENTS


async def _remove(
    session: Session,
    documents: DocumentStore,
    source: Source,
    receipt_id: UUID,
    parts: Sequence[UUID],
    found: UndoResult,
    *,
    dry_run: bool,
) -> None:
    rows = await interactions.load_parts(session, parts)
    found.records += len(rows)
    around = {row["contact"] for row in rows} | {row["root"] for row in rows}
    batch = MultiInsert()
    merged = await merge_parts(
        session, documents, source, removing=parts, rederive=around, inserts=batch, dry_run=dry_run
    )
    await session.insert_multi(
        batch, source=source.slug, receipt_id=receipt_id, known_at=session.now, since=session.now
    )
    found.interactions += len(merged.versions.changed)
    found.legs_changed += merged.versions.recorded_count
    found.legs_voided += merged.versions.voided_count
    found.agents |= merged.versions.agents
