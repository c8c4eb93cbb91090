"""Tenants."""

from fastapi import Request
from servicekit import CallerDep, Page, PageDep, WorkSession, page_of, route_policy
from servicekit import router as door_router
from servicekit.errors import Forbidden, NotFound
from storage import Session

from identity.actions import tenants as actions
from identity.api.access import (
    ADMINS,
    TenantPath,
    decode_text_cursor,
    enter_tenant,
    get_issuer,
    is_platform_admin,
    require_platform_admin,
)
from identity.api.views import BlueprintView, TenantState, TenantView
from identity.model.blueprints import build_section_states
from identity.model.specs import ClockMove, TenantPatch, TenantSpec
from identity.store import blueprints
from identity.store import directory as store
from identity.store.blueprints import BlueprintVersion

router = door_router(tags=["tenants"])


@router.get("/tenants")
@route_policy(roles=("platform_admin",))
async def list_tenants(session: WorkSession, caller: CallerDep, page: PageDep) -> Page[TenantView]:
    """All tenants of this installation, by slug. Needs platform_admin."""
    require_platform_admin(caller)
    slugs = await store.list_customer_slugs(session, decode_text_cursor(page), page.limit + 1)
    await session.set_tenants(slugs or [caller.tenant])
    found = await store.load_tenants(session, slugs)
    views = [TenantView.model_validate(each.model_dump()) for each in found]
    return page_of(views, page, lambda each: [each.slug])


@router.post("/tenants", status_code=201)
@route_policy(roles=("platform_admin",))
async def add_tenant(session: WorkSession, caller: CallerDep, request: Request, spec: TenantSpec) -> TenantState:
    """Makes a tenant, live at once, with its first tenant_admin. Needs platform_admin."""
    require_platform_admin(caller)
    await actions.reserve_slug(session, spec.slug)
    await session.set_tenants([spec.slug])
    session.now = spec.clock or session.now
    await actions.add_tenant(session, spec, issuer=get_issuer(request))
    return await _state(session)


@router.get("/tenants/{tenant}")
@route_policy(roles=(*ADMINS, "integration"), volatile_fields=("blueprint", "services", "clock"))
async def get_tenant(session: WorkSession, caller: CallerDep, tenant: TenantPath) -> TenantState:
    """With how far each service is with its section of the blueprint. Needs tenant_admin or platform_admin."""
    await enter_tenant(session, caller, tenant, "tenant_admin", "integration")
    return await _state(session)


@router.patch("/tenants/{tenant}")
@route_policy(roles=ADMINS)
async def change_tenant(session: WorkSession, caller: CallerDep, tenant: TenantPath, patch: TenantPatch) -> TenantState:
    """Needs tenant_admin or platform_admin; switching on and off needs platform_admin."""
    await enter_tenant(session, caller, tenant, "tenant_admin")
    if "active" in patch.model_fields_set and not is_platform_admin(caller):
        raise Forbidden("role-needed", "Switching a tenant on or off needs the role platform_admin.")
    await actions.change_tenant(session, patch)
    return await _state(session)


@router.post("/tenants/{tenant}/clock")
@route_policy(roles=(*ADMINS, "integration"))
async def move_clock(session: WorkSession, caller: CallerDep, tenant: TenantPath, move: ClockMove) -> TenantView:
    """Moves a simulated tenant's clock on, never back. Needs platform_admin, tenant_admin or integration."""
    await enter_tenant(session, caller, tenant, "tenant_admin", "integration")
    session.now = move.now
    moved = await actions.move_clock(session)
    return TenantView.model_validate(moved.model_dump())


def _blueprint_view(version: BlueprintVersion) -> BlueprintView:
    return BlueprintView(
        name=version.name,
        version=version.version,
        published_at=version.published_at,
        published_by=version.published_by,
    )


async def _state(session: Session) -> TenantState:
    tenant = await store.load_tenant(session)
    if tenant is None:
        raise NotFound("unknown-tenant", f"There is no tenant `{session.tenant}`.")
    newest = await blueprints.find_newest_version(session)
    return TenantState(
        **tenant.model_dump(),
        blueprint=_blueprint_view(newest) if newest else None,
        services=build_section_states(
            newest.version if newest else None,
            set(newest.sections) if newest else set(),
            await blueprints.list_section_answers(session),
        ),
    )
