"""A submission counts for the agent and on the workday of the call that it judges, whichever comes first."""

import random
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from contracts import Event
from contracts.legs import LegRecorded
from contracts.scores import ScoreChanged
from contracts.submissions import SubmissionScored
from testkit import Harness, parse_instant, person, person_id

QUALITY = "{kpi: quality, title: {en: Q}, unit: score, direction: higher_is_better, source: submissions, value: sum(qa_score) / count(*)}"


def judgement(
    name: str, agent: str, call: str | None, *, score: int = 8000, version: int = 1, **fields: Any
) -> SubmissionScored:
    return SubmissionScored(
        submission_id=person_id(name), agent_id=person_id(agent), form="review", form_version=1, title={"en": "R"},
        version=version, submitted_at=parse_instant("2026-03-20T15:00Z"), workday=date(2026, 3, 20), score=score,
        interaction_id=person_id(call) if call else None, **fields,
    )  # fmt: skip


@pytest.fixture
async def quality(kpi: Harness) -> Harness:
    answer = await kpi.client_as("adm", "t1").put("/kpis/quality", content=QUALITY)
    assert answer.status_code == 200, answer.text
    await kpi.clear_outbox()
    return kpi


@pytest.fixture
def call(leg: Callable[..., LegRecorded]) -> Callable[..., LegRecorded]:
    def make(name: str, agent: str | None, day: str, **fields: Any) -> LegRecorded:
        return leg(name, agent, day, interaction_id=person_id(name), **fields)

    return make


async def get(h: Harness, path: str) -> Any:
    answer = await h.client_as("adm", "t1").get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def counted(h: Harness) -> tuple[list[tuple[str, str, str]], int]:
    """Agent, workday and value of each; how many wait for their calls."""
    found = await get(h, "/kpis/quality/values?by=agent&from=2026-03-01&to=2026-03-31")
    report = await get(h, "/reconciliation?kpi=quality")
    assert report["found"] == 0
    return sorted((each["agent"], each["window"][8:], each["value"]) for each in found["items"]), found["held"]


async def test_the_day_and_the_agent_are_those_of_the_call(quality: Harness, call) -> None:
    await quality.deliver(judgement("s-1", "ada", "c-1"), judgement("s-2", "ada", None, score=5000), tenant="t1")
    assert await counted(quality) == ([("ada", "20", "5000")], 1)
    explained = await get(quality, "/kpis/quality/explain?agent=ada&from=2026-03-01&to=2026-03-31")
    assert [each["why_not"] for each in explained["items"] if not each["counts"]] == [["its call is not known yet"]]
    await quality.deliver(call("c-1", "ada", "2026-03-02"), tenant="t1")
    assert await counted(quality) == ([("ada", "02", "8000"), ("ada", "20", "5000")], 0)
    await quality.deliver(call("c-1", "bob", "2026-03-03", version=2), tenant="t1")  # the name was bob's
    assert await counted(quality) == ([("ada", "20", "5000"), ("bob", "03", "8000")], 0)
    scores = [(each.agent_id, each.workday.day, each.scores["quality"].sample) for each in await quality.read_events(ScoreChanged)
            if "quality" in each.scores]  # fmt: skip
    assert {*scores[-2:]} == {(person_id("ada"), 2, 0), (person_id("bob"), 3, 1)}
    await quality.deliver(judgement("s-1", "ada", "c-1", score=9000, version=2), tenant="t1")
    assert await counted(quality) == ([("ada", "20", "5000"), ("bob", "03", "9000")], 0)
    await quality.deliver(call("c-1", "bob", "2026-03-03", version=3, void=True), tenant="t1")
    assert await counted(quality) == ([("ada", "20", "5000")], 1)


async def test_of_a_call_of_several_the_leg_named_or_the_agents_own_counts(quality: Harness, call) -> None:
    await quality.deliver(
        call("c-1", "ada", "2026-03-02"),
        call("c-1", "bob", "2026-03-03", leg=2),
        call("c-1", "cid", "2026-03-04", leg=3),
        judgement("s-1", "bob", "c-1", score=1000),
        judgement("s-2", "bob", "c-1", score=2000, leg=3),
        judgement("s-3", "lea", "c-1", score=3000),
        tenant="t1",
    )
    assert await counted(quality) == ([("bob", "03", "1000"), ("cid", "04", "2000")], 1)


@pytest.mark.parametrize("seed", range(3))
async def test_the_order_never_matters(quality: Harness, call, seed: int) -> None:
    chance = random.Random(seed)
    agents, days = ["ada", "bob", "cid"], ["2026-03-02", "2026-03-03"]
    facts: list[Event] = []
    for name in ("c-1", "c-2"):
        for number in (1, 2):
            for version in range(1, chance.randint(2, 4)):
                agent = chance.choice([*agents, None])
                void = chance.random() < 0.3
                facts.append(call(name, agent, chance.choice(days), leg=number, version=version, void=void))
    for n in range(6):
        for version in range(1, chance.randint(2, 3)):
            at_leg = chance.choice([None, None, 1, 2])
            facts.append(
                judgement(f"s-{n}", chance.choice(agents), f"c-{n % 3}", score=1000 * n + version, version=version,
                          leg=at_leg, void=chance.random() < 0.2)
            )  # fmt: skip
    outcomes = []
    for tenant in ("t1", "t2"):
        chance.shuffle(facts)
        if tenant == "t2":
            people = [person(who) for who in agents] + [person("adm", roles=["tenant_admin"])]
            await quality.apply_directory("t2", people=people)
            assert (await quality.client_as("adm", "t2").put("/kpis/quality", content=QUALITY)).status_code == 200
        for each in facts:
            await quality.deliver(each, tenant=tenant, twice=chance.random() < 0.2)
        outcomes.append(
            await quality.rows(
                tenant, "SELECT agent_id, workday, sample, components FROM partial WHERE kpi = 'quality' "
                "AND sample <> 0 ORDER BY 1, 2")
        )  # fmt: skip
        assert (await quality.client_as("adm", tenant).get("/reconciliation")).json()["differences"] == []
    assert outcomes[0] == outcomes[1]
