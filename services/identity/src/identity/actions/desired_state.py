"""What the login provider shall hold, stored with the change that wants it. The clock brings it about: no request waits
for the provider."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from contracts.directory import PLATFORM_TENANT, PersonChanged, TenantChanged
from storage import Session

from identity.store import desired_resources

ALREADY_DUE = datetime(2000, 1, 1, tzinfo=UTC)
"""Due by every clock: a simulated tenant's now may be ahead of the platform's."""
RECONCILE_KIND = "provision"
ORGANIZATION, APPLICATION, ACCOUNT, BROKER = "organization", "application", "account", "identity_provider"


async def set_desired(
    session: Session,
    kind: str,
    slug: str,
    desired: dict[str, Any],
    *,
    deleting: bool = False,
    sealed: str | None = None,
) -> None:
    """The provider shall hold this from now on, or with `leaving` not any more."""
    await desired_resources.upsert(session, kind, slug, desired, deleting=deleting, sealed=sealed, at=session.now)
    await schedule_reconcile(session, session.tenant, kind, slug, ALREADY_DUE)


async def sync_organization(session: Session, before: TenantChanged | None, after: TenantChanged) -> None:
    """The tenant's organization is called and switched as the tenant is."""
    if before is None or (before.name, before.active) != (after.name, after.active):
        await set_desired(session, ORGANIZATION, after.slug, {"name": after.name, "enabled": after.active})


async def sync_accounts(
    session: Session, before: Mapping[UUID, PersonChanged], changed: Sequence[PersonChanged]
) -> None:
    """Accounts of people are named and switched as the people are."""
    moved = [
        str(each.id)
        for each in changed
        if each.id in before and _account_fields(before[each.id]) != _account_fields(each)
    ]
    if moved:
        for slug in await desired_resources.mark_waiting(session, ACCOUNT, moved, at=session.now):
            await schedule_reconcile(session, session.tenant, ACCOUNT, slug, ALREADY_DUE)


def _account_fields(person: PersonChanged) -> tuple[Any, ...]:
    return person.active, person.display_name, person.email


async def schedule_reconcile(session: Session, tenant: str, kind: str, slug: str, at: datetime) -> None:
    """As the platform's, whose time is everybody's: a simulated tenant's may stand still. One thing of a tenant is brought
    about after the other: they have parts in common, which each looks for before it makes them."""
    seen = session.tenants
    await session.set_tenants([PLATFORM_TENANT])
    # Something new in it each time: what is wanted while the provider is being told is told afterwards.
    item = {"tenant": tenant, "kind": kind, "slug": slug, "asked": str(uuid4())}
    await session.schedule(RECONCILE_KIND, f"{tenant}/{kind}/{slug}", at, item, lock_key=f"provider {tenant}")
    await session.set_tenants(seen)
