"""The clock: work that waits until a tenant's models are changed, and publications that take long."""

import asyncio
from typing import cast
from uuid import UUID

from contracts import Mode
from contracts.audit import Origin
from servicekit import DueItem, Job, Lease, iterate_tenants

from kpi_engine.actions import publishing
from kpi_engine.actions.fact_events import apply_waiting_facts, publish_changes

_RETRY_SECONDS = 0.25


async def on_waiting_facts(lease: Lease, item: DueItem) -> None:
    """Applies deferred facts. Each page has a transaction of its own, and none is open while it waits: a consumer that
    defers more facts must not wait too."""
    while True:
        async with lease.begin() as session:
            applied = await apply_waiting_facts(session, cast(Mode, item.ref))
            if applied is not None:
                async for _ in iterate_tenants(session, applied.times):
                    await publish_changes(session, applied)
        if applied is None:
            await asyncio.sleep(_RETRY_SECONDS)
        elif not applied.count:
            return


async def on_targets(lease: Lease, item: DueItem) -> None:
    """Derives the bands of a person to whom another target may apply now."""
    while True:
        async with lease.begin() as session:
            if await publishing.rederive_agents(session, [UUID(item.ref)]):
                return
        await asyncio.sleep(_RETRY_SECONDS)


async def on_section(lease: Lease, item: DueItem) -> None:
    """Applies a blueprint's section whose models take long to compute, in one transaction: all of it or nothing."""
    async with lease.begin() as session:
        if item.body.get("origin"):  # items of older releases have none
            session.origin = Origin.model_validate(item.body["origin"])
        await publishing.apply_scheduled_section(session, item.body["content"], item.body["version"])


async def on_publish(lease: Lease, item: DueItem) -> None:
    """Publishes a model that takes long to compute, in one transaction."""
    async with lease.begin() as session:
        session.origin = Origin.model_validate(item.body["origin"])
        by = item.body["by"]
        await publishing.publish_scheduled(session, item.ref, item.body["document"], by and UUID(by))


handlers = {
    "section": Job(on_section),
    publishing.PUBLISH: Job(on_publish),
    "count": Job(on_waiting_facts),
    "targets": Job(on_targets),
}
