"""Facts without an agent count for whoever may see a queue, and are absent where people are distinguished."""

from collections import defaultdict
from datetime import date
from fractions import Fraction
from itertools import product
from typing import Any

import pytest
from contracts.scores import BandEntered, ScoreChanged
from kpi_engine.model.document import parse_model
from testkit import Harness, org_unit, person, person_after_move, unit_id

RANGE = {"from": "2026-03-01", "to": "2026-03-31"}
ABANDONMENT = """\
kpi: abandonment
title: {en: Abandonment}
unit: percent
direction: lower_is_better
source: legs
where: direction = 'inbound' and queue is not null and abandoned is not null and (first_leg or abandoned)
value: 100 * sum(abandoned) / sum(first_leg)
bands:
  enter: {x: 1, of: 1}
  leave: {x: 1, of: 1}
  edges: [{name: good, from: 0}, {name: coach, from: 5}]
"""
CONTACTS = """\
kpi: contacts
title: {en: Contacts}
unit: count
direction: target_area
source: legs
value: count(*)
"""
NOTHING = {"conversation_ms": None, "talk_ms": None, "answered": False, "abandoned": True, "silent": None}


@pytest.fixture
async def queue(kpi: Harness, leg) -> Harness:
    """On March 2, Billing: ada and cid answer one each, two callers give up (08:00Z), one call is taken by somebody
    unknown (09:00Z). Sales: bob, who is in no team any more, answers one. Ada moves to b on March 4 and answers one."""
    for name, text in (("abandonment", ABANDONMENT), ("contacts", CONTACTS)):
        answer = await kpi.client_as("adm", "t1").put(f"/kpis/{name}", content=text)
        assert answer.status_code == 200, answer.text
    await kpi.clear_outbox()
    gone = person("bob", team="a").model_copy(update={"memberships": []})
    await kpi.apply_directory("t1", people=[person_after_move("ada", "a", "b", date(2026, 3, 4)), gone])
    await kpi.deliver(
        leg("c-1", "ada", "2026-03-02", abandoned=False),
        leg("c-2", "cid", "2026-03-02", abandoned=False),
        leg("c-3", "bob", "2026-03-02", abandoned=False, queue="Sales", attributes={"language": "en"}),
        leg("c-4", "ada", "2026-03-05", abandoned=False),
        leg("n-1", None, "2026-03-02", **NOTHING),
        leg("n-2", None, "2026-03-02", **NOTHING),
        leg("h-1", None, "2026-03-02", abandoned=False, held="unknown_agent", started_at="2026-03-02T09:00Z"),
        tenant="t1",
    )  # fmt: skip
    return kpi


async def get(h: Harness, kpi: str, who: str = "adm", **query: Any) -> dict[str, Any]:
    answer = await h.client_as(who, "t1").get(f"/kpis/{kpi}/values", params={**RANGE, "grain": "total", **query})
    assert answer.status_code == 200, answer.text
    return answer.json()


def rows(answer: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [(each["name"], each["value"], each["sample"]) for each in answer["items"]]


async def test_by_queue_hour_and_in_total_it_is_right_for_whoever_leads(queue: Harness) -> None:
    for who in ("adm", "lea"):
        found = await get(queue, "abandonment", who, by="queue")
        assert rows(found) == [("Billing", "33.3333", 6), ("Sales", "0", 1)]
        assert (found["whose"], found["held"], found["without_agent"]) == ("everyone", 0, 0)
        assert [each["partial"] for each in found["items"]] == [False, False]
        assert rows(await get(queue, "abandonment", who)) == [(None, "28.5714", 7)]
        assert rows(await get(queue, "abandonment", who, by="hour")) == [("08", "33.3333", 6), ("09", "0", 1)]
        by_language = await get(queue, "abandonment", who, by="attributes.language")
        assert rows(by_language) == [(None, "33.3333", 6), ("en", "0", 1)]


async def test_where_people_are_distinguished_the_value_is_null_with_the_reason(queue: Harness) -> None:
    queries: list[tuple[str, dict[str, str], str]] = [
        ("adm", {"by": "agent"}, "everyone"),
        ("adm", {"by": "team"}, "everyone"),
        ("adm", {"by": "org_unit"}, "everyone"),
        ("lea", {"by": "team"}, "visible"),
        ("lea", {"team": "a"}, "asked"),
        ("lea", {"agent": "ada"}, "asked"),
        ("ada", {}, "visible"),
        ("ada", {"by": "queue"}, "visible"),
    ]
    for who, query, whose in queries:
        found = await get(queue, "abandonment", who, **query)
        assert found["items"]
        for each in found["items"]:
            assert each["value"] is None
            assert "no agent has taken" in each["reason"]
        assert (found["held"], found["without_agent"], found["whose"]) == (1, 2, whose), (who, query)


async def test_no_agent_is_scored_or_banded_by_it(queue: Harness) -> None:
    scores = [
        each.scores["abandonment"] for each in await queue.read_events(ScoreChanged) if "abandonment" in each.scores
    ]
    assert scores
    assert {each.value for each in scores} == {None}
    assert [each for each in await queue.read_events(BandEntered) if each.kpi == "abandonment"] == []


async def test_the_one_site_of_a_tenant_has_its_calls_without_agent(queue: Harness) -> None:
    assert rows(await get(queue, "abandonment", by="site")) == [(None, "0", 1), ("Site", "33.3333", 6)]
    await queue.apply_directory("t1", org_units=[org_unit("north", kind="site")])
    two = await get(queue, "abandonment", by="site")
    assert [(each["name"], each["value"], each["sample"]) for each in two["items"]] == [
        (None, None, 4),
        ("Site", None, 3),
    ]


async def test_groups_add_up_to_the_total(queue: Harness) -> None:
    def summed(answer: dict[str, Any], *, keys: set[Any] | None = None) -> dict[str, Any]:
        windows: dict[str, Any] = defaultdict(lambda: defaultdict(Fraction))
        for each in answer["items"]:
            if keys is None or each["key"] in keys:
                windows[each["window"]]["sample"] += each["sample"]
                for name, part in each["parts"].items():
                    if part is not None and not name.startswith("max"):
                        windows[each["window"]][name] += Fraction(part)
        return windows

    roots = {None, str(unit_id("site"))}
    for kpi, grain in product(["contacts", "abandonment", "silence", "longest"], ["workday", "total"]):
        total = summed(await get(queue, kpi, grain=grain))
        assert total
        for by in ("agent", "team", "site", "queue", "hour", "attributes.language"):
            assert summed(await get(queue, kpi, by=by, grain=grain)) == total, by
        assert summed(await get(queue, kpi, by="org_unit", grain=grain), keys=roots) == total


async def test_a_part_of_a_kpi_that_needs_no_one_else_stays_the_leads_own(queue: Harness) -> None:
    found = await get(queue, "silence", "lea", by="queue", **{"from": "2026-03-02", "to": "2026-03-02"})
    assert (rows(found), found["whose"], found["items"][0]["partial"]) == ([("Billing", "50", 1)], "visible", True)


@pytest.mark.parametrize(
    ("where", "value", "counts", "only"),
    [
        ("true = true", "count(*)", True, False),
        ("answered", "count(*)", False, False),
        ("not answered", "count(*)", True, False),
        ("channel = 'voice' and conversation_ms > 0", "100 * sum(silence()) / sum(conversation_ms)", False, False),
        ("channel = 'voice'", "sum(handle_ms) / count(handle_ms)", False, False),
        ("channel = 'voice'", "avg(queue_ms)", True, False),
        ("queue is not null", "100 * avg(abandoned)", True, True),
        ("queue is not null", "100 * sum(case when abandoned then 1 else 0 end) / count(*)", True, True),
        ("queue is not null", "sum(abandoned)", True, False),
        ("abandoned or answered", "100 * sum(case when answered and queue_ms <= 20000 then 1 else 0 end) / count(*)", True, False),
    ],
)  # fmt: skip
def test_what_an_expression_needs_is_found_from_it_alone(where: str, value: str, counts: bool, only: bool) -> None:
    unit = "count" if "100" in value or "count(*)" in value or "abandoned" in value else "ms"
    model = parse_model(
        f'kpi: x\ntitle: {{en: X}}\nunit: {unit}\ndirection: target_area\nsource: legs\nwhere: "{where}"\nvalue: "{value}"\n'
    )
    assert (model.counts_without_agent, model.only_without_agent) == (counts, only)
