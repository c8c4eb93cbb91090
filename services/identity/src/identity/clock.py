"""The time door: applying desired state at the login provider, and forgetting ended sessions whose tokens have expired."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from contracts.directory import PLATFORM_TENANT, SessionEnded
from servicekit import DueItem, Job, Lease, ServiceContext
from servicekit.feature_flags import FeatureFlags
from servicekit.outbound import OutboundClient
from servicekit.service_definition import DueHandler
from storage import Session

from identity.actions.feature_flags import record_flag_changes, start_watching
from identity.actions.reconciling import reconcile, schedule_waiting
from identity.actions.sessions import forget_session
from identity.clients.provider import Provider
from identity.store import directory
from identity.store.desired_resources import ResourceKey

_TENANTS_AT_ONCE = 500


def make_reconcile_handler(provider: Provider | None, issuer: str, outbound: OutboundClient | None) -> Job:
    """The handler that applies one desired resource at the provider, outside a transaction. `issuer`: the `iss` of its
    logins. `outbound` None: addresses may lead anywhere."""

    async def reconcile_item(lease: Lease, item: DueItem) -> None:
        key = ResourceKey(**{name: item.body[name] for name in ResourceKey._fields})

        @asynccontextmanager
        async def begin() -> AsyncGenerator[Session]:
            async with lease.begin() as session:
                await session.set_tenants([key.tenant])
                found = await directory.load_tenant(session)
                if found is not None and found.clock is not None:
                    session.now = found.clock
                yield session

        await reconcile(begin, provider, now=lease.now, issuer=issuer, outbound=outbound, **key._asdict())

    return Job(reconcile_item, long=False)


async def on_session_expired(session: Session, item: DueItem) -> None:
    """Forgets an ended session."""
    await forget_session(session, SessionEnded.model_validate(item.body))


def make_flag_handler(flags: FeatureFlags) -> DueHandler:
    """The handler that records changes of the file of feature flags."""

    async def record(session: Session, item: DueItem) -> None:
        await record_flag_changes(session, flags, item.body)

    return record


async def watch_feature_flags(kit: ServiceContext) -> None:
    """Schedules the first comparison of the file of feature flags. Runs when a process starts."""
    async with kit.sessions.begin([PLATFORM_TENANT], now=datetime.now(UTC)) as session:
        await start_watching(session)


async def resume_reconciling(kit: ServiceContext) -> None:
    """Schedules every resource that waits. Runs when a process starts."""
    async with kit.sessions.begin([PLATFORM_TENANT], now=datetime.now(UTC)) as session:
        after = ""
        while slugs := await directory.list_customer_slugs(session, after, _TENANTS_AT_ONCE):
            after = slugs[-1]
            await session.set_tenants([PLATFORM_TENANT, *slugs])
            await schedule_waiting(session)
            await session.set_tenants([PLATFORM_TENANT])
