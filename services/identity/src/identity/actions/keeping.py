"""How a change is kept: stored, told to everyone as whole state with a version that rises, and noted in the audit log. Nothing that is as it was
is written again."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from contracts import Event
from contracts.directory import OrgUnitChanged, PersonChanged, TenantChanged
from servicekit import lock_edits
from servicekit.audit import audit
from servicekit.errors import NotFound
from storage import Session

from identity.actions.admins import require_admin
from identity.actions.wanting import follow_people, follow_tenant
from identity.store import directory as store


async def locked_tenant(session: Session) -> TenantChanged:
    """The session's tenant, locked: from here on this is the only transaction that changes its directory."""
    await lock_edits(session)
    tenant = await store.load_tenant(session, lock=True)
    if tenant is None:
        raise NotFound("unknown-tenant", f"There is no tenant `{session.tenant}`.")
    return tenant


async def keep_tenant(session: Session, before: TenantChanged | None, after: TenantChanged) -> None:
    if before == after:
        return
    first = after.model_copy(update={"version": 1})
    session.emit(first if before is None else await store.update_tenant(session, after))
    await follow_tenant(session, before, after)
    audit(session, "tenant", after.slug, before=_state(before), after=_state(after))


async def keep_units(session: Session, before: Iterable[OrgUnitChanged], changed: Sequence[OrgUnitChanged]) -> None:
    for unit in await store.save_units(session, changed):
        session.emit(unit)
    old = {unit.id: unit for unit in before}
    for unit in changed:
        audit(session, "org_unit", unit.slug, before=_state(old.get(unit.id)), after=_state(unit))


async def keep_people(session: Session, before: Mapping[UUID, PersonChanged], changed: Sequence[PersonChanged]) -> None:
    """Raises Conflict when the tenant would lose its last administrator."""
    await require_admin(session, before, changed)
    for person in await store.save_people(session, changed):
        session.emit(person)
    await follow_people(session, before, changed)
    for person in changed:
        audit(session, "person", person.slug, before=_state(before.get(person.id)), after=_state(person))


def _state(state: Event | None) -> dict[str, Any] | None:
    """What is configured of it: a simulated tenant's clock only runs."""
    return None if state is None else state.model_dump(mode="json", exclude={"version", "clock"})
