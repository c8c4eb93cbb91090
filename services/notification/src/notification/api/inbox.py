"""The caller's inbox."""

from datetime import datetime
from typing import Any, Literal, Self
from uuid import UUID

from pydantic import BaseModel
from servicekit import Caller, CallerDep, Page, PageDep, WorkSession, page_of, page_within, route_policy
from servicekit import router as door_router
from servicekit.errors import NotFound
from servicekit.visibility import load_visibility
from storage import Session

from notification.model.events import EventType
from notification.store import deliveries, notices
from notification.store.deliveries import DeliveryRow
from notification.store.notices import NoticeRow

router = door_router(tags=["inbox"])


class NoticeView(BaseModel):
    """`seq` rises with each notice; `refs` names what it is about: ids, kpi, form, …"""

    id: UUID
    seq: int
    at: datetime
    rule: str
    event_type: EventType
    language: str
    subject: str
    body: str
    refs: dict[str, Any]
    read_at: datetime | None

    @classmethod
    def from_row(cls, row: NoticeRow) -> Self:
        """The notice as its reader sees it."""
        return cls.model_validate(row, from_attributes=True)


class Counts(BaseModel):
    """`last`: the sequence of the newest notice; a stream begun with it misses nothing."""

    unread: int
    last: int


class ReadCount(BaseModel):
    """How many notices were unread before they were marked as read."""

    read: int


class AttemptView(BaseModel):
    """By the real clock, whatever the tenant's. `status`: the other side's HTTP or SMTP code."""

    number: int
    started_at: datetime
    finished_at: datetime | None
    outcome: Literal["sending", "delivered", "retry", "failed", "gone", "cancelled", "interrupted"]
    status: int | None
    detail: str


class DeliveryView(BaseModel):
    """Of a notice by a channel, or of an event to a webhook; `timeline`: its attempts, oldest first."""

    id: UUID
    channel: Literal["in_app", "email", "webhook"]
    event_type: EventType
    event_id: UUID
    state: Literal["pending", "sending", "delivered", "failed", "skipped", "cancelled"]
    detail: str
    attempts: int
    created_at: datetime
    next_at: datetime | None
    timeline: list[AttemptView]

    @classmethod
    def from_row(cls, row: DeliveryRow) -> Self:
        """The delivery with its attempts."""
        return cls.model_validate(row, from_attributes=True)


@router.get("/inbox")
@route_policy(reach="own")
async def list_notices(
    session: WorkSession, caller: CallerDep, page: PageDep, unread: bool | None = None
) -> Page[NoticeView]:
    """Newest first. `unread=true`: what has not been read yet."""
    before = page.value(int)
    rows = await notices.load_inbox(session, caller.person_id, unread=unread, before=before, limit=page.limit + 1)
    return page_of([NoticeView.from_row(row) for row in rows], page, cursor=lambda each: [each.seq])


@router.get("/inbox/count")
@route_policy(reach="own")
async def count_notices(session: WorkSession, caller: CallerDep) -> Counts:
    """How many notices are unread, and which is the newest."""
    counts = await notices.count_notices(session, caller.person_id)
    return Counts(unread=counts.unread, last=counts.last)


@router.post("/inbox/read-all")
@route_policy(reach="own")
async def read_all_notices(session: WorkSession, caller: CallerDep) -> ReadCount:
    """How many were unread."""
    return ReadCount(read=await notices.mark_read(session, caller.person_id, id=None))


@router.post("/inbox/{notice}/read")
@route_policy(reach="own")
async def read_notice(notice: UUID, session: WorkSession, caller: CallerDep) -> NoticeView:
    """Marks a notice as read; again changes nothing."""
    await _require_own_notice(session, caller, notice)
    await notices.mark_read(session, caller.person_id, id=notice)
    return NoticeView.from_row(await _require_own_notice(session, caller, notice))


@router.get("/inbox/{notice}/deliveries")
@route_policy(reach="own")
async def list_notice_deliveries(
    notice: UUID, session: WorkSession, caller: CallerDep, page: PageDep
) -> Page[DeliveryView]:
    """By which channels a notice went out, and each attempt. One's own; a tenant_admin may see those of everybody whom the role is over."""
    await _require_own_notice(session, caller, notice, or_admin=True)
    found = [DeliveryView.from_row(row) for row in await deliveries.load_by_notice(session, notice)]
    return page_within(found, page, lambda each: str(each.id))


async def _administers(session: Session, caller: Caller, person_id: UUID) -> bool:
    """Whether the caller is tenant_admin over this person today."""
    if not caller.has_role("tenant_admin"):
        return False
    visible = await load_visibility(session, caller.acting_as("tenant_admin"))
    return await visible.is_visible(session, person_id, caller.today)


async def _require_own_notice(session: Session, caller: Caller, id: UUID, *, or_admin: bool = False) -> NoticeRow:
    row = await notices.find(session, id)
    own = row is not None and row.in_app and row.person_id == caller.person_id
    if row is None or not (own or (or_admin and await _administers(session, caller, row.person_id))):
        raise NotFound("unknown-notice", f"There is no notice {id} in your inbox.")
    return row
