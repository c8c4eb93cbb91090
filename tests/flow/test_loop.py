"""The loop, end to end: calls in; KPI, band, training, points and notice out. Every event is handed over twice."""

from typing import Any

import pytest

from tests.flow.scenario import CALLS_A_DAY, SOURCE, TEAMS, contact, records_of, silence_percent, workday
from tests.flow.steps import post_records, user
from tests.flow.suite import Suite

DAYS = 8
pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module", params=["embedded", pytest.param("stack", marks=pytest.mark.stack)])
def suite(request: pytest.FixtureRequest) -> Suite:
    """Of either shape: what follows holds for both, word for word."""
    return request.getfixturevalue({"embedded": "suite", "stack": "stack_suite"}[request.param])


@pytest.fixture(scope="module")
def fed(suite: Suite) -> Suite:
    """Tenant t1 has had eight days of calls; ada finished her training after the third. Tenant t2 has had one day."""
    for day in range(DAYS):
        receipt = post_records(suite, "t1", records_of(day))
        assert receipt["received"] == 2 * CALLS_A_DAY * len(TEAMS), receipt
        assert receipt["rejected"] == 0, receipt
        suite.wait_until_idle()
        if day == 2:
            (mine,) = suite.all_items("ada", "/api/training/v1/assignments")
            suite.call("ada", "POST", f"/api/training/v1/assignments/{mine['id']}/start")
            suite.call("ada", "POST", f"/api/training/v1/assignments/{mine['id']}/complete", json={})
            suite.wait_until_idle()
    post_records(suite, "t2", records_of(0))
    suite.wait_until_idle()
    return suite


def values(suite: Suite, who: str, kpi: str, **params: Any) -> list[dict[str, Any]]:
    """Values with `who`: the slug of the agent or team they are of."""
    whole = {"from": workday(0).isoformat(), "to": workday(DAYS + 1).isoformat(), **params}
    items = suite.call(who, "GET", f"/api/kpi-engine/v1/kpis/{kpi}/values", params=whole)["items"]
    return [{**each, "who": (each["name"] or "").lower().replace(" ", "-")} for each in items]


def test_values_are_what_was_worked_out(fed: Suite) -> None:
    found = values(fed, "boss", "silence_pct", by="agent", grain="workday")
    by_place = {(each["who"], each["window"]): each for each in found}
    assert len(by_place) == DAYS * len(TEAMS)
    for agent in TEAMS:
        for day in range(DAYS):
            each = by_place[agent, workday(day).isoformat()]
            assert float(each["value"]) == silence_percent(agent, day)
            assert each["sample"] == CALLS_A_DAY
            assert float(each["denominator"]) == 200_000 * CALLS_A_DAY


def test_other_cuts_add_up(fed: Suite) -> None:
    (team_a,) = [
        each for each in values(fed, "boss", "silence_pct", by="team", grain="total") if each["who"] == "team-a"
    ]
    # Four days of (65 + 65 + 30) / 3, four of (50 + 50 + 30) / 3.
    assert float(team_a["value"]) == pytest.approx((4 * 160 + 4 * 130) / 24)
    assert team_a["sample"] == 3 * DAYS * CALLS_A_DAY
    for by in ("queue", "attributes.language"):
        (all_calls,) = values(fed, "boss", "aht", by=by, grain="total")
        assert float(all_calls["value"]) == 230
        assert all_calls["sample"] == len(TEAMS) * DAYS * CALLS_A_DAY


def test_bands(fed: Suite) -> None:
    now = {
        each["name"].lower(): each["band"]
        for each in fed.call("boss", "GET", "/api/kpi-engine/v1/bands")["items"]
        if each["kpi"] == "silence_pct"
    }
    assert now == {"ada": "watch", "ben": "watch", "cleo": "good", "dan": "good", "eva": "critical", "finn": "coach"}


def test_exactly_those_in_the_band_were_trained(fed: Suite) -> None:
    found = {each["agent"]: each for each in fed.all_items("boss", "/api/training/v1/assignments")}
    assert set(found) == {"ada", "ben", "finn"}
    assert found["ada"]["status"] == "completed"
    assert found["ben"]["status"] == "withdrawn", "he left the band before he had started"
    assert found["finn"]["status"] in ("assigned", "overdue")
    whole = fed.call("boss", "GET", f"/api/training/v1/assignments/{found['finn']['id']}")
    assert [window["band"] for window in whole["evidence"]["windows"]].count("coach") >= 3


def test_recognition(fed: Suite) -> None:
    ledger = fed.all_items("boss", "/api/gamification/v1/ledger")
    assert sorted((each["agent"], each["rule"], each["points"]) for each in ledger) == [
        ("ada", "left-coach", 100),
        ("ada", "trained", 50),
        ("ben", "left-coach", 100),
    ]
    board = fed.call("boss", "GET", "/api/gamification/v1/leaderboards/all/standings")["items"]
    assert [(each["agent"], each["points"]) for each in board][:2] == [("ada", 150), ("ben", 100)]


def test_people_are_told(fed: Suite) -> None:
    assert len(fed.all_items("finn", "/api/notification/v1/inbox")) == 1, "assigned"
    assert len(fed.all_items("ada", "/api/notification/v1/inbox")) == 3, "assigned, and points twice"
    assert fed.all_items("cleo", "/api/notification/v1/inbox") == []


def test_explanation_names_every_call(fed: Suite) -> None:
    told = fed.call(
        "lea", "GET", "/api/kpi-engine/v1/kpis/silence_pct/explain",
        params={"agent": "ada", "from": workday(0).isoformat(), "to": workday(0).isoformat()},
    )  # fmt: skip
    assert [fact["counts"] for fact in told["items"]] == [True] * CALLS_A_DAY
    assert float(told["answer"]["value"]) == 65


def test_the_same_file_again_changes_nothing(fed: Suite) -> None:
    receipt = post_records(fed, "t1", records_of(3))
    assert receipt["unchanged"] == receipt["received"]
    fed.wait_until_idle()
    assert len(fed.all_items("boss", "/api/gamification/v1/ledger")) == 3


def test_an_agent_sees_only_oneself_and_a_lead_only_the_team(fed: Suite) -> None:
    assert {each["who"] for each in values(fed, "ada", "silence_pct", by="agent", grain="total")} == {"ada"}
    assert {each["who"] for each in values(fed, "leo", "silence_pct", by="agent", grain="total")} == {
        "dan",
        "eva",
        "finn",
    }
    explain = "/api/kpi-engine/v1/kpis/silence_pct/explain"
    day = {"from": workday(0).isoformat(), "to": workday(0).isoformat()}
    assert fed.request("ada", "GET", explain, params={"agent": "ben", **day}).status_code == 403
    assert fed.request("leo", "GET", explain, params={"agent": "ada", **day}).status_code == 403
    assert fed.request("ada", "GET", "/api/gamification/v1/ledger", params={"agent": "ben"}).status_code == 403
    assert {each["agent"] for each in fed.all_items("ada", "/api/training/v1/assignments")} == {"ada"}


def test_the_other_tenant_saw_one_day_of_its_own(fed: Suite) -> None:
    found = values(fed, user("boss", "t2"), "silence_pct", by="agent", grain="workday")
    assert {each["window"] for each in found} == {workday(0).isoformat()}
    assert fed.all_items(user("boss", "t2"), "/api/training/v1/assignments") == []
    (of_one,) = fed.all_items("boss", "/api/ingest/v1/interactions", external_id="ada-00-00")
    assert fed.request(user("boss", "t2"), "GET", f"/api/ingest/v1/interactions/{of_one['id']}").status_code == 404


def test_history_counts_and_has_no_consequences(fed: Suite) -> None:
    before = fed.all_items("boss", "/api/training/v1/assignments")
    t2 = user("boss", "t2")
    for day in (1, 2, 3):
        post_records(fed, "t2", records_of(day), mode="history")
    fed.wait_until_idle()
    assert len(values(fed, t2, "silence_pct", by="agent", grain="workday")) == 4 * len(TEAMS)
    assert fed.all_items(t2, "/api/training/v1/assignments") == []
    assert fed.all_items(t2, "/api/gamification/v1/ledger") == []
    assert fed.all_items(user("ada", "t2"), "/api/notification/v1/inbox") == []
    assert fed.all_items("boss", "/api/training/v1/assignments") == before


def test_undo_takes_back_what_followed(fed: Suite) -> None:
    """A wrong file: cleo's calls of day 8 are said to be twice as long as they were. Taken back, they are gone."""
    wrong = [contact("cleo", 8, call) for call in range(CALLS_A_DAY)]
    receipt = post_records(fed, "t1", wrong)
    fed.wait_until_idle()
    day = {"from": workday(8).isoformat(), "to": workday(8).isoformat()}
    assert values(fed, "boss", "aht", by="agent", grain="workday", **day)[0]["sample"] == CALLS_A_DAY
    fed.call("boss", "DELETE", f"/api/ingest/v1/receipts/{receipt['id']}")
    fed.wait_until_idle()
    assert values(fed, "boss", "aht", by="agent", grain="workday", **day) == []
    differences = fed.call("boss", "GET", "/api/kpi-engine/v1/reconciliation")
    assert differences["differences"] == []


def test_somebody_switched_off_is_out_within_a_second(fed: Suite) -> None:
    import time

    fed.token("eva")
    assert fed.request("eva", "GET", "/api/identity/v1/me").status_code == 200
    fed.call("boss", "PATCH", "/api/identity/v1/people/eva", json={"active": False})
    time.sleep(1)  # sleep: the second within which it has to hold
    for path in (
        "/api/identity/v1/me",
        "/api/kpi-engine/v1/bands",
        "/api/training/v1/assignments",
        "/api/notification/v1/inbox",
    ):
        assert fed.request("eva", "GET", path).status_code == 403, path
    assert SOURCE in {each["source"] for each in fed.call("boss", "GET", "/api/ingest/v1/sources")["items"]}
