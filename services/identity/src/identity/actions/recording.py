"""Recording of changes: the new state is stored with a higher version, published as an event, and entered in the audit log.
Unchanged state is not written again."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from contracts import Event
from contracts.directory import OrgUnitChanged, PersonChanged, TenantChanged
from servicekit import lock_edits
from servicekit.audit import record_change
from servicekit.cooperative import iterate_cooperatively
from servicekit.errors import NotFound
from storage import Session

from identity.actions.admins import require_admin
from identity.actions.desired_state import sync_accounts, sync_organization
from identity.store import directory as store


async def lock_tenant(session: Session) -> TenantChanged:
    """Locks the session's tenant until the transaction ends, and returns it: no other transaction changes its directory
    meanwhile. Raises NotFound."""
    await lock_edits(session)
    tenant = await store.load_tenant(session, lock=True)
    if tenant is None:
        raise NotFound("unknown-tenant", f"There is no tenant `{session.tenant}`.")
    return tenant


async def record_tenant_change(session: Session, before: TenantChanged | None, after: TenantChanged) -> None:
    """Records a tenant; `before` None: it is new. Its organization at the login provider follows."""
    if before == after:
        return
    first = after.model_copy(update={"version": 1})
    session.emit(first if before is None else await store.update_tenant(session, after))
    await sync_organization(session, before, after)
    record_change(session, "tenant", after.slug, before=_audited_state(before), after=_audited_state(after))


async def record_unit_changes(
    session: Session, before: Iterable[OrgUnitChanged], changed: Sequence[OrgUnitChanged]
) -> None:
    """Records the `changed` units; `before`: the stored ones, at least those that change."""
    async for unit in iterate_cooperatively(await store.save_units(session, changed)):
        session.emit(unit)
    old = {unit.id: unit for unit in before}
    async for unit in iterate_cooperatively(changed):
        record_change(
            session, "org_unit", unit.slug, before=_audited_state(old.get(unit.id)), after=_audited_state(unit)
        )


async def record_people_changes(
    session: Session, before: Mapping[UUID, PersonChanged], changed: Sequence[PersonChanged]
) -> None:
    """Records the `changed` people; `before`: the stored ones by id, at least those that change. Their accounts at the login
    provider follow. Raises Conflict when the tenant would lose its last administrator."""
    await require_admin(session, before, changed)
    async for person in iterate_cooperatively(await store.save_people(session, changed)):
        session.emit(person)
    await sync_accounts(session, before, changed)
    async for person in iterate_cooperatively(changed):
        record_change(
            session, "person", person.slug, before=_audited_state(before.get(person.id)), after=_audited_state(person)
        )


def _audited_state(state: Event | None) -> dict[str, Any] | None:
    """The state as JSON for the audit log, without the version and the clock of a simulated tenant."""
    return None if state is None else state.model_dump(mode="json", exclude={"version", "clock"})
