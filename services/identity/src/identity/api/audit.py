"""The audit log."""

from datetime import date, datetime, time, timedelta
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from contracts.audit import Actor
from contracts.topics import ServiceName
from fastapi import Query
from pydantic import BaseModel
from servicekit import CallerDep, DaysDep, Page, PageDep, WorkSession, page_of, route_policy
from servicekit import router as door_router
from servicekit.door import MOST_DAYS, DayRange
from storage import Session

from identity.api.access import ADMINS, TenantQuery, enter_tenant
from identity.store import audit, directory

router = door_router(tags=["audit"])

_Text = Annotated[str | None, Query(pattern=r"^[^\x00]*$", max_length=300)]


class AuditEntry(BaseModel):
    """`before` null: it was not there; `after` null: it is not any more; both null: something was done with it. In both,
    secrets, addresses and numbers of people are masked, and what is long is cut, as `notes` say. `changed` are JSON
    pointers to what differs, also where it is masked or cut. `blueprint_version`: the actor published it, and the service
    applied its section. `request_id` is that of the request in the logs; `correlation_id` the first event's of the chain."""

    id: UUID
    at: datetime
    service: ServiceName
    kind: str
    ref: str
    action: str
    actor: Actor
    request_id: str | None
    correlation_id: UUID | None
    blueprint_version: int | None
    before: Any
    after: Any
    changed: list[str]
    notes: list[str]


@router.get("/audit")
@route_policy(roles=ADMINS)
async def list_audit(
    session: WorkSession,
    caller: CallerDep,
    page: PageDep,
    days: DaysDep,
    thing: Annotated[
        str | None,
        Query(
            pattern=r"^[^\x00]*$",
            max_length=300,
            description="A kind, e.g. rule; or one thing, e.g. rule/r1, person/ada.",
        ),
    ] = None,
    service: _Text = None,
    by: Annotated[
        str | None,
        Query(pattern=r"^[^\x00]*$", max_length=300, description="Id or slug; of another tenant: platform/admin."),
    ] = None,
    action: _Text = None,
    blueprint_version: Annotated[int | None, Query(ge=1, le=2_000_000_000)] = None,
    request_id: _Text = None,
    tenant: TenantQuery = None,
) -> Page[AuditEntry]:
    """Every change of configuration in every service, newest first. Needs tenant_admin."""
    await enter_tenant(session, caller, tenant, "tenant_admin")
    since, until = await _instants(session, days)
    before = page.value(UUID)
    rows, page = await audit.list_entries(
        session,
        equals={
            "service": service,
            "action": action,
            "blueprint_version": blueprint_version,
            "request_id": request_id,
        },
        target=thing,
        by=by,
        since=since,
        until=until,
        before=str(before) if before else None,
        page=page,
    )
    return page_of(
        [AuditEntry.model_validate(row, from_attributes=True) for row in rows], page, lambda each: [str(each.id)]
    )


async def _instants(session: Session, days: DayRange) -> tuple[datetime | None, datetime | None]:
    """The first instant of the first day and the end of the last, in the tenant's time zone; None and None without days.

    These are calendar days, not workdays: the log says who changed what, in the office as well as on a shift, and who asks
    names a date, which begins at midnight."""
    if days.first is None and days.last is None:
        return None, None
    tenant = await directory.load_tenant(session)
    zone = ZoneInfo(tenant.time_zone if tenant else "UTC")
    calendar_day = session.now.astimezone(zone).date()
    first, last = days.within(calendar_day, days=MOST_DAYS)

    def midnight(day: date) -> datetime:
        return datetime.combine(day, time(), zone)

    return midnight(first), midnight(last + timedelta(days=1))
