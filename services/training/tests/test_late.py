"""Training's readers: twice, late, out of order."""

from typing import Any

from contracts import derived_id
from contracts.blueprints import BlueprintPublished
from contracts.scores import BandCorrected, BandEntered, BandLeft, BandStayed
from testkit import person, person_id
from testkit.late_conformance import EventScript, LateConformance, ScriptedEvent, directory_script, sections_script
from training.service import service

READING = {"template": "basics", "kind": "reading", "title": {"en": "Basics"}, "body": {"en": "Say what you do."}}


def stay(who: str, version: int, **fields: Any) -> dict[str, Any]:
    return {
        "agent_id": person_id(who), "band_event_id": derived_id("stay", who), "kpi": "k", "model_version": 1,
        "band": "coach", "rank": 2, "at_window": "2026-03-04", "version": version, **fields,
    }  # fmt: skip


def window(day: str) -> dict[str, Any]:
    return {"window": f"2026-03-{day}", "value": "66", "sample": 20, "band": "coach"}


class TestLate(LateConformance):
    service = service

    def event_script(self) -> EventScript:
        rule = {"rule": "r", "kpi": "k", "band": "coach", "template": "basics"}
        blueprints = [
            ScriptedEvent(
                BlueprintPublished(version=number, sections={"training": {"templates": [READING], "rules": [each]}})
            )
            for number, each in enumerate(({**rule, "band": "other"}, {**rule, "due_days": 7}), 1)
        ]
        bands = [
            ScriptedEvent(BandEntered(**stay("ada", 1))),
            ScriptedEvent(BandLeft(**stay("ada", 2, at_window="2026-03-06"))),
            ScriptedEvent(BandCorrected(**stay("ada", 3, at_window="2026-03-06"), retracts="left")),
            ScriptedEvent(BandEntered(**stay("bob", 4))),
            ScriptedEvent(BandLeft(**stay("bob", 5, at_window="2026-03-07"))),
            ScriptedEvent(BandEntered(**stay("cid", 6))),
            ScriptedEvent(BandCorrected(**stay("cid", 7), retracts="entered")),
            ScriptedEvent(BandEntered(**stay("eve", 8))),
            ScriptedEvent(BandStayed(**stay("eve", 9, at_window="2026-03-05", evidence=[window("05")]))),
            ScriptedEvent(
                BandStayed(**stay("eve", 10, at_window="2026-03-06", evidence=[window("06")], withdrawn=["2026-03-05"]))
            ),
        ]
        people = [person(slug, team="team-a") for slug in ("ada", "bob", "cid", "eve")]
        return EventScript(
            [
                directory_script(*people),
                blueprints,
                sections_script("kpi-engine", "gamification", "notification"),
                bands,
            ],
            affected_tables=["assignment", "band_stay", "section_names"],
            unsettled={BandEntered: "a training is assigned when a band is entered, not once the stay has ended"},
            ignored={"assignment": ["version"]},
        )


class TestAnEndedStayAssignsNothing:
    """What `unsettled` says."""

    async def test_an_entering_after_the_leaving_assigns_no_training(self, training) -> None:
        await training.blueprint(training.rule())
        entered = BandEntered(**stay("ada", 4, kpi="silence_pct"))
        left = BandLeft(**stay("ada", 5, kpi="silence_pct", at_window="2026-03-06"))
        await training.h.deliver(left, entered, tenant="acme", at=training.now)
        assert await training.assignments() == []
        (row,) = await training.h.rows("acme", "SELECT entered_on::text, left_on::text FROM band_stay")
        assert row == {"entered_on": "2026-03-04", "left_on": "2026-03-06"}

    async def test_an_entering_after_a_later_stay_assigns_no_training(self, training) -> None:
        await training.blueprint(training.rule())
        later = stay(
            "ada", 6, kpi="silence_pct", band="fine", band_event_id=derived_id("later"), at_window="2026-03-09"
        )
        await training.h.deliver(BandEntered(**later), tenant="acme", at=training.now)
        await training.h.deliver(BandEntered(**stay("ada", 4, kpi="silence_pct")), tenant="acme", at=training.now)
        assert await training.assignments() == []

    async def test_a_late_leaving_takes_nothing_back_that_holds_again(self, training) -> None:
        await training.blueprint(training.rule())
        said = {"kpi": "silence_pct", "at_window": "2026-03-06"}
        for body in (
            BandEntered(**stay("ada", 1, kpi="silence_pct")),
            BandCorrected(**stay("ada", 3, **said), retracts="left"),
            BandLeft(**stay("ada", 2, **said)),
        ):
            await training.h.deliver(body, tenant="acme", at=training.now)
        assert (await training.only())["status"] == "assigned"
