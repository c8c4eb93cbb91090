"""The desired state of the login provider. It is stored in the transaction of the change that causes it, and reconciled by the
clock: no request waits for the provider."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from contracts.directory import PLATFORM_TENANT, PersonChanged, TenantChanged
from storage import Session

from identity.store import desired_resources

ALREADY_DUE = datetime(2000, 1, 1, tzinfo=UTC)
"""Due by every clock: the now of a simulated tenant may be ahead of the platform's."""
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
    """Stores what the provider shall hold, with `deleting` that it shall be removed, and schedules its reconciliation. `sealed`:
    a new secret, encrypted."""
    await desired_resources.upsert(session, kind, slug, desired, deleting=deleting, sealed=sealed, at=session.now)
    await schedule_reconcile(session, session.tenant, kind, slug, ALREADY_DUE)


async def sync_organization(session: Session, before: TenantChanged | None, after: TenantChanged) -> None:
    """Makes the organization follow the tenant's name and its being active."""
    if before is None or (before.name, before.active) != (after.name, after.active):
        await set_desired(session, ORGANIZATION, after.slug, {"name": after.name, "enabled": after.active})


async def sync_accounts(
    session: Session, before: Mapping[UUID, PersonChanged], changed: Sequence[PersonChanged]
) -> None:
    """Makes accounts follow the name, the address and the being active of their people."""
    moved = [
        str(each.id)
        for each in changed
        if each.id in before and _provider_account_fields(before[each.id]) != _provider_account_fields(each)
    ]
    if moved:
        for slug in await desired_resources.mark_waiting(session, ACCOUNT, moved, at=session.now):
            await schedule_reconcile(session, session.tenant, ACCOUNT, slug, ALREADY_DUE)


def _provider_account_fields(person: PersonChanged) -> tuple[Any, ...]:
    return person.active, person.display_name, person.email


async def schedule_reconcile(session: Session, tenant: str, kind: str, slug: str, at: datetime) -> None:
    """Schedules a resource as an item of the platform tenant, since the clock of a simulated tenant may stand still. The
    resources of one tenant are reconciled one after the other: they share parts, which each creates when they are missing."""
    # The body differs each time, so that a change during a reconciliation leads to another one.
    body = {"tenant": tenant, "kind": kind, "slug": slug, "asked": str(uuid4())}
    ref, serialize_by = f"{tenant}/{kind}/{slug}", f"provider {tenant}"
    item = {"tenant": PLATFORM_TENANT, "ref": ref, "at": at, "body": body, "turn": serialize_by}
    await session.schedule_all(RECONCILE_KIND, [item])
