"""kpi-engine's readers: twice, late, out of order."""

from datetime import date
from typing import Any

import yaml
from contracts import derived_id
from contracts.blueprints import BlueprintPublished
from contracts.legs import AgentStateChanged, LegRecorded
from contracts.submissions import SubmissionScored
from kpi_engine.service import service
from testkit import parse_instant, person, person_id
from testkit.late_conformance import EventScript, LateConformance, ScriptedEvent, directory_script, sections_script

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
        "agent_id": person_id("ada"), "channel": "voice", "started_at": parse_instant("2026-03-02T08:00Z"), "workday": "2026-03-02",
        "talk_ms": 1000 * version,
    }  # fmt: skip
    return LegRecorded(version=version, **values | fields)


def state(version: int, **fields: Any) -> AgentStateChanged:
    return AgentStateChanged(
        agent_id=person_id("ada"), state_id=derived_id("state"), version=version, source="connect", state="Available",
        started_at=parse_instant("2026-03-02T08:00Z"), workday=date(2026, 3, 2), duration_ms=1000 * version, **fields,
    )  # fmt: skip


def scored(version: int, **fields: Any) -> SubmissionScored:
    return SubmissionScored(
        agent_id=person_id("ada"), submission_id=derived_id("submission"), form="f", form_version=1, title={"en": "F"},
        version=version, submitted_at=parse_instant("2026-03-02T08:00Z"), workday=date(2026, 3, 2), score=100 * version, **fields,
    )  # fmt: skip


class TestLate(LateConformance):
    service = service

    def event_script(self) -> EventScript:
        model = yaml.safe_load(MODEL)
        facts = [
            ScriptedEvent(leg("a", 1)),
            ScriptedEvent(leg("a", 2, agent_id=person_id("bob"))),
            ScriptedEvent(leg("a", 3)),
            ScriptedEvent(leg("of-bob", 1, agent_id=person_id("bob"))),  # a workday without facts stays as an empty row
            ScriptedEvent(leg("b", 1)),
            ScriptedEvent(leg("b", 2, void=True)),
            ScriptedEvent(leg("h", 1, mode="history")),
            ScriptedEvent(leg("h", 2, mode="history")),
            *(ScriptedEvent(state(version)) for version in (1, 2)),
            ScriptedEvent(state(3, void=True)),
            *(ScriptedEvent(scored(version)) for version in (1, 2)),
        ]
        blueprints = [
            ScriptedEvent(BlueprintPublished(version=version, sections={"kpi-engine": {"kpis": [model]}}))
            for version in (1, 2)
        ]
        people = [person("ada", team="team-a"), person("bob", team="team-a")]
        return EventScript(
            [
                directory_script(*people),
                blueprints,
                sections_script("ingest", "forms", "training", "gamification", "notification"),
                facts,
            ],
            affected_tables=["fact", "partial", "section_names"],
            excluded_tables=["agent_lock"],
        )
