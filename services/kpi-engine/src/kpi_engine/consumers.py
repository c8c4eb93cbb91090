"""The event door."""

from typing import Any

from contracts import Mode
from contracts.blueprints import BlueprintPublished
from contracts.directory import OrgUnitChanged, PersonChanged
from servicekit import Received
from servicekit.blueprints import take_section
from storage import Session

from kpi_engine.actions import publishing
from kpi_engine.actions.counting import count_facts


async def on_facts(session: Session, events: list[Received[Any]]) -> None:
    """Legs as they happen, agents' states, scored submissions."""
    await _count(session, events, "live")


async def on_history(session: Session, events: list[Received[Any]]) -> None:
    """A customer's past: it counts, and nothing follows from it."""
    await _count(session, events, "history")


async def _count(session: Session, events: list[Received[Any]], mode: Mode) -> None:
    facts = [(event.attributes, event.key, event.raw) for event in events if event.raw is not None]
    await count_facts(session, facts, mode=mode)


async def on_blueprint_published(session: Session, event: Received[BlueprintPublished]) -> None:
    content = event.body.sections.get("kpi-engine")
    if content is not None and await take_section(session, event):
        await publishing.apply_or_schedule(session, content, event.body.version)


async def on_person_changed(session: Session, event: Received[PersonChanged]) -> None:
    await publishing.person_changed(session, event.body.id)


async def on_org_unit_changed(session: Session, event: Received[OrgUnitChanged]) -> None:
    await publishing.org_unit_changed(session, event.body.id)
