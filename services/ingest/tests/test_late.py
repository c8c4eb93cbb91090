"""Ingest's readers: twice, late, out of order."""

from contracts.blueprints import BlueprintPublished
from ingest.service import service
from testkit import person
from testkit.late_conformance import EventScript, LateConformance, ScriptedEvent, directory_script, sections_script


class TestLate(LateConformance):
    service = service

    def event_script(self) -> EventScript:
        people = [person("ada", team="team-a", external={"connect": "ada"}), person("bob", external={"connect": "bob"})]
        blueprints = [
            ScriptedEvent(
                BlueprintPublished(version=version, sections={"ingest": {"sources": [_source(f"Title {version}")]}})
            )
            for version in (1, 2, 3)
        ]
        # `days`: the inputs of the workdays that a person's legs were derived from. The person's next event compares them.
        return EventScript(
            [directory_script(*people), blueprints, sections_script("kpi-engine")],
            affected_tables=["source", "directory_person"],
            ignored={"known_person": ["days"]},
        )


def _source(title: str) -> dict[str, str]:
    return {"source": "connect", "vendor": "amazon-connect", "title": title}
