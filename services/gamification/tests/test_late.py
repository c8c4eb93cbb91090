"""Gamification's readers: twice, late, out of order."""

from datetime import date
from typing import Any

from contracts import derived_id
from contracts.assignments import AssignmentCompleted
from contracts.blueprints import BlueprintPublished
from contracts.scores import BandCorrected, BandLeft, Score, ScoreChanged
from gamification.service import service
from testkit import person, person_id
from testkit.late_conformance import EventScript, LateConformance, ScriptedEvent, directory_script, sections_script

LEFT = {"kind": "band_left", "rule": "left", "title": {"en": "Left"}, "kpi": "k", "from_bands": ["coach"]}
TRAINED = {"kind": "training_completed", "rule": "trained", "title": {"en": "Trained"}, "points": 20}


def stay(who: str, version: int, **fields: Any) -> dict[str, Any]:
    return {
        "agent_id": person_id(who), "band_event_id": derived_id("stay", who), "kpi": "k", "model_version": 1,
        "band": "coach", "rank": 2, "at_window": "2026-03-04", "version": version, **fields,
    }  # fmt: skip


def score(day: str, version: int, **fields: Any) -> ScoreChanged:
    said = Score(value=str(version), sample=10, model_version=1)
    return ScoreChanged(
        agent_id=person_id("ada"), workday=date.fromisoformat(day), version=version, scores={"k": said}, **fields
    )


class TestLate(LateConformance):
    service = service

    def event_script(self) -> EventScript:
        blueprints = [
            ScriptedEvent(
                BlueprintPublished(
                    version=number, sections={"gamification": {"rules": [{**LEFT, "points": 100}, TRAINED]}}
                )
            )
            for number in (1, 2)
        ]
        done = AssignmentCompleted(
            agent_id=person_id("ada"), assignment_id=derived_id("assignment"), template="t", template_version=1,
            title={"en": "T"}, passed=True, version=3,
        )  # fmt: skip
        events = [
            ScriptedEvent(BandLeft(**stay("ada", 1, to_band="fine", to_rank=1))),
            ScriptedEvent(BandCorrected(**stay("ada", 2), retracts="left")),
            ScriptedEvent(BandLeft(**stay("bob", 3, to_band="fine", to_rank=1))),
            ScriptedEvent(score("2026-03-02", 4)),
            ScriptedEvent(score("2026-03-02", 5)),
            ScriptedEvent(score("2026-03-03", 6, mode="history")),
            ScriptedEvent(score("2026-03-03", 7)),
            ScriptedEvent(score("2026-03-20", 8)),
            ScriptedEvent(score("2026-03-20", 9)),
            ScriptedEvent(done),
        ]
        people = [person("ada", team="team-a"), person("bob", team="team-a")]
        return EventScript(
            [directory_script(*people), blueprints, sections_script("kpi-engine", "training", "notification"), events],
            affected_tables=["ledger", "score_day", "section_names"],
            unsettled={BandLeft: "points that would be reversed at once are not granted"},
        )


async def test_a_leaving_that_was_retracted_before_it_arrived_grants_nothing(game) -> None:
    await game.blueprint(game.LEFT)
    left = BandLeft(**stay("ada", 4, kpi="silence_pct", to_band="watch", to_rank=1))
    await game.h.deliver(
        BandCorrected(**stay("ada", 5, kpi="silence_pct"), retracts="left"), tenant="acme", at=game.now
    )
    await game.h.deliver(left, tenant="acme", at=game.now)
    assert await game.ledger() == []


async def test_an_older_score_does_not_judge_a_day_again(game) -> None:
    await game.blueprint(game.BETTER)

    async def said(day: str, value: int, version: int) -> None:
        what = {"numerator": str(100 * value), "denominator": "100", "sample": 10, "model_version": 1}
        body = ScoreChanged(
            agent_id=person_id("ada"),
            workday=date.fromisoformat(day),
            version=version,
            scores={"silence_pct": Score(value=str(value), **what)},
        )
        await game.h.deliver(body, tenant="acme", at=game.now)
        await game.h.tick(game.now)

    for day, value, version in (
        ("2026-03-02", 60, 1),
        ("2026-03-03", 60, 2),
        ("2026-03-04", 60, 3),
        ("2026-03-04", 30, 4),
    ):
        await said(day, value, version)
    earned = await game.balance("ada")
    assert earned > 0
    await said("2026-03-04", 60, 3)
    assert await game.balance("ada") == earned
