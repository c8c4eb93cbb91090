"""Notification's readers: twice, late, out of order."""

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


def said_of_ada(kind: type[Event], **fields: Any) -> Event:
    """An event like its example, about ada, and of a thing of its own."""
    own = derived_id("thing", kind.type)
    things = {"band_event_id": own, "kpi": kind.type, "assignment_id": own, "entry_id": own, "submission_id": own}
    told: dict[str, Any] = {"agent_id": person_id("ada"), **things, **fields}
    if "form" in kind.model_fields:
        told |= {"form": kind.type.replace(".", "-")}
    if "reverses" in kind.model_fields and "reverses" not in fields:
        told["reverses"] = own
    return kind.model_validate({**kind.example, **told})


class TestLate(LateConformance):
    service = service

    def event_script(self) -> EventScript:
        blueprints = [ScriptedEvent(BlueprintPublished(version=version, sections=SECTION)) for version in (1, 2)]
        events = [ScriptedEvent(said_of_ada(kind)) for kind in EVENTS.values()]
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


async def _told(harness_for: Any, *events: Event) -> list[str]:
    """The types of what the trainer is told, in the order in which events come."""
    h = await harness_for(service)
    await h.apply_directory("t1", people=[person("ada"), person("tom", roles=["trainer"])])
    await h.deliver(BlueprintPublished(version=1, sections=SECTION), tenant="t1")
    for event in events:
        await h.deliver(event, tenant="t1")
    return [row["event_type"] for row in await h.rows("t1", "SELECT event_type FROM notice ORDER BY seq")]


async def test_nobody_is_told_of_what_is_no_longer_so(harness_for) -> None:
    entered, left = said_of_ada(BandEntered, kpi="k", version=4), said_of_ada(BandLeft, kpi="k", version=5)
    given = said_of_ada(AssignmentAssigned, assignment_id=derived_id("a"), version=1)
    withdrawn = said_of_ada(AssignmentWithdrawn, assignment_id=derived_id("a"), version=2)
    points = said_of_ada(PointsGranted, entry_id=derived_id("e"))
    back = said_of_ada(PointsReversed, reverses=derived_id("e"))
    told = await _told(harness_for, left, entered, withdrawn, given, back, points)
    assert told == ["band.left", "assignment.withdrawn", "points.reversed"]


async def test_events_of_before_there_were_versions_are_told(harness_for) -> None:
    entered, left = said_of_ada(BandEntered, kpi="k", version=0), said_of_ada(BandLeft, kpi="k", version=0)
    assert await _told(harness_for, left, entered) == ["band.left", "band.entered"]
