"""What the login provider shall hold, stored with the change that wants it. The clock brings it about: no request waits
for the provider."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from contracts.directory import PLATFORM_TENANT, PersonChanged, TenantChanged
from storage import Session

from identity.store import provisions

AT_ONCE = datetime(2000, 1, 1, tzinfo=UTC)
"""Due by every clock: a simulated tenant's now may be ahead of the platform's."""
DUE = "provision"
ORGANIZATION, APPLICATION, ACCOUNT, BROKER = "organization", "application", "account", "identity_provider"


async def want(
    session: Session,
    kind: str,
    slug: str,
    wanted: dict[str, Any],
    *,
    leaving: bool = False,
    sealed: str | None = None,
) -> None:
    """The provider shall hold this from now on, or with `leaving` not any more."""
    await provisions.keep(session, kind, slug, wanted, leaving=leaving, sealed=sealed, at=session.now)
    await schedule(session, session.tenant, kind, slug, AT_ONCE)


async def follow_tenant(session: Session, before: TenantChanged | None, after: TenantChanged) -> None:
    """The tenant's organization is called and switched as the tenant is."""
    if before is None or (before.name, before.active) != (after.name, after.active):
        await want(session, ORGANIZATION, after.slug, {"name": after.name, "enabled": after.active})


async def follow_people(
    session: Session, before: Mapping[UUID, PersonChanged], changed: Sequence[PersonChanged]
) -> None:
    """Accounts of people are named and switched as the people are."""
    moved = [
        str(each.id) for each in changed if each.id in before and _of_account(before[each.id]) != _of_account(each)
    ]
    if moved:
        for slug in await provisions.ask_again(session, ACCOUNT, moved, at=session.now):
            await schedule(session, session.tenant, ACCOUNT, slug, AT_ONCE)


def _of_account(person: PersonChanged) -> tuple[Any, ...]:
    return person.active, person.display_name, person.email


async def schedule(session: Session, tenant: str, kind: str, slug: str, at: datetime) -> None:
    """As the platform's, whose time is everybody's: a simulated tenant's may stand still. One thing of a tenant is brought
    about after the other: they have parts in common, which each looks for before it makes them."""
    seen = session.tenants
    await session.narrow([PLATFORM_TENANT])
    # Something new in it each time: what is wanted while the provider is being told is told afterwards.
    item = {"tenant": tenant, "kind": kind, "slug": slug, "asked": str(uuid4())}
    await session.schedule(DUE, f"{tenant}/{kind}/{slug}", at, item, turn=f"provider {tenant}")
    await session.narrow(seen)
