"""A lead sees an agent's numbers of the days on which the agent was in the lead's team, and no others."""

from datetime import date
from typing import Any

import pytest
from testkit import Harness, parse_instant, person, person_after_move, unit_id

MOVE = date(2026, 3, 4)
RANGE = {"from": "2026-03-01", "to": "2026-03-09"}


@pytest.fixture
async def transferred(kpi: Harness, leg) -> Harness:
    """Ada has calls in team a on March 2 and 3, and in team b on March 5 and 6; bob has one in a on March 5. The leads
    are lea of a and leb of b."""
    people = [person_after_move("ada", "a", "b", MOVE), person("leb", roles=[("team_lead", "b")])]
    await kpi.apply_directory("t1", people=people)
    days = {"1": "2026-03-02", "2": "2026-03-02", "3": "2026-03-03", "4": "2026-03-03", "5": "2026-03-05", "6": "2026-03-06"}  # fmt: skip
    legs = [leg(f"c-{name}", "ada", day, silent=70) for name, day in days.items()]
    await kpi.deliver(*legs, leg("c-7", "bob", "2026-03-05"), tenant="t1", at=parse_instant("2026-03-06T20:00Z"))
    return kpi


async def get(kpi: Harness, who: str, path: str, **query: Any) -> Any:
    answer = await kpi.client_as(who, "t1").get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def cut(kpi: Harness, who: str, **query: Any) -> list[tuple[Any, str, int, bool]]:
    items = (await get(kpi, who, "/kpis/longest/values", **RANGE, **query))["items"]
    return [(each["agent"] or each["key"], each["from"][5:], each["sample"], each["partial"]) for each in items]


async def test_each_lead_has_the_days_of_the_own_team(transferred: Harness) -> None:
    assert await cut(transferred, "lea", by="agent", agent="ada") == [
        ("ada", "03-02", 2, False),
        ("ada", "03-03", 2, False),
    ]
    assert await cut(transferred, "leb", by="agent", agent="ada") == [
        ("ada", "03-05", 1, False),
        ("ada", "03-06", 1, False),
    ]
    assert len(await cut(transferred, "adm", by="agent", agent="ada")) == 4
    assert len(await cut(transferred, "ada", by="agent", agent="ada")) == 4, "oneself one sees on every day"


async def test_what_is_only_part_of_its_whole_says_so(transferred: Harness) -> None:
    total = {"grain": "total", "agent": "ada"}
    assert await cut(transferred, "lea", by="agent", **total) == [("ada", "03-01", 4, True)]
    assert await cut(transferred, "leb", by="queue", **total) == [("Billing", "03-01", 2, True)]
    assert await cut(transferred, "adm", by="agent", **total) == [("ada", "03-01", 6, False)]
    assert await cut(transferred, "ada", by="agent", **total) == [("ada", "03-01", 6, False)]
    assert await cut(transferred, "lea", by="queue", grain="total") == [("Billing", "03-01", 5, True)]
    team_a, team_b = str(unit_id("a")), str(unit_id("b"))
    assert await cut(transferred, "lea", by="team", grain="total") == [(team_a, "03-01", 5, False)]
    own = {
        key: (sample, partial) for key, _, sample, partial in await cut(transferred, "ada", by="team", grain="total")
    }
    assert own == {team_a: (4, True), team_b: (2, True)}, "an agent's own calls under the team's name"
    assert await cut(transferred, "lea", by="", grain="total", team="a") == [(None, "03-01", 5, False)]


async def test_a_teams_numbers_are_of_who_was_in_it_on_the_day(transferred: Harness) -> None:
    found = await cut(transferred, "adm", by="agent", grain="total", team="a")
    assert sorted(found) == [("ada", "03-01", 4, False), ("bob", "03-01", 1, False)]


async def test_an_explanation_has_the_calls_of_those_days(transferred: Harness) -> None:
    for who, calls, partial in (("lea", 4, True), ("leb", 2, True), ("adm", 6, False), ("ada", 6, False)):
        explanation = await get(transferred, who, "/kpis/longest/explain", agent="ada", **RANGE)
        assert (len(explanation["items"]), explanation["answer"]["sample"], explanation["partial"]) == (
            calls,
            calls,
            partial,
        ), who


async def test_a_band_shows_the_evidence_of_those_days(transferred: Harness) -> None:
    for who, windows, partial in (("lea", 2, False), ("leb", 0, True), ("adm", 2, False), ("ada", 2, False)):
        (band,) = (await get(transferred, who, "/bands", agent="ada"))["items"]
        assert (band["band"], len(band["evidence"]), band["partial"]) == ("coach", windows, partial), who
    assert (await get(transferred, "adm", "/bands", team="a"))["items"] == [], (
        "a team's bands are of its people of today"
    )
    assert len((await get(transferred, "leb", "/bands", team="b"))["items"]) == 1


async def test_who_never_was_in_the_team_is_refused(transferred: Harness) -> None:
    answer = await transferred.client_as("leb", "t1").get("/kpis/longest/values", params={"agent": "bob"})
    assert answer.status_code == 403
