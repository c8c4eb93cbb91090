"""Org units."""

from contracts.directory import OrgUnitChanged
from servicekit import Caller, CallerDep, Page, PageDep, WorkSession, page_of, route_policy
from servicekit import router as door_router
from servicekit.errors import NotFound
from storage import Session

from identity.actions import org_units as actions
from identity.api.access import ADMINS, TenantQuery, decode_text_cursor, enter_tenant, sees_whole_tenant
from identity.api.views import OrgUnitView, to_unit_views
from identity.model.org import OrgTree, find_visible_units
from identity.model.specs import OrgUnitPatch, OrgUnitSpec
from identity.store import directory as store

router = door_router(tags=["org units"])


@router.get("/org-units")
@route_policy(reach="people")
async def list_org_units(
    session: WorkSession, caller: CallerDep, page: PageDep, tenant: TenantQuery = None
) -> Page[OrgUnitView]:
    """What the caller may see of the org tree, by slug: all of it, or the own units with what is above and below."""
    await enter_tenant(session, caller, tenant)
    tree = OrgTree(await store.load_units(session))
    after = decode_text_cursor(page)
    units = sorted(await _list_visible(session, caller, tree), key=lambda unit: unit.slug)
    views = to_unit_views(tree, [unit for unit in units if unit.slug > after][: page.limit + 1])
    return page_of(views, page, lambda each: [each.slug])


@router.post("/org-units", status_code=201)
@route_policy(roles=ADMINS)
async def add_org_unit(
    session: WorkSession, caller: CallerDep, spec: OrgUnitSpec, tenant: TenantQuery = None
) -> OrgUnitView:
    """Needs tenant_admin."""
    await enter_tenant(session, caller, tenant, "tenant_admin")
    return await _view(session, await actions.add_unit(session, spec))


@router.get("/org-units/{org_unit}")
@route_policy(reach="people")
async def get_org_unit(
    session: WorkSession, caller: CallerDep, org_unit: str, tenant: TenantQuery = None
) -> OrgUnitView:
    """By id or slug."""
    await enter_tenant(session, caller, tenant)
    tree = OrgTree(await store.load_units(session))
    found = tree.find(org_unit)
    if found is None or found not in await _list_visible(session, caller, tree):
        raise NotFound("unknown-org-unit", f"There is no org unit `{org_unit}` that you may see.")
    return to_unit_views(tree, [found])[0]


@router.patch("/org-units/{org_unit}")
@route_policy(roles=ADMINS)
async def change_org_unit(
    session: WorkSession, caller: CallerDep, org_unit: str, patch: OrgUnitPatch, tenant: TenantQuery = None
) -> OrgUnitView:
    """With another `parent` the unit moves with all below it. `active: false` needs it to be empty, now and later.
    Needs tenant_admin."""
    await enter_tenant(session, caller, tenant, "tenant_admin")
    return await _view(session, await actions.change_unit(session, org_unit, patch))


async def _view(session: Session, unit: OrgUnitChanged) -> OrgUnitView:
    return to_unit_views(OrgTree(await store.load_units(session)), [unit])[0]


async def _list_visible(session: Session, caller: Caller, tree: OrgTree) -> list[OrgUnitChanged]:
    if sees_whole_tenant(caller):
        return tree.parents_first()
    return find_visible_units(
        tree,
        sees_all=False,
        belongs_to=[each.org_unit_id for each in caller.person.memberships if each.holds_on(caller.today)],
        leads=[each.org_unit_id for each in caller.roles if each.org_unit_id and each.role != "agent"],
    )
