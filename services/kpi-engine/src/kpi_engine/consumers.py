"""The event door."""

from typing import Any

from contracts import Mode
from contracts.blueprints import BlueprintPublished
from contracts.directory import OrgUnitChanged, PersonChanged
from servicekit import ReceivedEvent
from servicekit.blueprints import claim_section
from storage import Session

from kpi_engine.actions import publishing
from kpi_engine.actions.fact_events import apply_fact_events


async def on_facts(session: Session, events: list[ReceivedEvent[Any]]) -> None:
    """Legs as they happen, agents' states, scored submissions."""
    await _apply_facts(session, events, "live")


async def on_history(session: Session, events: list[ReceivedEvent[Any]]) -> None:
    """A customer's past: it counts, and nothing follows from it."""
    await _apply_facts(session, events, "history")


async def _apply_facts(session: Session, events: list[ReceivedEvent[Any]], mode: Mode) -> None:
    facts = [(event.attributes, event.key, event.raw) for event in events if event.raw is not None]
    await apply_fact_events(session, facts, mode=mode)


async def on_blueprint_published(session: Session, event: ReceivedEvent[BlueprintPublished]) -> None:
    content = event.body.sections.get("kpi-engine")
    if content is not None and await claim_section(session, event):
        await publishing.apply_or_schedule_section(session, content, event.body.version)


async def on_person_changed(session: Session, event: ReceivedEvent[PersonChanged]) -> None:
    await publishing.rederive_person(session, event.body.id)


async def on_org_unit_changed(session: Session, event: ReceivedEvent[OrgUnitChanged]) -> None:
    await publishing.rederive_org_unit(session, event.body.id)
