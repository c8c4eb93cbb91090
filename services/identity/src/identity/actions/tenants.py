"""Tenants: creating, renaming, switching off, and moving the clock of a simulated one."""

from contracts import new_id
from contracts.directory import PLATFORM_TENANT, Login, PersonChanged, RoleGrant, TenantChanged
from servicekit.errors import Conflict, FieldProblem
from storage import Session

from identity.actions.people import add_person
from identity.actions.recording import lock_tenant, record_people_changes, record_tenant_change
from identity.model.fields import raise_if_problems
from identity.model.specs import PersonSpec, RoleSpec, TenantPatch, TenantSpec, find_clock_problem
from identity.store import directory as store


async def ensure_platform(session: Session, *, login: Login) -> PersonChanged:
    """Creates tenant `platform` and in it the person `admin`, a platform_admin with this login, unless they exist. `session` is
    the platform tenant's. Idempotent."""
    tenant = TenantChanged(slug=PLATFORM_TENANT, name="Platform")
    if await store.insert_tenant(session, tenant):
        await store.add_customer(session, PLATFORM_TENANT)
        await record_tenant_change(session, None, tenant)
    await lock_tenant(session)
    before = await store.find_person(session, "admin")
    person = before or PersonChanged(id=new_id(), slug="admin", display_name="Platform administrator")
    if login not in person.logins:
        person = person.model_copy(update={"logins": [*person.logins, login]})
    if not any(grant.role == "platform_admin" for grant in person.roles):
        person = person.model_copy(update={"roles": [*person.roles, RoleGrant(role="platform_admin")]})
    if person != before:
        known = {before.id: before} if before else {}
        await record_people_changes(session, known, [person])
    return person


async def reserve_slug(session: Session, slug: str) -> None:
    """Adds a tenant's slug to the list of customers. `session` is the platform tenant's. Raises Conflict when the slug is
    taken."""
    if not await store.add_customer(session, slug):
        raise Conflict("slug-taken", f"There is a tenant `{slug}` already.")


async def add_tenant(session: Session, spec: TenantSpec, *, issuer: str) -> TenantChanged:
    """Creates a tenant, whose slug is reserved, with its first administrator. `session` is the new tenant's. `issuer`: the
    `iss` of logins that name none. Raises Invalid when a rule is broken."""
    tenant = TenantChanged(**spec.model_dump(exclude={"admin"}))
    await store.insert_tenant(session, tenant)
    await record_tenant_change(session, None, tenant)
    if spec.admin:
        admin = PersonSpec(
            slug=spec.admin.slug,
            display_name=spec.admin.display_name,
            email=spec.admin.email,
            login=spec.admin.login,
            roles=[RoleSpec(role="tenant_admin")],
        )
        await add_person(session, admin, issuer=issuer)
    return tenant


async def change_tenant(session: Session, patch: TenantPatch) -> TenantChanged:
    """Replaces the fields that `patch` sets, of the session's tenant. Raises Invalid for an empty name, Conflict when the
    platform tenant would be switched off."""
    before = await lock_tenant(session)
    if "name" in patch.model_fields_set and not patch.name:
        raise_if_problems([FieldProblem(pointer="/name", problem="it is empty", cure="write a name")])
    changes = {name: getattr(patch, name) for name in patch.model_fields_set}
    if before.slug == PLATFORM_TENANT and not changes.get("active", True):
        raise Conflict("platform-stays", "The platform tenant cannot be switched off: nobody could switch it on again.")
    after = before.model_copy(update=changes)
    await record_tenant_change(session, before, after)
    return after


async def move_clock(session: Session) -> TenantChanged:
    """Moves the clock of the session's tenant to the session's time. Raises Conflict when the tenant is not simulated, or
    when the clock would go back."""
    now = session.now
    before = await lock_tenant(session)
    if not before.simulated:
        raise Conflict("real-time", f"`{before.slug}` lives in real time: only a simulated tenant has a clock to move.")
    problem = find_clock_problem(before.clock, now)
    if problem:
        raise Conflict("clock-back", problem)
    after = before.model_copy(update={"clock": now})
    await record_tenant_change(session, before, after)
    return after
