"""The API of receipts: verdicts, replay, undo."""

from datetime import datetime
from typing import Any
from uuid import UUID

from contracts import Mode
from fastapi import Request, Response
from pydantic import BaseModel
from servicekit import (
    CallerDep,
    DocumentsDep,
    Page,
    PageDep,
    WorkSession,
    page_of,
    route_policy,
)
from servicekit import router as door_router
from servicekit.audit import record_change
from servicekit.errors import Conflict
from storage import Session

from ingest.actions import undo
from ingest.actions.upload_service import UploadService
from ingest.actions.uploads import cancel
from ingest.api.access import READER_ROLES, SENDER_ROLES
from ingest.model.registry import RecordKind
from ingest.store import receipts, records
from ingest.store.receipts import ReceiptRow, Status, Verdict
from ingest.store.records import RecordRow

router = door_router(tags=["receipts"])

_GOES_ON = "Begun, and going on: the receipt's `status` tells when it is done."


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
    status: Status
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
    """`records`: those that nothing else backs. `agents`: whose figures change. `status`: of a large receipt `undoing`,
    with what was done so far, until it is `undone`. `complete`: whether that is all; a dry run looks at the first 5,000
    records."""

    receipt: UUID
    dry_run: bool
    status: Status
    complete: bool
    records: int
    interactions: int
    legs_changed: int
    legs_voided: int
    states_changed: int
    agents: list[UUID]


async def load_receipt_view(session: Session, receipt_id: UUID) -> ReceiptView:
    """A receipt with its first problems. Raises NotFound."""
    row = await receipts.require(session, receipt_id)
    return receipt_view(row, await records.load_problems(session, row))


def receipt_view(row: ReceiptRow, problems: list[RecordRow]) -> ReceiptView:
    """The view of a receipt with these problems."""
    return ReceiptView(**row._asdict(), problems=[RecordView.model_validate(each._asdict()) for each in problems])


def _audit_fields(row: ReceiptRow) -> dict[str, Any]:
    """What the audit log records of a receipt."""
    return {
        "source": row.source,
        "mode": row.mode,
        "status": row.status,
        "received_at": row.received_at,
        "received": row.received,
        "accepted": row.accepted,
        "rejected": row.rejected,
    }


@router.get("/receipts")
@route_policy(roles=READER_ROLES)
async def list_receipts(
    session: WorkSession, caller: CallerDep, page: PageDep, source: str | None = None
) -> Page[ReceiptView]:
    """The newest first, without their problems."""
    rows = await receipts.load_page(session, source, page.limit + 1, page.values(datetime.fromisoformat, UUID))
    return page_of(
        [receipt_view(row, []) for row in rows], page, lambda row: [row.received_at.isoformat(), str(row.id)]
    )


@router.get("/receipts/{receipt}")
@route_policy(roles=READER_ROLES)
async def get_receipt(receipt: UUID, session: WorkSession, caller: CallerDep) -> ReceiptView:
    """A receipt with its first problems."""
    return await load_receipt_view(session, receipt)


@router.get("/receipts/{receipt}/records")
@route_policy(roles=READER_ROLES)
async def list_records(
    receipt: UUID, session: WorkSession, caller: CallerDep, page: PageDep, verdict: Verdict | None = None
) -> Page[RecordView]:
    """The records in the order in which they came, with their verdicts."""
    await receipts.require(session, receipt)
    after = page.value(int)
    rows = await records.load_records(session, receipt, verdict, page.limit + 1, after)
    return page_of([RecordView.model_validate(row._asdict()) for row in rows], page, lambda row: [row.number])


@router.post("/receipts/{receipt}/replay", responses={202: {"model": ReceiptView, "description": _GOES_ON}})
@route_policy(roles=SENDER_ROLES, lock_resource_only=True)
async def replay_receipt(
    receipt: UUID, request: Request, response: Response, session: WorkSession, caller: CallerDep
) -> ReceiptView:
    """Reads the receipt's raw records again under the source's present configuration. A large receipt is `replaying`
    until that is done."""
    upload_service: UploadService = request.app.state.service
    documents = await upload_service.replay(session, receipt)
    if documents is not None:
        record_change(session, "receipt", str(receipt), action="replayed", after={"documents": documents})
    view = await load_receipt_view(session, receipt)
    if view.status == "replaying":
        response.status_code = 202
    return view


@router.post("/receipts/{receipt}/cancel")
@route_policy(roles=SENDER_ROLES)
async def cancel_receipt(receipt: UUID, session: WorkSession, caller: CallerDep) -> ReceiptView:
    """Nothing more of the body is read. What was judged stands, and can be undone."""
    row = await receipts.require(session, receipt)
    if not await cancel(session, receipt):
        raise Conflict("receipt-finished", f"The receipt is {row.status}: there is nothing left to cancel.")
    record_change(
        session,
        "receipt",
        str(receipt),
        action="cancelled",
        before=_audit_fields(row),
        after=_audit_fields(await receipts.require(session, receipt)),
    )
    return await load_receipt_view(session, receipt)


@router.delete("/receipts/{receipt}", responses={202: {"model": UndoView, "description": _GOES_ON}})
@route_policy(roles=SENDER_ROLES, dry_run_roles=("quality_analyst", "platform_admin"), lock_resource_only=True)
async def undo_receipt(
    receipt: UUID,
    response: Response,
    session: WorkSession,
    caller: CallerDep,
    documents: DocumentsDep,
    dry_run: bool = False,
) -> UndoView:
    """Takes the receipt back: what only it contributed is voided. What other receipts also said stays. A large receipt is
    `undoing` until that is done."""
    if dry_run:
        row = await receipts.require(session, receipt)
        return _undo_view(row, await undo.preview(session, documents, row), dry_run=True)
    caller.require_role(*SENDER_ROLES, whole_tenant=True)
    before, result = await undo.begin(session, documents, receipt)
    row = await receipts.require(session, receipt)
    if before.status not in ("undoing", "undone"):
        record_change(
            session, "receipt", str(receipt), action="undone", before=_audit_fields(before), after=_audit_fields(row)
        )
    if not result.done:
        response.status_code = 202
    return _undo_view(row, result, dry_run=False)


def _undo_view(row: ReceiptRow, result: undo.UndoResult, *, dry_run: bool) -> UndoView:
    return UndoView(
        receipt=row.id,
        dry_run=dry_run,
        status=row.status,
        complete=result.done,
        records=result.records,
        interactions=result.interactions,
        legs_changed=result.legs_changed,
        legs_voided=result.legs_voided,
        states_changed=result.states_changed,
        agents=sorted(result.agents),
    )
