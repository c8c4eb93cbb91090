"""A tenant is never left without somebody who runs it: nobody in it could let anyone in again."""

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from contracts.directory import PLATFORM_TENANT, PersonChanged
from servicekit.errors import Conflict
from storage import Session

from identity.model.people import covered_until, local_day
from identity.store import directory, provisions


async def require_admin(
    session: Session, before: Mapping[UUID, PersonChanged], changed: Sequence[PersonChanged]
) -> None:
    """Raises Conflict when the change would take away a tenant's last administrator, or the last who can sign in, today
    or by an end date. A tenant that has none yet may stay so."""
    role = _role(session)
    if not any(_runs(before[each.id], role) for each in changed if each.id in before):
        return
    there = await directory.admins(session, role)
    await _compare(session, there, {**there, **{each.id: each for each in changed}}, role)


async def require_admin_without_account(session: Session, person: PersonChanged) -> None:
    """Raises Conflict when this person's account is the last by which an administrator gets in."""
    role = _role(session)
    if _runs(person, role):
        there = await directory.admins(session, role)
        await _compare(session, there, there, role, closed=person.id)


async def _compare(
    session: Session,
    before: Mapping[UUID, PersonChanged],
    after: Mapping[UUID, PersonChanged],
    role: str,
    closed: UUID | None = None,
) -> None:
    tenant = await directory.load_tenant(session)
    assert tenant is not None
    day = local_day(session.now, tenant)
    shut = await provisions.closed_accounts(session)
    able = _able(before.values(), shut), _able(after.values(), shut | ({closed} if closed else set()))
    for old, new, who in ((before.values(), after.values(), ""), (*able, " who can sign in")):
        if covered_until(new, role, day) < covered_until(old, role, day):
            raise Conflict(
                "last-admin",
                f"`{tenant.slug}` would be left without a person{who} who is {role}, now or from a day on. Make "
                "another active person one first, without an end date.",
            )


def _able(people: Iterable[PersonChanged], shut: set[UUID]) -> list[PersonChanged]:
    return [each for each in people if each.logins and each.id not in shut]


def _role(session: Session) -> str:
    return "platform_admin" if session.tenant == PLATFORM_TENANT else "tenant_admin"


def _runs(person: PersonChanged, role: str) -> bool:
    return any(grant.role == role for grant in person.roles)
