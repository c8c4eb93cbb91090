"""Identity's readers: twice, late, out of order."""

from contracts.blueprints import SectionApplied, SectionProblem, SectionRejected
from contracts.topics import ALL_SERVICES
from identity.service import service
from testkit import person
from testkit.late_conformance import EventScript, LateConformance, ScriptedEvent, directory_script

PROBLEM = SectionProblem(pointer="/x", problem="wrong")


class TestLate(LateConformance):
    service = service

    def event_script(self) -> EventScript:
        answers = [
            ScriptedEvent(body, topic=f"{name}.sections")
            for name in ALL_SERVICES[1:]
            for body in (
                SectionApplied(service=name, version=1, content={"n": 1}),
                SectionRejected(service=name, version=2, problems=[PROBLEM]),
                SectionApplied(service=name, version=3, content={"n": 3}),
                SectionRejected(service=name, version=4, problems=[PROBLEM]),
                SectionApplied(service=name, version=None, content={"n": 5}),
            )
        ]
        return EventScript(
            [directory_script(person("ada", team="team-a")), answers], affected_tables=["section", "directory_person"]
        )
