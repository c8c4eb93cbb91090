"""What falls due: telling the login provider, and forgetting sessions whose tokens are all dead."""

from datetime import UTC, datetime

from contracts.directory import PLATFORM_TENANT, SessionEnded
from servicekit import DueItem, Job, Lease, ServiceContext
from servicekit.outbound import OutboundClient
from storage import Session

from identity.actions.reconciling import reconcile, schedule_waiting
from identity.actions.sessions import forget_session
from identity.clients.provider import Provider


def make_reconcile_handler(provider: Provider | None, issuer: str, outbound: OutboundClient | None) -> Job:
    async def tell(lease: Lease, item: DueItem) -> None:
        named = {name: item.body[name] for name in ("tenant", "kind", "slug")}
        await reconcile(lease.begin, provider, issuer=issuer, outbound=outbound, **named)

    return Job(tell, long=False)


async def on_session_expired(session: Session, item: DueItem) -> None:
    await forget_session(session, SessionEnded.model_validate(item.body))


async def resume_reconciling(kit: ServiceContext) -> None:
    """At the start of a process."""
    async with kit.sessions.begin([PLATFORM_TENANT], now=datetime.now(UTC)) as session:
        await schedule_waiting(session)
