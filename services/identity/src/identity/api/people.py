"""People."""

from typing import Annotated
from uuid import UUID

from contracts.directory import PersonChanged, Role
from fastapi import Query, Request
from servicekit import Caller, CallerDep, Page, PageDep, WorkSession, page_of, route_policy
from servicekit import router as door_router
from servicekit.cooperative import iterate_cooperatively
from servicekit.errors import Forbidden, NotFound
from servicekit.visibility import load_visible_agents
from storage import Session

from identity.actions import people as actions
from identity.api.access import (
    ADMINS,
    UPLOAD_BYTES,
    TenantQuery,
    decode_text_cursor,
    enter_tenant,
    get_issuer,
    read_upload,
    sees_whole_tenant,
)
from identity.model.importing import ImportReport
from identity.model.org import OrgTree
from identity.model.people import tenant_workday
from identity.model.specs import PersonPatch, PersonSpec, PersonView, to_person_view
from identity.store import directory as store

router = door_router(tags=["people"])

_SHEET = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {"schema": {"type": "string"}},
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}}
            },
        },
    }
}


@router.get("/people")
@route_policy(reach="people")
async def list_people(
    session: WorkSession,
    caller: CallerDep,
    page: PageDep,
    org_unit: Annotated[str | None, Query(description="Slug or id; takes in the units below it.")] = None,
    role: Role | None = None,
    active: bool | None = None,
    text: Annotated[str | None, Query(description="Part of a name, slug or email; or a whole external id.")] = None,
    tenant: TenantQuery = None,
) -> Page[PersonView]:
    """Those the caller may see, by slug: everybody, the people of the own units, or oneself."""
    await enter_tenant(session, caller, tenant)
    of_tenant = await store.load_tenant(session)
    tree = OrgTree(await store.load_units(session))
    unit = tree.find(org_unit) if org_unit else None
    if of_tenant is None or (org_unit and unit is None):
        raise NotFound("unknown-org-unit", f"There is no org unit `{org_unit}`.")
    found = await store.list_people(
        session,
        visible=await _visible(session, caller),
        day=tenant_workday(session.now, of_tenant),
        after=decode_text_cursor(page),
        limit=page.limit + 1,
        unit_id=unit.id if unit else None,
        role=role,
        active=active,
        text=text.replace("\x00", "") if text else None,
    )
    slugs = tree.slugs()
    return page_of(
        [to_person_view(each, slugs) async for each in iterate_cooperatively(found)], page, lambda each: [each.slug]
    )


@router.post("/people", status_code=201)
@route_policy(roles=ADMINS)
async def add_person(
    session: WorkSession, caller: CallerDep, request: Request, spec: PersonSpec, tenant: TenantQuery = None
) -> PersonView:
    """Needs tenant_admin."""
    await enter_tenant(session, caller, tenant, "tenant_admin")
    person = await actions.add_person(session, spec, issuer=get_issuer(request))
    return await _view(session, person)


@router.post("/people/import", openapi_extra=_SHEET)
@route_policy(UPLOAD_BYTES, roles=ADMINS)
async def import_people(
    session: WorkSession, caller: CallerDep, request: Request, dry_run: bool = False, tenant: TenantQuery = None
) -> ImportReport:
    """Takes a CSV file with a header; needs tenant_admin. Columns, none of them needed by itself: `slug`,
    `display_name`, `email`, `language`, `kind`, `active`, `login`, `org_path` (`Site A/Team 1`; units that are missing
    are made), `external_id:<source>`, `hire_date`, `roles` (`agent|team_lead`; the org unit they hold over is that of
    `org_path`), `attribute:<name>` (several values: `a|b`), `valid_from` (the first day on which the line holds). A person is
    found again by slug, external id, login or email, in this order. Empty cells change nothing. A line that cannot be
    taken is told with its reason and cure, and sinks no other. The same file again changes nothing."""
    await enter_tenant(session, caller, tenant, "tenant_admin")
    data = await read_upload(request)
    return await actions.import_people(session, data, dry_run=dry_run, issuer=get_issuer(request))


@router.get("/people/{person}")
@route_policy(reach="people")
async def get_person(session: WorkSession, caller: CallerDep, person: str, tenant: TenantQuery = None) -> PersonView:
    """By id or slug; with everything that is known of them, past and planned."""
    await enter_tenant(session, caller, tenant)
    visible = await _visible(session, caller)
    found = await store.find_person(session, person)
    if found is None and visible is None:
        raise NotFound("unknown-person", f"There is no person `{person}`.")
    if found is None or (visible is not None and found.id not in visible):
        # The same answer for both, so that it does not reveal who exists.
        raise Forbidden("not-your-person", "You may see yourself and the people of your own units only.")
    return await _view(session, found)


@router.patch("/people/{person}")
@route_policy(roles=ADMINS)
async def change_person(
    session: WorkSession,
    caller: CallerDep,
    request: Request,
    person: str,
    patch: PersonPatch,
    tenant: TenantQuery = None,
) -> PersonView:
    """Fields that are given replace what was, lists as a whole. `active: false` switches the person off at once,
    everywhere. Needs tenant_admin."""
    await enter_tenant(session, caller, tenant, "tenant_admin")
    changed = await actions.change_person(session, person, patch, issuer=get_issuer(request))
    return await _view(session, changed)


async def _view(session: Session, person: PersonChanged) -> PersonView:
    return to_person_view(person, OrgTree(await store.load_units(session)).slugs())


async def _visible(session: Session, caller: Caller) -> set[UUID] | None:
    return None if sees_whole_tenant(caller) else await load_visible_agents(session, caller)
