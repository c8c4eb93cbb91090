"""The HTTP door: models, cuts, explanations, bands, who may see what."""

import json

import pytest
import yaml
from contracts.blueprints import BlueprintPublished, SectionApplied, SectionRejected
from contracts.scores import BandEntered, ScoreChanged
from testkit import parse_instant, person_id, tenant, unit_id

RANGE = "from=2026-03-01&to=2026-03-31"
WHOLE = "2026-03-01/2026-03-31"


@pytest.fixture
async def calls(kpi, leg):
    """Day 2: ada 50 %, bob 70 %; day 10: bob 20 %; cid 90 % in another queue and team."""
    await kpi.deliver(
        leg("a1", "ada", "2026-03-02", silent=50, attributes={"language": "en"}),
        leg("b1", "bob", "2026-03-02", silent=70, attributes={"language": "zh"}),
        leg("b2", "bob", "2026-03-10", silent=20),
        leg("d1", "cid", "2026-03-02", silent=90, queue="Sales", attributes={"language": "en"}),
        leg("d2", "cid", "2026-03-02", silent=10, channel="chat"),
        leg("d3", "cid", "2026-03-02", silent=10, conversation_ms=None),
        leg("d4", "cid", "2026-03-02", silent=10, version=2, void=True),
        tenant="t1",
    )
    return kpi


async def items(h, query: str, who: str = "adm"):
    answer = await h.client_as(who, "t1").get(f"/kpis/silence/values?{RANGE}&{query}")
    assert answer.status_code == 200, answer.text
    return [(item["name"], item["window"], item["value"], item["sample"]) for item in answer.json()["items"]]


async def test_values_over_every_cut(calls):
    assert sorted(await items(calls, "by=agent&grain=month")) == [
        ("Ada", "2026-03", "50", 1), ("Bob", "2026-03", "45", 2), ("Cid", "2026-03", "90", 1),
    ]  # fmt: skip
    assert sorted(await items(calls, "by=team&grain=total")) == [
        ("A", WHOLE, "46.6667", 3),
        ("B", WHOLE, "90", 1),
    ]
    assert sorted(await items(calls, "by=org_unit&grain=week")) == [
        ("A", "2026-W10", "60", 2), ("A", "2026-W11", "20", 1), ("B", "2026-W10", "90", 1),
        ("Site", "2026-W10", "70", 3), ("Site", "2026-W11", "20", 1),
    ]  # fmt: skip
    assert await items(calls, "by=queue&grain=total") == [
        ("Billing", WHOLE, "46.6667", 3),
        ("Sales", WHOLE, "90", 1),
    ]
    assert await items(calls, "by=attributes.language&grain=total") == [
        (None, WHOLE, "20", 1), ("en", WHOLE, "70", 2), ("zh", WHOLE, "70", 1),
    ]  # fmt: skip
    assert await items(calls, "") == [(None, "2026-03-02", "70", 3), (None, "2026-03-10", "20", 1)]


async def test_a_window_has_its_iso_name_and_its_days_within_the_query(calls):
    async def windows(grain: str, days: str = "from=2026-03-03&to=2026-03-31"):
        answer = await calls.client_as("adm", "t1").get(f"/kpis/silence/values?{days}&grain={grain}")
        return [(each["window"], each["from"], each["to"]) for each in answer.json()["items"]]

    assert await windows("workday") == [("2026-03-10", "2026-03-10", "2026-03-10")]
    assert await windows("week", "from=2026-03-01&to=2026-03-10") == [
        ("2026-W10", "2026-03-02", "2026-03-08"), ("2026-W11", "2026-03-09", "2026-03-10"),
    ]  # fmt: skip
    assert await windows("month") == [("2026-03", "2026-03-03", "2026-03-31")]
    assert await windows("total") == [("2026-03-03/2026-03-31", "2026-03-03", "2026-03-31")]


async def test_an_agent_sees_the_own_numbers_a_lead_the_own_team(calls):
    assert [row[0] for row in await items(calls, "by=agent&grain=total", who="ada")] == ["Ada"]
    assert sorted(row[0] for row in await items(calls, "by=agent&grain=total", who="lea")) == ["Ada", "Bob"]
    assert await items(calls, "grain=total", who="ada") == [(None, WHOLE, "50", 1)]
    assert await items(calls, "by=queue&grain=total", who="ada") == [("Billing", WHOLE, "50", 1)]
    assert await items(calls, "by=team&grain=total", who="lea") == [("A", WHOLE, "46.6667", 3)]
    for path in (f"/kpis/silence/explain?agent=cid&{RANGE}", "/bands?agent=cid"):
        for who in ("ada", "lea"):
            assert (await calls.client_as(who, "t1").get(path)).status_code == 403
    assert (await calls.client_as("lea", "t1").put("/kpis/silence", content="x")).status_code == 403
    assert (await calls.client_as("lea", "t1").get("/reconciliation")).status_code == 403
    assert (await calls.client(None).get(f"/kpis/silence/values?{RANGE}")).status_code == 401


async def test_values_page_by_cursor(calls):
    client, seen, after = calls.client_as("adm", "t1"), [], ""
    while True:
        page = (await client.get(f"/kpis/silence/values?{RANGE}&by=agent&limit=1{after}")).json()
        seen += [(item["key"], item["window"]) for item in page["items"]]
        if not page["next"]:
            break
        after = f"&after={page['next']}"
    assert len(seen) == len(set(seen)) == 4


async def test_without_dates_the_last_28_days_of_the_tenants_time(calls):
    await calls.apply_directory(
        "t1", of_tenant=tenant("t1", simulated=True, clock=parse_instant("2026-03-29T22:30Z"), time_zone="Asia/Tokyo")
    )
    whole = (await calls.client_as("adm", "t1").get("/kpis/silence/values?by=agent")).json()
    assert (whole["from"], whole["to"]) == ("2026-03-03", "2026-03-30")
    assert [(item["name"], item["window"]) for item in whole["items"]] == [("Bob", "2026-03-10")]
    until = (await calls.client_as("adm", "t1").get("/kpis/silence/explain?agent=cid&to=2026-03-02")).json()
    assert (until["from"], until["to"], until["agent"], until["name"]) == ("2026-02-03", "2026-03-02", "cid", "Cid")
    assert until["answer"]["value"] == "90"


async def test_values_of_an_agent_or_a_team_by_id_or_slug(calls):
    client = calls.client_as("adm", "t1")
    for ref in ("cid", person_id("cid")):
        (item,) = (await client.get(f"/kpis/silence/values?{RANGE}&by=agent&grain=total&agent={ref}")).json()["items"]
        assert (item["key"], item["agent_id"], item["agent"], item["name"]) == (
            *[str(person_id("cid"))] * 2,
            "cid",
            "Cid",
        )
    assert await items(calls, "by=queue&grain=total&team=b") == [("Sales", WHOLE, "90", 1)]
    (team,) = (await client.get(f"/kpis/silence/values?{RANGE}&by=team&grain=total&team=b")).json()["items"]
    assert (team["agent_id"], team["agent"], team["name"]) == (None, None, "B")
    assert (await calls.client_as("lea", "t1").get(f"/kpis/silence/values?{RANGE}&agent=cid")).status_code == 403
    assert (await client.get(f"/kpis/silence/values?{RANGE}&team=moon")).status_code == 404


async def test_invalid_queries_are_refused(calls):
    client = calls.client_as("adm", "t1")
    cursor = (await client.get(f"/kpis/silence/values?{RANGE}&by=agent&limit=1")).json()["next"]
    assert (await client.get(f"/bands?after={cursor}")).status_code == 422  # of another list
    assert (await client.get(f"/kpis/silence/values?{RANGE}&by=moon")).status_code == 422
    assert (await client.get("/kpis/silence/values?from=2026-03-02&to=2026-03-01")).status_code == 422
    unknown = await client.get(f"/kpis/silenc/values?{RANGE}")
    assert unknown.status_code == 404
    assert "`silence`" in unknown.json()["detail"]


async def test_explain_shows_what_counts_and_why_the_rest_does_not(calls):
    answer = (await calls.client_as("cid", "t1").get(f"/kpis/silence/explain?agent=cid&{RANGE}")).json()
    assert answer["answer"]["value"] == "90"
    assert answer["formula"]["numerator"] == "100 * sum(silence())"
    assert answer["formula"]["silence"] == ["the vendor's own figure of silence"]
    facts = {fact["external_id"]: fact for fact in answer["items"]}
    assert facts["d1"]["contribution"]["sum(silence())"] == "90000"
    assert facts["d2"]["why_not"] == ["`channel = 'voice'` does not hold"]
    assert facts["d3"]["why_not"] == ["`conversation_ms > 0` is unknown"]
    assert facts["d4"]["why_not"] == ["it was taken back"]
    assert [fact["counts"] for fact in facts.values()].count(True) == 1


async def test_bands_say_since_when_and_by_which_target(kpi, leg):
    calls = [
        leg(f"{who}{n}{i}", who, f"2026-03-0{n}", silent=70) for who in ("ada", "bob") for n in (2, 3) for i in (1, 2)
    ]
    await kpi.deliver(*calls, tenant="t1")
    found = {
        item["name"]: item
        for item in (await kpi.client_as("lea", "t1").get("/bands?team=a&kpi=silence")).json()["items"]
    }
    assert (found["Ada"]["band"], found["Bob"]["band"]) == ("good", "coach")
    assert found["Bob"]["at_window"] == "2026-03-03"
    assert found["Bob"]["band_title"] == {"en": "Coaching", "zh": "辅导"}
    assert (found["Bob"]["agent_id"], found["Bob"]["agent"]) == (str(person_id("bob")), "bob")
    assert len(found["Bob"]["evidence"]) == 2
    assert found["Ada"]["target"]["when"] == "tenure_days < 90"
    coach = {"name": "coach", "title": {"en": "Coaching", "zh": "辅导"}, "start": "80"}
    assert found["Ada"]["target"]["edges"][1] == coach
    assert found["Bob"]["target"]["when"] is None
    assert "no target fits" in found["Bob"]["target"]["why"]


async def test_a_kpi_that_is_no_longer_in_force_has_no_bands(kpi, leg, longest):
    await kpi.deliver(*(leg(f"{n}{i}", "bob", f"2026-03-0{n}", silent=70) for n in (2, 3) for i in (1, 2)), tenant="t1")
    client = kpi.client_as("adm", "t1")
    assert [item["kpi"] for item in (await client.get("/bands")).json()["items"]] == ["silence"]
    section = {"kpis": [yaml.safe_load(longest)]}
    await kpi.deliver(BlueprintPublished(version=1, sections={"kpi-engine": section}), tenant="t1")
    assert (await client.get("/bands")).json()["items"] == []
    assert (await client.get("/bands?kpi=silence")).json()["items"] == []


@pytest.mark.parametrize("text", ["\ud800", "\x00"])
async def test_what_no_database_keeps_is_refused_with_its_place(kpi, silence, text):
    model = yaml.safe_load(silence)
    model |= {"where": f"channel = '{text}'", "title": {"en": text}}
    answer = await kpi.client_as("adm", "t1").put("/kpis/silence", content=json.dumps(model))
    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json()["errors"]] == ["/title/en", "/where"]


async def test_a_model_is_published_as_yaml_and_read_in_both_ways(kpi, silence):
    client = kpi.client_as("adm", "t1")
    same = await client.put("/kpis/silence", content=silence, headers={"content-type": "application/yaml"})
    assert (same.status_code, same.json()["version"]) == (200, 1)
    assert await kpi.read_events(SectionApplied) == []
    changed = {**same.json()["model"], "min_sample": 3}
    put = await client.put("/kpis/silence", json=changed)
    assert (put.status_code, put.json()["version"]) == (200, 2)
    (applied,) = await kpi.read_events(SectionApplied)
    assert applied.version is None
    assert [each["kpi"] for each in applied.content["kpis"]] == ["longest", "silence"]
    assert [each["version"] for each in (await client.get("/kpis/silence/versions")).json()["items"]] == [2, 1]
    await client.put("/kpis/silence", content=silence)
    text = await client.get("/kpis/silence", headers={"accept": "application/yaml"})
    assert text.text == silence
    assert len((await client.get("/standard-kpis")).json()["items"]) == 7


async def test_a_bad_model_is_refused_with_its_place_and_checked_without_harm(kpi, silence):
    client = kpi.client_as("adm", "t1")
    bad = silence.replace("sum(conversation_ms)", "sum(conversaton_ms)")
    refused = await client.put("/kpis/silence", content=bad)
    assert refused.status_code == 422
    assert refused.json()["errors"] == [
        {"pointer": "/value", "problem": "There is no column `conversaton_ms`.", "cure": "Did you mean `conversation_ms`?", "line": 7, "column": 35}
    ]  # fmt: skip
    checked = await client.put("/kpis/silence?dry_run=true", content=bad)
    assert (checked.status_code, checked.json()) == (422, refused.json())
    other = await client.put("/kpis/other", content=silence)
    assert (other.status_code, other.json()["errors"][0]["pointer"]) == (422, "/kpi")


async def test_a_check_computes_a_sample(calls, silence):
    client = calls.client_as("adm", "t1")
    check = (await client.put("/kpis/silence?dry_run=true", content=silence)).json()
    assert (check["dry_run"], check["version"]) == (True, 1)
    assert (check["sample"]["value"], check["sample"]["sample"], check["examined"]) == ("57.5", 4, 6)
    assert check["plan"]["denominator"] == "sum(conversation_ms)"


async def test_a_new_version_counts_the_facts_again(kpi, leg, silence):
    calls = [leg(f"b{n}{i}", "bob", f"2026-03-0{n}", silent=50, hold_ms=20_000) for n in (2, 3) for i in (1, 2)]
    await kpi.deliver(*calls, tenant="t1")
    await kpi.clear_outbox()
    with_hold = silence.replace("silence()", "silence(hold => true)")
    assert (await kpi.client_as("adm", "t1").put("/kpis/silence", content=with_hold)).status_code == 200
    events = await kpi.read_events(ScoreChanged)
    assert [(e.scores["silence"].value, e.mode) for e in events] == [("70", "history")] * 2
    (entered,) = await kpi.read_events(BandEntered)
    assert (entered.band, entered.mode, entered.model_version) == ("coach", "live", 2)
    report = (await kpi.client_as("adm", "t1").get("/reconciliation")).json()
    assert (report["compared"], report["found"]) == (["longest", "silence"], 0)


async def test_reconciliation_finds_what_was_tampered_with(calls):
    await calls.rows(
        "t1",
        "UPDATE partial SET sample = sample + 1 WHERE kpi = 'silence' AND agent_id = :a RETURNING 1",
        a=person_id("ada"),
    )
    await calls.rows(
        "t1", "DELETE FROM partial WHERE kpi = 'silence' AND agent_id = :a RETURNING 1", a=person_id("cid")
    )
    report = (await calls.client_as("adm", "t1").get("/reconciliation?kpi=silence")).json()
    found = {each["agent_id"]: (each["stored_sample"], each["facts_sample"]) for each in report["differences"]}
    assert found == {str(person_id("ada")): (2, 1), str(person_id("cid")): (None, 1)}


async def test_a_blueprint_section_is_applied_whole_or_not_at_all(kpi, silence):
    import yaml

    model = yaml.safe_load(silence)
    bad = {**model, "kpi": "other", "value": "sum(talk)"}
    await kpi.deliver(
        BlueprintPublished(version=7, sections={"kpi-engine": {"kpis": [model, bad], "x": 1}}), tenant="t1", twice=False
    )
    (rejected,) = await kpi.read_events(SectionRejected)
    assert [problem.pointer for problem in rejected.problems] == ["/x", "/kpis/1/value"]
    assert rejected.problems[1].cure.startswith("Did you mean")
    assert len((await kpi.client_as("adm", "t1").get("/kpis")).json()["items"]) == 2

    section = {
        "kpis": [
            {**model, "min_sample": 5},
            {**bad, "value": "sum(talk_ms)", "unit": "ms", "bands": None, "targets": []},
        ]
    }
    await kpi.deliver(BlueprintPublished(version=8, sections={"kpi-engine": section, "training": {}}), tenant="t1")
    applied = await kpi.read_events(SectionApplied)
    assert [each.version for each in applied] == [8]
    shown = {each["kpi"]: each["version"] for each in (await kpi.client_as("adm", "t1").get("/kpis")).json()["items"]}
    assert shown == {"other": 1, "silence": 2}
    await kpi.deliver(BlueprintPublished(version=9, sections={"kpi-engine": applied[0].content}), tenant="t1")
    assert {
        each["kpi"]: each["version"] for each in (await kpi.client_as("adm", "t1").get("/kpis")).json()["items"]
    } == shown


async def test_another_tenant_sees_nothing_of_it(calls):
    from testkit import person

    await calls.apply_directory("t2", people=[person("adm", roles=["tenant_admin"]), person("ada")])
    client = calls.client_as("adm", "t2")
    assert (await client.get("/kpis")).json()["items"] == []
    assert (await client.get("/bands")).json()["items"] == []
    for path in (
        "/kpis/silence",
        "/kpis/silence/versions",
        f"/kpis/silence/values?{RANGE}",
        f"/kpis/silence/explain?agent=ada&{RANGE}",
    ):
        assert (await client.get(path)).status_code == 404
    assert str(unit_id("a"))  # the same ids on purpose: people and units of both tenants are derived from their slugs
