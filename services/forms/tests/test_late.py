"""Consumers of forms with events that come twice, late, or out of order."""

from contracts.blueprints import BlueprintPublished
from forms.service import service
from testkit import person
from testkit.late_conformance import EventScript, LateConformance, ScriptedEvent, directory_script, sections_script

FORM = {
    "form": "mood",
    "title": {"en": "Mood"},
    "kind": "survey",
    "about": "none",
    "schema": {"type": "object", "properties": {"mood": {"type": "integer", "minimum": 1, "maximum": 5}}},
    "sections": [{"section": "s", "questions": ["mood"]}],
}


class TestLate(LateConformance):
    service = service

    def event_script(self) -> EventScript:
        blueprints = [
            ScriptedEvent(BlueprintPublished(version=version, sections={"forms": {"forms": [FORM]}}))
            for version in (1, 2)
        ]
        return EventScript(
            [
                directory_script(person("ada", team="team-a")),
                blueprints,
                sections_script("kpi-engine", "notification"),
            ],
            affected_tables=["form"],
            ignored={"form": ["draft_document"]},
        )


async def test_a_late_blueprint_publishes_no_older_form(forms) -> None:
    for version, title in ((2, "New"), (1, "Old")):
        section = {"forms": [{**FORM, "title": {"en": title}}]}
        await forms.deliver(BlueprintPublished(version=version, sections={"forms": section}), tenant="t1")
    rows = await forms.rows("t1", "SELECT title, version FROM form WHERE form = 'mood'")
    assert rows == [{"title": {"en": "New"}, "version": 1}]
