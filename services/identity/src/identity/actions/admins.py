"""A tenant always keeps an administrator: without one, nobody in it could restore access."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from contracts.directory import PLATFORM_TENANT, PersonChanged
from servicekit.errors import Conflict
from storage import Session

from identity.model.people import role_covered_until, tenant_workday
from identity.store import desired_resources, directory


async def require_admin(
    session: Session, before: Mapping[UUID, PersonChanged], changed: Sequence[PersonChanged]
) -> None:
    """Raises Conflict when the changed people would leave the tenant without an administrator, or without one who can sign in,
    now or from a later day on. A tenant that has no administrator yet may stay without. `before`: the stored people by id, at
    least those that change."""
    role = _admin_role(session)
    if not any(_has_role(before[each.id], role) for each in changed if each.id in before):
        return
    stored = await directory.load_admins(session, role)
    await _require_coverage(session, stored, {**stored, **{each.id: each for each in changed}}, role)


async def require_admin_without_account(session: Session, person: PersonChanged) -> None:
    """Raises Conflict when closing this person's account would leave no administrator who can sign in."""
    role = _admin_role(session)
    if _has_role(person, role):
        stored = await directory.load_admins(session, role)
        await _require_coverage(session, stored, stored, role, closing=person.id)


async def _require_coverage(
    session: Session,
    before: Mapping[UUID, PersonChanged],
    after: Mapping[UUID, PersonChanged],
    role: str,
    closing: UUID | None = None,
) -> None:
    tenant = await directory.load_tenant(session)
    assert tenant is not None
    day = tenant_workday(session.now, tenant)
    closed = await desired_resources.list_closed_accounts(session)
    able_to_sign_in = (
        _with_open_account(before.values(), closed),
        _with_open_account(after.values(), closed | ({closing} if closing else set())),
    )
    for old, new, who in ((before.values(), after.values(), ""), (*able_to_sign_in, " who can sign in")):
        if role_covered_until(new, role, day) < role_covered_until(old, role, day):
            raise Conflict(
                "last-admin",
                f"`{tenant.slug}` would be left without a person{who} who is {role}, now or from a day on. Make "
                "another active person one first, without an end date.",
            )


def _with_open_account(people: Iterable[PersonChanged], closed: set[UUID]) -> list[PersonChanged]:
    return [each for each in people if each.logins and each.id not in closed]


def _admin_role(session: Session) -> str:
    return "platform_admin" if session.tenant == PLATFORM_TENANT else "tenant_admin"


def _has_role(person: PersonChanged, role: str) -> bool:
    return any(grant.role == role for grant in person.roles)
