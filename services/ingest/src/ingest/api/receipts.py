"""Receipts: verdicts, replay, undo."""

from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from contracts import Mode
from fastapi import Request
from pydantic import BaseModel
from servicekit import (
    CallerDep,
    DocumentsDep,
    Page,
    PageDep,
    WorkSession,
    accepts,
    authenticate,
    bearer_token,
    check_roles,
    kit_of,
    page_of,
    request_id,
)
from servicekit import router as door_router
from servicekit.audit import audit, origin_of
from servicekit.errors import Conflict, NotFound
from storage import DocumentStore, Session

from ingest.actions.orders import cancel
from ingest.actions.reception import Reception
from ingest.actions.sources import load_source
from ingest.actions.undo import undo
from ingest.api.access import READERS, SENDERS
from ingest.model.kinds import RecordKind
from ingest.store import interactions, receipts

router = door_router(tags=["receipts"])

Verdict = Literal["accepted", "unchanged", "corrected", "held", "rejected"]


class RecordView(BaseModel):
    """`number` counts the records of a body, `line` its lines. For `held` the reason is `unknown_agent`, `ambiguous_time`,
    `open_interaction` or `waiting_for_part`."""

    number: int
    line: int
    verdict: Verdict
    field: str | None = None
    reason: str | None = None
    cure: str | None = None
    contact: str | None = None
    kind: RecordKind | None = None


class ReceiptView(BaseModel):
    """`problems` are the first records that were rejected or are held, and before them, of kind `body`, what ended the
    reading; `…/records?verdict=` lists all that are kept. `not_kept`: rejected ones of which only the number is."""

    id: UUID
    source: str
    mode: Mode
    status: Literal["receiving", "queued", "reading", "done", "interrupted", "cancelled", "undone"]
    received_at: datetime
    finished_at: datetime | None = None
    bytes: int
    received: int
    accepted: int
    unchanged: int
    corrected: int
    held: int
    rejected: int
    not_kept: int = 0
    notes: list[str] = []
    problems: list[RecordView] = []


class UndoView(BaseModel):
    """`records`: those that nothing else backs. `agents`: whose figures change."""

    receipt: UUID
    dry_run: bool
    records: int
    interactions: int
    legs_changed: int
    legs_voided: int
    states_changed: int
    agents: list[UUID]


async def row_of(session: Session, receipt_id: UUID, *, lock: bool = False) -> dict[str, Any]:
    row = await receipts.find(session, receipt_id, lock=lock)
    if row is None:
        raise NotFound("unknown-receipt", f"There is no receipt `{receipt_id}`.")
    return row


async def view_of(session: Session, receipt_id: UUID) -> ReceiptView:
    row = await row_of(session, receipt_id)
    return shown(row, await receipts.problems(session, row))


def shown(row: dict[str, Any], problems: list[dict[str, Any]]) -> ReceiptView:
    return ReceiptView(**row, problems=[RecordView.model_validate(each) for each in problems])


def _kept(row: dict[str, Any]) -> dict[str, Any]:
    """What the audit log keeps of a receipt."""
    return {name: row[name] for name in ("source", "mode", "status", "received_at", "received", "accepted", "rejected")}


@router.get("/receipts")
@accepts(roles=READERS)
async def list_receipts(
    session: WorkSession, caller: CallerDep, page: PageDep, source: str | None = None
) -> Page[ReceiptView]:
    """The newest first, without their problems."""
    rows = await receipts.page(session, source, page.limit + 1, page.values(datetime.fromisoformat, UUID))
    return page_of([ReceiptView(**row) for row in rows], page, lambda row: [row.received_at.isoformat(), str(row.id)])


@router.get("/receipts/{receipt}")
@accepts(roles=READERS)
async def get_receipt(receipt: UUID, session: WorkSession, caller: CallerDep) -> ReceiptView:
    """A receipt with its first problems."""
    return await view_of(session, receipt)


@router.get("/receipts/{receipt}/records")
@accepts(roles=READERS)
async def list_records(
    receipt: UUID, session: WorkSession, caller: CallerDep, page: PageDep, verdict: Verdict | None = None
) -> Page[RecordView]:
    """The records in the order in which they came, with their verdicts."""
    await row_of(session, receipt)
    after = page.value(int)
    rows = await receipts.records(session, receipt, verdict, page.limit + 1, after)
    return page_of([RecordView.model_validate(row) for row in rows], page, lambda row: [row.number])


@router.post("/receipts/{receipt}/replay")
@accepts(roles=SENDERS, signed_in=True)
async def replay_receipt(receipt: UUID, request: Request) -> ReceiptView:
    """Reads the receipt's raw records again under the source's present configuration."""
    kit = kit_of(request)
    reception: Reception = request.app.state.service
    claims = await kit.verifier.verify(bearer_token(request))
    async with kit.sessions.begin([claims.tenant], now=datetime.now(UTC)) as session:
        caller = await authenticate(session, claims, request_id(request))
        check_roles(request, caller)
        await row_of(session, receipt)
        now, origin = session.now, origin_of(session)
    await reception.replay(claims.tenant, receipt, now, origin)
    async with kit.sessions.begin([claims.tenant], now=now) as session:
        return await view_of(session, receipt)


@router.post("/receipts/{receipt}/cancel")
@accepts(roles=SENDERS)
async def cancel_receipt(receipt: UUID, session: WorkSession, caller: CallerDep) -> ReceiptView:
    """Nothing more of the body is read. What was judged stands, and can be undone."""
    row = await row_of(session, receipt)
    if not await cancel(session, receipt):
        raise Conflict("receipt-finished", f"The receipt is {row['status']}: there is nothing left to cancel.")
    audit(
        session,
        "receipt",
        str(receipt),
        action="cancelled",
        before=_kept(row),
        after=_kept(await row_of(session, receipt)),
    )
    return await view_of(session, receipt)


@router.delete("/receipts/{receipt}")
@accepts(roles=SENDERS, dry_run_roles=("quality_analyst", "platform_admin"), alone=True)
async def undo_receipt(
    receipt: UUID, session: WorkSession, caller: CallerDep, documents: DocumentsDep, dry_run: bool = False
) -> UndoView:
    """Takes the receipt back: what only it contributed is voided. What other receipts also said stays."""
    if not dry_run:
        caller.require(*SENDERS, whole_tenant=True)
    return await _undo(session, documents, receipt, dry_run=dry_run)


async def _undo(session: Session, documents: DocumentStore, receipt_id: UUID, *, dry_run: bool) -> UndoView:
    if not dry_run:
        await interactions.alone(session)  # before the receipt is locked, as a reader of a cancelled one does
    row = await row_of(session, receipt_id, lock=not dry_run)
    if row["status"] in receipts.OPEN:
        raise Conflict("receipt-busy", f"The receipt is {row['status']}; wait until it is done, or cancel it.")
    source = await load_source(session, row["source"])
    assert source is not None, "a source is never removed"
    found = await undo(session, documents, receipt_id, source, dry_run=dry_run)
    if not dry_run:
        await receipts.mark_undone(session, receipt_id)
        after = _kept(await row_of(session, receipt_id))
        audit(session, "receipt", str(receipt_id), action="undone", before=_kept(row), after=after)
    return UndoView(
        receipt=receipt_id,
        dry_run=dry_run,
        records=found.records,
        interactions=len(found.interactions),
        legs_changed=found.legs_changed,
        legs_voided=found.legs_voided,
        states_changed=found.states_changed,
        agents=sorted(found.agents),
    )
