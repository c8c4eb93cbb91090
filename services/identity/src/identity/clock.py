"""The time door: applying desired state at the login provider, and forgetting ended sessions whose tokens have expired."""

from datetime import UTC, datetime

from contracts.directory import PLATFORM_TENANT, SessionEnded
from servicekit import DueItem, Job, Lease, ServiceContext
from servicekit.outbound import OutboundClient
from storage import Session

from identity.actions.reconciling import reconcile, schedule_waiting
from identity.actions.sessions import forget_session
from identity.clients.provider import Provider
from identity.store.desired_resources import ResourceKey


def make_reconcile_handler(provider: Provider | None, issuer: str, outbound: OutboundClient | None) -> Job:
    """The handler that applies one desired resource at the provider, outside a transaction. `issuer`: the `iss` of its
    logins. `outbound` None: addresses may lead anywhere."""

    async def reconcile_item(lease: Lease, item: DueItem) -> None:
        key = ResourceKey(**{name: item.body[name] for name in ResourceKey._fields})
        await reconcile(lease.begin, provider, issuer=issuer, outbound=outbound, **key._asdict())

    return Job(reconcile_item, long=False)


async def on_session_expired(session: Session, item: DueItem) -> None:
    """Forgets an ended session."""
    await forget_session(session, SessionEnded.model_validate(item.body))


async def resume_reconciling(kit: ServiceContext) -> None:
    """Schedules every resource that waits. Runs when a process starts."""
    async with kit.sessions.begin([PLATFORM_TENANT], now=datetime.now(UTC)) as session:
        await schedule_waiting(session)
