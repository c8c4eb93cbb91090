"""Ingest's readers: twice, late, out of order."""

from contracts.blueprints import BlueprintPublished
from ingest.service import service
from testkit import person
from testkit.late_conformance import Course, LateConformance, Said, directory_course, sections_course


class TestLate(LateConformance):
    service = service

    def course(self) -> Course:
        people = [person("ada", team="team-a", external={"connect": "ada"}), person("bob", external={"connect": "bob"})]
        blueprints = [
            Said(BlueprintPublished(version=version, sections={"ingest": {"sources": [_source(f"Title {version}")]}}))
            for version in (1, 2, 3)
        ]
        # `days`: by whose days a person's legs were cut last; it is looked at when the person is heard of next.
        return Course(
            [directory_course(*people), blueprints, sections_course("kpi-engine")],
            traces=["source", "directory_person"],
            ignored={"known_person": ["days"]},
        )


def _source(title: str) -> dict[str, str]:
    return {"source": "connect", "vendor": "amazon-connect", "title": title}
