"""A tenant is never left without somebody who runs it: nobody in it could let anyone in again."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from contracts.directory import PLATFORM_TENANT, PersonChanged
from servicekit.errors import Conflict
from storage import Session

from identity.model.people import local_day, role_covered_until
from identity.store import desired_resources, directory


async def require_admin(
    session: Session, before: Mapping[UUID, PersonChanged], changed: Sequence[PersonChanged]
) -> None:
    """Raises Conflict when the change would take away a tenant's last administrator, or the last who can sign in, today
    or by an end date. A tenant that has none yet may stay so."""
    role = _admin_role(session)
    if not any(_has_role(before[each.id], role) for each in changed if each.id in before):
        return
    there = await directory.load_admins(session, role)
    await _require_coverage(session, there, {**there, **{each.id: each for each in changed}}, role)


async def require_admin_without_account(session: Session, person: PersonChanged) -> None:
    """Raises Conflict when this person's account is the last by which an administrator gets in."""
    role = _admin_role(session)
    if _has_role(person, role):
        there = await directory.load_admins(session, role)
        await _require_coverage(session, there, there, role, closed=person.id)


async def _require_coverage(
    session: Session,
    before: Mapping[UUID, PersonChanged],
    after: Mapping[UUID, PersonChanged],
    role: str,
    closed: UUID | None = None,
) -> None:
    tenant = await directory.load_tenant(session)
    assert tenant is not None
    day = local_day(session.now, tenant)
    shut = await desired_resources.list_closed_accounts(session)
    able = (
        _with_open_account(before.values(), shut),
        _with_open_account(after.values(), shut | ({closed} if closed else set())),
    )
    for old, new, who in ((before.values(), after.values(), ""), (*able, " who can sign in")):
        if role_covered_until(new, role, day) < role_covered_until(old, role, day):
            raise Conflict(
                "last-admin",
                f"`{tenant.slug}` would be left without a person{who} who is {role}, now or from a day on. Make "
                "another active person one first, without an end date.",
            )


def _with_open_account(people: Iterable[PersonChanged], shut: set[UUID]) -> list[PersonChanged]:
    return [each for each in people if each.logins and each.id not in shut]


def _admin_role(session: Session) -> str:
    return "platform_admin" if session.tenant == PLATFORM_TENANT else "tenant_admin"


def _has_role(person: PersonChanged, role: str) -> bool:
    return any(grant.role == role for grant in person.roles)
