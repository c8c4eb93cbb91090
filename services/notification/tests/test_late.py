"""Consumers of notification with events that come twice, late, or out of order."""

from typing import Any

from contracts import Event, derived_id
from contracts.assignments import AssignmentAssigned, AssignmentWithdrawn
from contracts.awards import PointsGranted, PointsReversed
from contracts.blueprints import BlueprintPublished
from contracts.scores import BandEntered, BandLeft
from notification.model.events import EVENTS
from notification.service import service
from testkit import person, person_id
from testkit.late_conformance import EventScript, LateConformance, ScriptedEvent, directory_script, sections_script

PLAIN = {"plain": {"en": {"subject": "News", "body": "of {{ agent.name }}"}}}
RULES = [{"rule": f"on-{name.replace('.', '-')}", "on": name, "to": "role:trainer", "text": "plain"} for name in EVENTS]
SECTION = {"notification": {"rules": RULES, "texts": PLAIN}}


def event_about_ada(kind: type[Event], **fields: Any) -> Event:
    """An event like its example, about ada, with a subject of its own."""
    own = derived_id("thing", kind.type)
    things = {"band_event_id": own, "kpi": kind.type, "assignment_id": own, "entry_id": own, "submission_id": own}
    values: dict[str, Any] = {"agent_id": person_id("ada"), **things, **fields}
    if "form" in kind.model_fields:
        values |= {"form": kind.type.replace(".", "-")}
    if "reverses" in kind.model_fields and "reverses" not in fields:
        values["reverses"] = own
    return kind.model_validate({**kind.example, **values})


class TestLate(LateConformance):
    service = service

    def event_script(self) -> EventScript:
        blueprints = [ScriptedEvent(BlueprintPublished(version=version, sections=SECTION)) for version in (1, 2)]
        events = [ScriptedEvent(event_about_ada(kind)) for kind in EVENTS.values()]
        people = [person("ada", team="team-a"), person("tom", roles=["trainer"])]
        return EventScript(
            [
                directory_script(*people),
                blueprints,
                sections_script("kpi-engine", "training", "gamification", "forms"),
                events,
            ],
            affected_tables=["notice", "section_names"],
        )


async def _notified_types(harness_for: Any, *events: Event) -> list[str]:
    """The event types of the trainer's notices, in the order of the events."""
    h = await harness_for(service)
    await h.apply_directory("t1", people=[person("ada"), person("tom", roles=["trainer"])])
    await h.deliver(BlueprintPublished(version=1, sections=SECTION), tenant="t1")
    for event in events:
        await h.deliver(event, tenant="t1")
    return [row["event_type"] for row in await h.rows("t1", "SELECT event_type FROM notice ORDER BY seq")]


async def test_outdated_events_create_no_notices(harness_for) -> None:
    entered, left = event_about_ada(BandEntered, kpi="k", version=4), event_about_ada(BandLeft, kpi="k", version=5)
    assigned = event_about_ada(AssignmentAssigned, assignment_id=derived_id("a"), version=1)
    withdrawn = event_about_ada(AssignmentWithdrawn, assignment_id=derived_id("a"), version=2)
    points = event_about_ada(PointsGranted, entry_id=derived_id("e"))
    back = event_about_ada(PointsReversed, reverses=derived_id("e"))
    types = await _notified_types(harness_for, left, entered, withdrawn, assigned, back, points)
    assert types == ["band.left", "assignment.withdrawn", "points.reversed"]


async def test_events_without_versions_create_notices(harness_for) -> None:
    entered, left = event_about_ada(BandEntered, kpi="k", version=0), event_about_ada(BandLeft, kpi="k", version=0)
    assert await _notified_types(harness_for, left, entered) == ["band.left", "band.entered"]
