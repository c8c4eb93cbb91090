"""Org units: adding, renaming, moving with everything below them, switching off."""

from collections.abc import Iterable
from datetime import date

from contracts import new_id
from contracts.directory import OrgUnitChanged
from contracts.section_names import Names, extract_names
from servicekit.blueprints import require_unnamed
from servicekit.errors import Conflict, NotFound
from storage import Session

from identity.actions.recording import lock_tenant, record_unit_changes
from identity.model.fields import raise_if_problems
from identity.model.org import OrgTree, apply_units
from identity.model.people import find_person_problems, tenant_workday
from identity.model.specs import OrgUnitPatch, OrgUnitSpec
from identity.store import directory as store


async def add_unit(session: Session, spec: OrgUnitSpec) -> OrgUnitChanged:
    """Adds a unit. Raises Conflict when the slug is taken, Invalid when the parent is unknown."""
    await lock_tenant(session)
    units = await store.load_units(session)
    if any(unit.slug == spec.slug for unit in units):
        raise Conflict("slug-taken", f"There is an org unit `{spec.slug}` already.")
    tree = OrgTree(units)
    changed, problems = apply_units(tree, [("", spec.slug, spec)], new_id)
    raise_if_problems(problems)
    await record_unit_changes(session, units, changed)
    return tree.by_slug[spec.slug]


async def change_unit(session: Session, ref: str, patch: OrgUnitPatch) -> OrgUnitChanged:
    """Changes the unit with this id or slug; a moved unit takes everything below it along. Raises NotFound; Invalid for an
    unknown parent or a cycle; Conflict when it is still in use and cannot be switched off, or when its new kind would make
    somebody a member of two units of that kind."""
    tenant = await lock_tenant(session)
    units = await store.load_units(session)
    tree = OrgTree(units)
    before = tree.find(ref)
    if before is None:
        raise NotFound("unknown-org-unit", f"There is no org unit `{ref}`.")
    changed, problems = apply_units(tree, [("", before.slug, patch)], new_id)
    raise_if_problems(problems)
    after = tree.by_id[before.id]
    day = tenant_workday(session.now, tenant)
    if before.active and not after.active:
        await _require_unused(session, tree, after, day)
        await require_unnamed(session, _names(units), _names(tree.by_id.values()))
    if before.kind != after.kind:
        for person in (await store.find_members(session, [after.id])).values():
            found = find_person_problems(person, tree=tree, tenant=tenant.slug, day=day, at="")
            if found:
                raise Conflict("kind-in-use", f"Of `{person.slug}`: {found[0].problem}; {found[0].cure}.")
    await record_unit_changes(session, units, changed)
    return after


def _names(units: Iterable[OrgUnitChanged]) -> Names:
    return extract_names("identity", {"org_units": [{"slug": unit.slug} for unit in units if unit.active]})


async def _require_unused(session: Session, tree: OrgTree, unit: OrgUnitChanged, day: date) -> None:
    below = [each for each in tree.below(unit.id) if each.active]
    if below:
        names = ", ".join(each.slug for each in below[:5])
        raise Conflict(
            "units-below", f"`{unit.slug}` still has units below it: {names}. Move or switch them off first."
        )
    members = await store.count_memberships_from(session, [unit.id], day)
    if members:
        raise Conflict(
            "unit-in-use", f"`{unit.slug}` still has {members} members, now or later. End their memberships first."
        )
