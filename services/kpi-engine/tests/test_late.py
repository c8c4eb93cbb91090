"""kpi-engine's readers: twice, late, out of order."""

from typing import Any

import yaml
from contracts import derived_id
from contracts.blueprints import BlueprintPublished
from contracts.calls import AgentStateChanged, LegRecorded
from contracts.submissions import SubmissionScored
from kpi_engine.service import service
from testkit import at, person, person_id
from testkit.late_conformance import Course, LateConformance, Said, directory_course, sections_course

MODEL = """\
kpi: talk
title: {en: Talk}
unit: seconds
direction: lower_is_better
source: legs
value: sum(talk_ms) / 1000
"""


def leg(name: str, version: int, **fields: Any) -> LegRecorded:
    values: dict[str, Any] = {
        "interaction_id": derived_id(name), "leg": 1, "source": "connect", "vendor": "x", "external_id": name,
        "agent_id": person_id("ada"), "channel": "voice", "started_at": at("2026-03-02T08:00Z"), "workday": "2026-03-02",
        "talk_ms": 1000 * version,
    }  # fmt: skip
    return LegRecorded(version=version, **values | fields)


def state(version: int, **fields: Any) -> AgentStateChanged:
    return AgentStateChanged(
        agent_id=person_id("ada"), state_id=derived_id("state"), version=version, source="connect", state="Available",
        started_at=at("2026-03-02T08:00Z"), workday="2026-03-02", duration_ms=1000 * version, **fields,
    )  # fmt: skip


def scored(version: int, **fields: Any) -> SubmissionScored:
    return SubmissionScored(
        agent_id=person_id("ada"), submission_id=derived_id("submission"), form="f", form_version=1, title={"en": "F"},
        version=version, submitted_at=at("2026-03-02T08:00Z"), workday="2026-03-02", score=100 * version, **fields,
    )  # fmt: skip


class TestLate(LateConformance):
    service = service

    def course(self) -> Course:
        model = yaml.safe_load(MODEL)
        facts = [
            Said(leg("a", 1)),
            Said(leg("a", 2, agent_id=person_id("bob"))),
            Said(leg("a", 3)),
            Said(leg("of-bob", 1, agent_id=person_id("bob"))),  # a day with nothing left in it is kept as an empty row
            Said(leg("b", 1)),
            Said(leg("b", 2, void=True)),
            Said(leg("h", 1, mode="history")),
            Said(leg("h", 2, mode="history")),
            *(Said(state(version)) for version in (1, 2)),
            Said(state(3, void=True)),
            *(Said(scored(version)) for version in (1, 2)),
        ]
        blueprints = [
            Said(BlueprintPublished(version=version, sections={"kpi-engine": {"kpis": [model]}})) for version in (1, 2)
        ]
        people = [person("ada", team="team-a"), person("bob", team="team-a")]
        return Course(
            [
                directory_course(*people),
                blueprints,
                sections_course("ingest", "forms", "training", "gamification", "notification"),
                facts,
            ],
            traces=["fact", "partial", "section_names"],
            without=["agent_lock"],
        )
