"""The audit log."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel
from servicekit import CallerDep, Page, PageDep, WorkSession, accepts, page_of
from servicekit import router as door_router
from servicekit.errors import Invalid

from identity.api.access import ADMINS, TenantQuery, enter, last_seen
from identity.model.fields import is_uuid
from identity.store import audit

router = door_router(tags=["audit"])

_TEXT = r"^[^\x00]*$"


class AuditEntry(BaseModel):
    """`by` is tenant/person; `before` and `after` are sha256 digests of the subject's whole state, null where it was
    not there."""

    id: UUID
    at: datetime
    by: str
    action: str
    subject: str
    before: str | None
    after: str | None


@router.get("/audit")
@accepts(roles=ADMINS)
async def list_audit(
    session: WorkSession,
    caller: CallerDep,
    page: PageDep,
    subject: Annotated[
        str | None, Query(pattern=_TEXT, description="E.g. person/ada, org_unit/team-a, blueprint/3.")
    ] = None,
    by: Annotated[str | None, Query(pattern=_TEXT, description="E.g. demo/admin.")] = None,
    tenant: TenantQuery = None,
) -> Page[AuditEntry]:
    """Every write, newest first. Needs tenant_admin."""
    await enter(session, caller, tenant, "tenant_admin")
    before = last_seen(page)
    if before and not is_uuid(before):
        raise Invalid("bad-cursor", "`after` is not a cursor of this list.")
    rows = await audit.entries(session, subject=subject, by=by, before=before or None, limit=page.limit + 1)
    return page_of([AuditEntry.model_validate(row) for row in rows], page, lambda each: [str(each.id)])
