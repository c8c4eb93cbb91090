"""How a change is kept: stored, told to everyone as whole state with a version that rises, and noted in the audit log. Nothing that is as it was
is written again."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from contracts import Event
from contracts.directory import OrgUnitChanged, PersonChanged, TenantChanged
from servicekit import lock_edits
from servicekit.errors import NotFound
from storage import Session

from identity.actions.admins import require_admin
from identity.actions.wanting import follow_people, follow_tenant
from identity.model.documents import digest
from identity.store import audit
from identity.store import directory as store


async def locked_tenant(session: Session) -> TenantChanged:
    """The session's tenant, locked: from here on this is the only transaction that changes its directory."""
    await lock_edits(session)
    tenant = await store.load_tenant(session, lock=True)
    if tenant is None:
        raise NotFound("unknown-tenant", f"There is no tenant `{session.tenant}`.")
    return tenant


async def keep_tenant(
    session: Session, before: TenantChanged | None, after: TenantChanged, *, by: str, action: str
) -> None:
    if before == after:
        return
    first = after.model_copy(update={"version": 1})
    session.emit(first if before is None else await store.update_tenant(session, after))
    await follow_tenant(session, before, after)
    await audit.record(session, by, [audit.Entry(action, f"tenant/{after.slug}", digest_of(before), digest_of(after))])


async def keep_units(
    session: Session, before: Iterable[OrgUnitChanged], changed: Sequence[OrgUnitChanged], *, by: str, action: str
) -> None:
    for unit in await store.save_units(session, changed):
        session.emit(unit)
    old = {unit.id: unit for unit in before}
    await audit.record(
        session,
        by,
        [
            audit.Entry(action, f"org_unit/{unit.slug}", digest_of(old.get(unit.id)), digest_of(unit))
            for unit in changed
        ],
    )


async def keep_people(
    session: Session, before: Mapping[UUID, PersonChanged], changed: Sequence[PersonChanged], *, by: str, action: str
) -> None:
    """Raises Conflict when the tenant would lose its last administrator."""
    await require_admin(session, before, changed)
    for person in await store.save_people(session, changed):
        session.emit(person)
    await follow_people(session, before, changed)
    await audit.record(
        session,
        by,
        [
            audit.Entry(action, f"person/{person.slug}", digest_of(before.get(person.id)), digest_of(person))
            for person in changed
        ],
    )


def digest_of(state: Event | None) -> str | None:
    return None if state is None else digest(state.model_dump(mode="json", exclude={"version"}))
