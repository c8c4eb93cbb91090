"""People: added and changed one by one, or imported from a file."""

from contracts import new_id
from contracts.directory import PersonChanged
from servicekit.errors import Conflict, NotFound
from servicekit.workers import run_in_worker
from storage import Session

from identity.actions.admins import require_admin
from identity.actions.recording import lock_tenant, record_people_changes, record_unit_changes
from identity.model.fields import raise_if_problems
from identity.model.importing import ImportReport, read_and_plan
from identity.model.org import OrgTree
from identity.model.people import apply_people, resolve_login, tenant_workday
from identity.model.specs import PersonPatch, PersonSpec
from identity.store import desired_resources
from identity.store import directory as store

IMPORT_SECONDS = 30.0


async def add_person(session: Session, spec: PersonSpec, *, issuer: str) -> PersonChanged:
    """Adds a person. `issuer`: the `iss` of logins that name none. Raises Conflict when the slug is taken or the tenant would lose
    its last administrator, Invalid when a rule is broken."""
    await lock_tenant(session)
    if await store.find_person(session, spec.slug):
        raise Conflict("slug-taken", f"There is a person `{spec.slug}` already.")
    return await _apply(session, spec, issuer=issuer)


async def change_person(session: Session, ref: str, patch: PersonPatch, *, issuer: str) -> PersonChanged:
    """Replaces the fields that `patch` sets, of the person with this id or slug. Raises NotFound, Invalid when a rule is broken,
    Conflict when the tenant would lose its last administrator."""
    await lock_tenant(session)
    before = await store.find_person(session, ref)
    if before is None:
        raise NotFound("unknown-person", f"There is no person `{ref}`.")
    changes = {name: getattr(patch, name) for name in patch.model_fields_set}
    spec = PersonSpec.model_construct(_fields_set={*changes, "slug"}, slug=before.slug, **changes)
    return await _apply(session, spec, issuer=issuer)


async def _apply(session: Session, spec: PersonSpec, *, issuer: str) -> PersonChanged:
    tenant = await lock_tenant(session)
    logins = [resolve_login(each, issuer) for each in [*spec.logins, *([spec.login] if spec.login else [])]]
    related = await store.find_related_people(
        session,
        slug=spec.slug,
        logins=[(login.iss, login.sub) for login in logins],
        external_ids=[(each.source, each.external_id) for each in spec.external_ids],
    )
    changed, problems = apply_people(
        related,
        [("", spec)],
        tree=OrgTree(await store.load_units(session)),
        tenant=tenant.slug,
        day=tenant_workday(session.now, tenant),
        issuer=issuer,
        new_id=new_id,
        provider_logins=await desired_resources.load_provider_logins(session, issuer),
    )
    raise_if_problems(problems)
    await record_people_changes(session, related, changed)
    return changed[0] if changed else next(person for person in related.values() if person.slug == spec.slug)


async def import_people(session: Session, data: bytes, *, dry_run: bool, issuer: str) -> ImportReport:
    """Reads a sheet of people and applies every valid line; with `dry_run` it only reports. Raises Invalid for a file that cannot
    be read at all, Conflict when the tenant would lose its last administrator."""
    tenant = await lock_tenant(session)
    units, people = await store.load_units(session), await store.load_people(session)
    day, provider_logins = (
        tenant_workday(session.now, tenant),
        await desired_resources.load_provider_logins(session, issuer),
    )
    plan = await run_in_worker(
        read_and_plan,
        data,
        list(people.values()),
        units,
        tenant.slug,
        day,
        issuer,
        provider_logins,
        seconds=IMPORT_SECONDS,
    )
    await require_admin(session, people, list(plan.people.values()))
    if not dry_run:
        await record_unit_changes(session, units, plan.units)
        await record_people_changes(session, people, list(plan.people.values()))
    return plan.report.model_copy(update={"dry_run": dry_run})
