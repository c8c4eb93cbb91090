"""The event door: bands, scores and finished trainings give points; blueprints bring rules."""

from collections.abc import Awaitable, Callable
from typing import Any

from contracts import Event
from contracts.blueprints import BlueprintPublished
from contracts.learning import AssignmentCompleted
from contracts.scores import BandCorrected, BandLeft, ScoreChanged
from servicekit import Received
from servicekit.blueprints import take_section
from servicekit.kit import BatchHandler
from storage import Session

from gamification.actions import bands
from gamification.actions.improvement import hear_scores
from gamification.actions.rules import apply_blueprint


async def on_blueprint_published(session: Session, event: Received[BlueprintPublished]) -> None:
    content = event.body.sections.get("gamification")
    if content is not None and await take_section(session, event):
        await apply_blueprint(session, event.body.version, content)


def _tenant_by_tenant(
    hear: Callable[[Session, list[Received[Any]]], Awaitable[None]], *types: type[Event]
) -> BatchHandler:
    """A batch's events of these types, after their agents were locked against the other doors. An agent belongs to one
    tenant, so its events stay in order."""
    names = {each.type for each in types}

    async def on_batch(session: Session, events: list[Received[Any]]) -> None:
        by_tenant: dict[str, list[Received[Any]]] = {}
        for event in events:
            if event.attributes.type in names and event.raw is not None:
                by_tenant.setdefault(event.tenant, []).append(event)
        if not by_tenant:
            return
        await session.take_turns({event.key for group in by_tenant.values() for event in group})
        for tenant, group in by_tenant.items():
            if session.tenants != (tenant,):
                await session.narrow([tenant])
            await hear(session, group)

    return on_batch


on_bands = _tenant_by_tenant(bands.hear_bands, BandLeft, BandCorrected)
on_scores = _tenant_by_tenant(hear_scores, ScoreChanged)
on_assignments = _tenant_by_tenant(bands.complete_trainings, AssignmentCompleted)
