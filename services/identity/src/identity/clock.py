"""What falls due: telling the login provider, and forgetting sessions whose tokens are all dead."""

from datetime import UTC, datetime

from contracts.directory import PLATFORM_TENANT, SessionEnded
from servicekit import DueItem, Job, Kit, Lease
from servicekit.outbound import Outbound
from storage import Session

from identity.actions.provisions import bring_about, resume
from identity.actions.sessions import forget_session
from identity.clients.provider import Provider


def telling(provider: Provider | None, issuer: str, outbound: Outbound | None) -> Job:
    async def tell(lease: Lease, item: DueItem) -> None:
        named = {name: item.body[name] for name in ("tenant", "kind", "slug")}
        await bring_about(lease.begin, provider, issuer=issuer, outbound=outbound, **named)

    return Job(tell, long=False)


async def on_session_dead(session: Session, item: DueItem) -> None:
    await forget_session(session, SessionEnded.model_validate(item.body))


async def pick_up(kit: Kit) -> None:
    """At the start of a process."""
    async with kit.sessions.begin([PLATFORM_TENANT], now=datetime.now(UTC)) as session:
        await resume(session)
