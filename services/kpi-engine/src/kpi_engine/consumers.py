"""The event door: facts, blueprints, and people and org units that change."""

from typing import Any

from contracts import Mode, type_registry
from contracts.blueprints import BlueprintPublished
from contracts.directory import OrgUnitChanged, PersonChanged
from servicekit import ReceivedEvent, Subscription, iterate_tenants
from servicekit.blueprints import handle_section, subscribe_to_names
from servicekit.service_definition import BatchHandler
from storage import Session

from kpi_engine.actions import publishing
from kpi_engine.actions.fact_events import apply_fact_events, publish_changes
from kpi_engine.model.section import SectionContent
from kpi_engine.store.facts import FACT_READERS
from kpi_engine.store.waiting_facts import FactEvent

_BLUEPRINT_SECONDS = 3600


def subscriptions(*, max_messages: int) -> list[Subscription]:
    """All topics that kpi-engine reads. `max_messages`: the largest batch of facts."""

    def facts(topic: str, handler: BatchHandler) -> Subscription:
        types = [type_registry[name] for name in FACT_READERS]
        return Subscription(topic, batch=handler, types=types, max_messages=max_messages)

    return [
        facts("legs", on_facts),
        facts("legs.history", on_history),
        facts("agent-states", on_facts),
        facts("submissions", on_facts),
        # A new model counts every fact that there is.
        Subscription("blueprints", {BlueprintPublished: on_blueprint_published}, max_seconds=_BLUEPRINT_SECONDS),
        *subscribe_to_names("ingest", "forms", "training", "gamification", "notification"),
        Subscription("directory", {PersonChanged: on_person_changed, OrgUnitChanged: on_org_unit_changed}),
    ]


async def on_facts(session: Session, events: list[ReceivedEvent[Any]]) -> None:
    """Applies live legs, agent states and scored submissions."""
    await apply_facts(session, _fact_events(events), mode="live")


async def on_history(session: Session, events: list[ReceivedEvent[Any]]) -> None:
    """Applies legs of a back-fill: they count in values and bands, and their events have the mode `history`."""
    await apply_facts(session, _fact_events(events), mode="history")


def _fact_events(events: list[ReceivedEvent[Any]]) -> list[FactEvent]:
    return [(event.attributes, event.key, event.raw) for event in events if event.raw is not None]


async def apply_facts(session: Session, facts: list[FactEvent], *, mode: Mode) -> None:
    """Stores the facts of all tenants of the batch at once, then publishes what changed tenant by tenant."""
    applied = await apply_fact_events(session, facts, mode=mode)
    async for _ in iterate_tenants(session, applied.times):
        await publish_changes(session, applied)


async def on_blueprint_published(session: Session, event: ReceivedEvent[BlueprintPublished]) -> None:
    """Applies or schedules the section `kpi-engine`; `SectionApplied` or `SectionRejected` follows."""
    await handle_section(
        session,
        event,
        SectionContent,
        lambda section: publishing.apply_section(session, section.root),
        lambda version: publishing.publish_section_applied(session, version=version),
        defer=lambda section, version: publishing.schedule_long_section(session, section.root, version),
    )


async def on_person_changed(session: Session, event: ReceivedEvent[PersonChanged]) -> None:
    """Derives the person's bands: another target may apply."""
    await publishing.rederive_person(session, event.body.id)


async def on_org_unit_changed(session: Session, event: ReceivedEvent[OrgUnitChanged]) -> None:
    """Derives the bands of the unit's members: another target may apply."""
    await publishing.rederive_org_unit(session, event.body.id)
