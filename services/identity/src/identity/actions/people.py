"""People: added and changed one by one, or imported by the thousand."""

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
from identity.model.people import apply_people, local_day, login_of
from identity.model.specs import PersonPatch, PersonSpec
from identity.store import desired_resources
from identity.store import directory as store

IMPORT_SECONDS = 30.0


async def add_person(session: Session, spec: PersonSpec, *, issuer: str) -> PersonChanged:
    """Raises Conflict when the slug is taken, Invalid when a rule is broken."""
    await lock_tenant(session)
    if await store.find_person(session, spec.slug):
        raise Conflict("slug-taken", f"There is a person `{spec.slug}` already.")
    return await _apply(session, spec, issuer=issuer)


async def change_person(session: Session, ref: str, patch: PersonPatch, *, issuer: str) -> PersonChanged:
    """Fields that are given replace what was; raises NotFound, or Invalid when a rule is broken."""
    await lock_tenant(session)
    before = await store.find_person(session, ref)
    if before is None:
        raise NotFound("unknown-person", f"There is no person `{ref}`.")
    given = {name: getattr(patch, name) for name in patch.model_fields_set}
    spec = PersonSpec.model_construct(_fields_set={*given, "slug"}, slug=before.slug, **given)
    return await _apply(session, spec, issuer=issuer)


async def _apply(session: Session, spec: PersonSpec, *, issuer: str) -> PersonChanged:
    tenant = await lock_tenant(session)
    logins = [login_of(each, issuer) for each in [*spec.logins, *([spec.login] if spec.login else [])]]
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
        day=local_day(session.now, tenant),
        issuer=issuer,
        new_id=new_id,
        kept=await desired_resources.load_provider_logins(session, issuer),
    )
    raise_if_problems(problems)
    await record_people_changes(session, related, changed)
    return changed[0] if changed else next(person for person in related.values() if person.slug == spec.slug)


async def import_people(session: Session, data: bytes, *, dry_run: bool, issuer: str) -> ImportReport:
    """Reads a sheet of people and keeps every line that holds; with `dry_run` only says what it would do."""
    tenant = await lock_tenant(session)
    units, people = await store.load_units(session), await store.load_people(session)
    day, kept = local_day(session.now, tenant), await desired_resources.load_provider_logins(session, issuer)
    plan = await run_in_worker(
        read_and_plan, data, list(people.values()), units, tenant.slug, day, issuer, kept, seconds=IMPORT_SECONDS
    )
    await require_admin(session, people, list(plan.people.values()))
    if not dry_run:
        await record_unit_changes(session, units, plan.units)
        await record_people_changes(session, people, list(plan.people.values()))
    return plan.report.model_copy(update={"dry_run": dry_run})
