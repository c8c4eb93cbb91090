"""The caller: who they are, and what they may see."""

from datetime import date, datetime

from pydantic import BaseModel
from servicekit import CallerDep, WorkSession, route_policy
from servicekit import router as door_router
from servicekit.errors import NotFound

from identity.api.access import sees_whole_tenant
from identity.api.views import OrgUnitView, TenantView, to_unit_views
from identity.model.org import OrgTree, find_visible_units
from identity.model.specs import PersonView, RoleSpec, to_person_spec, to_person_view
from identity.store import directory as store

router = door_router(tags=["me"])


class Me(BaseModel):
    """`now` and `day` are the tenant's own; `roles` those in force; `org_units` what can be seen of the tree, parents
    first; with `sees_everyone` there is nobody in the tenant one may not see."""

    person: PersonView
    tenant: TenantView
    now: datetime
    workday: date
    roles: list[RoleSpec]
    sees_everyone: bool
    org_units: list[OrgUnitView]


@router.get("/me")
@route_policy(reach="own")
async def get_me(session: WorkSession, caller: CallerDep) -> Me:
    """The caller, as the directory knows them now."""
    tenant = await store.load_tenant(session)
    person = await store.find_person(session, str(caller.person_id))
    if tenant is None or person is None:
        raise NotFound("unknown-person", "The directory does not know you any more.")
    tree = OrgTree(await store.load_units(session))
    day = caller.today
    in_force = person.model_copy(update={"roles": list(caller.roles)})
    units = find_visible_units(
        tree,
        sees_all=sees_whole_tenant(caller),
        belongs_to=[each.org_unit_id for each in person.memberships if each.holds_on(day)],
        leads=[each.org_unit_id for each in caller.roles if each.org_unit_id and each.role != "agent"],
    )
    slugs = tree.slugs()
    return Me(
        person=to_person_view(person, slugs),
        tenant=TenantView.model_validate(tenant.model_dump()),
        now=session.now,
        workday=day,
        roles=to_person_spec(in_force, slugs).roles,
        sees_everyone=sees_whole_tenant(caller),
        org_units=to_unit_views(tree, units),
    )
