"""What can be made can be taken away again: deleted, or retired where it has a history."""

from typing import Any

from contracts.blueprints import SectionApplied

from tests.hostile.conftest import HostileSuite
from tests.hostile.set_up import BOARD, CALL, FORM, GAME, KPI, MAPPING, NOTICE, READING, RULE, TEXT


async def section(suite: HostileSuite, service: str) -> dict[str, Any]:
    """What the service last said that a blueprint of the tenant would hold."""
    told = await suite.harnesses[service].read_events(SectionApplied)
    return told[-1].content


async def refused(suite: HostileSuite, service: str, path: str, slug: str) -> str:
    """Why it cannot be taken away now."""
    answer = await suite.client(service).delete(path)
    assert (answer.status_code, answer.json()["type"]) == (409, f"urn:uplift:problem:{slug}"), answer.text
    return answer.json()["detail"]


async def tell(suite: HostileSuite, *services: str) -> None:
    """What these services said last of their sections reaches those who read it."""
    for service in services:
        told = (await suite.harnesses[service].read_events(SectionApplied))[-1]
        for each in suite.harnesses.values():
            if told.target_topic() in each.running.doors:
                await each.deliver(told, tenant="acme", twice=False)


async def gone(suite: HostileSuite, service: str, path: str) -> None:
    answer = await suite.client(service).delete(path)
    assert answer.status_code == 204, answer.text


async def test_a_template_with_versions_is_retired_and_brought_back(own_suite: HostileSuite) -> None:
    client = own_suite.client("training")
    assert "`r1`" in await refused(own_suite, "training", "/templates/intro", "template-in-use")
    await gone(own_suite, "training", "/rules/r1")
    assert (await client.get("/rules/r1")).status_code == 404
    await gone(own_suite, "training", "/templates/intro")
    kept = (await client.get("/templates/intro")).json()
    assert (kept["status"], kept["version"], kept["content"]["kind"]) == ("retired", 1, "reading")
    assert await section(own_suite, "training") == {"templates": [], "rules": []}
    assigned = await client.post("/assignments", json={"agent": "ada", "template": "intro"})
    assert assigned.json()["type"] == "urn:uplift:problem:template-not-published"
    assert (await client.put("/rules/r1", json=RULE)).status_code == 422
    assert (await client.put("/templates/intro", json=READING)).json()["status"] == "published"
    assert [each["template"] for each in (await section(own_suite, "training"))["templates"]] == ["intro"]
    assert (await client.put("/rules/r1", json=RULE)).status_code == 200


async def test_a_draft_that_nobody_saw_is_deleted(own_suite: HostileSuite) -> None:
    client = own_suite.client("training")
    await client.put("/templates/draft", json=READING)
    await client.post("/templates/draft/publish", json={"at": "2999-01-01T09:00:00Z"})
    await gone(own_suite, "training", "/templates/draft")
    assert (await client.get("/templates/draft")).status_code == 404
    assert (await client.delete("/templates/draft")).status_code == 404


async def test_an_assignment_is_withdrawn_until_it_is_over(own_suite: HostileSuite) -> None:
    boss, ben = own_suite.client("training"), own_suite.client("training", "ben")
    given = (await boss.post("/assignments", json={"agent": "ben", "template": "intro"})).json()["id"]
    assert (await ben.delete(f"/assignments/{given}")).status_code == 403
    await gone(own_suite, "training", f"/assignments/{given}")
    await gone(own_suite, "training", f"/assignments/{given}")
    assert (await ben.get(f"/assignments/{given}")).json()["status"] == "withdrawn"
    assert (await ben.post(f"/assignments/{given}/start")).status_code == 409
    again = (await boss.post("/assignments", json={"agent": "ben", "template": "intro"})).json()["id"]
    await ben.post(f"/assignments/{again}/start")
    await ben.post(f"/assignments/{again}/complete")
    assert "completed" in await refused(own_suite, "training", f"/assignments/{again}", "assignment-over")


async def test_a_rule_of_the_game_is_retired_and_brought_back(own_suite: HostileSuite) -> None:
    client = own_suite.client("gamification")
    await client.put("/leaderboards/all", json={**BOARD, "rules": ["g1"]})
    assert "`all`" in await refused(own_suite, "gamification", "/rules/g1", "rule-in-use")
    await gone(own_suite, "gamification", "/leaderboards/all")
    assert (await client.get("/leaderboards/all/standings")).status_code == 404
    await gone(own_suite, "gamification", "/rules/g1")
    assert (await client.delete("/rules/g1")).status_code == 404
    kept = (await client.get("/rules/g1")).json()
    assert (kept["retired"], kept["title"]) == (True, GAME["title"])
    assert (await client.put("/rules/g1", json=kept)).status_code == 422
    assert (await client.get("/rules")).json()["items"] == []
    assert await section(own_suite, "gamification") == {"rules": [], "leaderboards": []}
    assert (await client.put("/rules/g1", json={**kept, "retired": False})).json()["retired"] is False
    assert [each["rule"] for each in (await section(own_suite, "gamification"))["rules"]] == ["g1"]


async def test_rules_and_texts_of_notices_are_changed_one_by_one(own_suite: HostileSuite) -> None:
    client = own_suite.client("notification")
    for name in ("n2", "n3"):
        assert (await client.put(f"/rules/{name}", json={**NOTICE, "rule": name})).status_code == 200
    changed = {**NOTICE, "rule": "n2", "text": "own"}
    assert (await client.put("/rules/n2", json=changed)).json()["text"] == "own"
    assert [each["rule"] for each in (await client.get("/rules")).json()["items"]] == ["n1", "n2", "n3"]
    wrong = await client.put("/rules/n3", json={**NOTICE, "rule": "n3", "on": "nothing.happened"})
    assert [each["pointer"] for each in wrong.json()["errors"]] == ["/on"]
    assert (await client.put("/rules/n3", json=NOTICE)).status_code == 422
    assert "`n2`" in await refused(own_suite, "notification", "/texts/own", "text-in-use")
    await gone(own_suite, "notification", "/rules/n2")
    await gone(own_suite, "notification", "/texts/own")
    for path in ("/rules/n2", "/texts/own"):
        assert ((await client.get(path)).status_code, (await client.delete(path)).status_code) == (404, 404)
    assert [each["rule"] for each in (await section(own_suite, "notification"))["rules"]] == ["n1", "n3"]
    broken = {"en": {"subject": "{{ nothing", "body": "x"}}
    pointers = [each["pointer"] for each in (await client.put("/texts/own", json=broken)).json()["errors"]]
    assert pointers == ["/en/subject"]
    assert (await client.put("/texts/own", json=TEXT)).json() == TEXT


async def test_a_source_is_retired_with_what_came_of_it(own_suite: HostileSuite) -> None:
    client = own_suite.client("ingest")
    receipt = own_suite.ids["receipt"]
    await gone(own_suite, "ingest", "/sources/calls")
    await gone(own_suite, "ingest", "/sources/calls")
    assert (await client.get("/sources/calls")).json()["status"] == "retired"
    assert await section(own_suite, "ingest") == {"sources": []}
    sent = await client.post("/sources/calls/records", content=CALL)
    assert (sent.status_code, sent.json()["type"]) == (409, "urn:uplift:problem:source-retired")
    assert (await client.get("/interactions?external_id=c1")).json()["items"]
    assert (await client.delete(f"/receipts/{receipt}")).status_code == 200
    assert (await client.delete("/sources/none")).status_code == 404
    back = await client.put("/sources/calls", json={"vendor": "generic", "mapping": MAPPING})
    assert back.json()["status"] == "active"
    assert (await client.post("/sources/calls/records", content=CALL)).status_code == 200
    assert [each["source"] for each in (await section(own_suite, "ingest"))["sources"]] == ["calls"]


async def test_a_source_that_is_receiving_is_not_retired(own_suite: HostileSuite) -> None:
    client = own_suite.client("ingest")
    later = await client.post("/sources/calls/records", content=CALL, headers={"prefer": "respond-async"})
    assert later.json()["id"] in await refused(own_suite, "ingest", "/sources/calls", "source-busy")


async def test_a_kpi_is_retired_with_its_versions(own_suite: HostileSuite) -> None:
    client = own_suite.client("kpi-engine")
    await gone(own_suite, "kpi-engine", "/kpis/aht")
    await gone(own_suite, "kpi-engine", "/kpis/aht")
    assert (await client.get("/kpis/aht")).json()["retired"] is True
    assert len((await client.get("/kpis/aht/versions")).json()["items"]) == 1
    assert await section(own_suite, "kpi-engine") == {"kpis": []}
    assert (await client.delete("/kpis/none")).status_code == 404
    back = await client.put("/kpis/aht", content=KPI.encode(), headers={"content-type": "application/yaml"})
    assert (back.status_code, back.json()["version"]) == (200, 2)
    assert (await client.get("/kpis/aht")).json()["retired"] is False


async def test_a_form_is_retired_with_its_submissions(own_suite: HostileSuite) -> None:
    client, submitted = own_suite.client("forms"), own_suite.ids["submission"]
    await gone(own_suite, "forms", "/forms/review")
    assert (await client.get("/forms/review")).json()["status"] == "retired"
    assert (await client.get(f"/forms/review/submissions/{submitted}")).status_code == 200
    assert await section(own_suite, "forms") == {"forms": []}
    filled = {"agent": "ada", "answers": {"comment": "again"}}
    refusal = await client.post("/forms/review/submissions", json=filled)
    assert (refusal.status_code, refusal.json()["type"]) == (409, "urn:uplift:problem:form-retired")
    for way in ("PUT", "POST"):
        await gone(own_suite, "forms", "/forms/review")
        path, body = ("/forms/review", FORM) if way == "PUT" else ("/forms/review/publish", None)
        assert (await client.request(way, path, json=body)).status_code == 200
        assert (await client.get("/forms/review")).json()["status"] == "published"
        assert [each["form"] for each in (await section(own_suite, "forms"))["forms"]] == ["review"]
    assert (await client.post("/forms/review/submissions", json=filled)).status_code == 201
    await client.put("/forms/draft", json={**FORM, "form": "draft"})
    await gone(own_suite, "forms", "/forms/draft")
    assert (await client.get("/forms/draft")).status_code == 404


async def test_who_may_not_change_may_not_take_away(own_suite: HostileSuite) -> None:
    for service, path in (
        ("training", "/rules/r1"), ("training", "/templates/intro"), ("gamification", "/rules/g1"),
        ("gamification", "/leaderboards/all"), ("ingest", "/sources/calls"), ("kpi-engine", "/kpis/aht"), ("forms", "/forms/review"), ("notification", "/rules/n1"), ("notification", "/texts/own"),
    ):  # fmt: skip
        assert (await own_suite.client(service, "ada").delete(path)).status_code == 403, path


BANDED = KPI + "bands: {window: workday, edges: [{name: good, from: 0}, {name: coach, from: 90}]}\n"


async def test_what_another_service_names_is_not_taken_away_by_a_single_edit(own_suite: HostileSuite) -> None:
    """A KPI, a band, a template, a form, an org unit: refused with where it is named, until it is named no more."""
    clients = {service: own_suite.client(service) for service in own_suite.harnesses}

    async def put(service: str, path: str, **body: Any) -> None:
        answer = await clients[service].put(path, **body)
        assert answer.is_success, answer.text

    (await clients["identity"].post("/org-units", json={"slug": "empty", "name": "E"})).raise_for_status()
    await own_suite.deliver_directory_events()
    await put("kpi-engine", "/kpis/aht", content=BANDED.encode())
    board = {**BOARD, "org_unit": "empty"}
    await put("gamification", "/leaderboards/all", json=board)
    notices = [
        {**NOTICE, "rule": "n1", "on": "submission.scored", "when": {"form": "review"}},
        {**NOTICE, "rule": "n2", "when": {"template": "intro"}},
    ]
    await put("notification", "/rules", json={"rules": notices})
    await put("training", "/rules", json={"rules": [{**RULE, "template": "intro"}]})
    await tell(own_suite, "training", "gamification", "notification")

    async def named(service: str, method: str, path: str, **body: Any) -> list[str]:
        answer = await clients[service].request(method, path, **body)
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:uplift:problem:named-elsewhere"), answer.text
        return [each["pointer"] for each in answer.json()["errors"]]

    without_coach = BANDED.replace(", {name: coach, from: 90}", "").encode()
    assert await named("kpi-engine", "PUT", "/kpis/aht", content=without_coach) == ["/training/rules/0/band"]
    at_rule = ["/training/rules/0/kpi", "/training/rules/0/band"]
    assert await named("kpi-engine", "DELETE", "/kpis/aht") == at_rule[:1]
    assert await named("forms", "DELETE", "/forms/review") == ["/notification/rules/0/when/form"]
    at_board = ["/gamification/leaderboards/0/org_unit"]
    assert await named("identity", "PATCH", "/org-units/empty", json={"active": False}) == at_board
    await gone(own_suite, "training", "/rules/r1")
    assert await named("training", "DELETE", "/templates/intro") == ["/notification/rules/1/when/template"]
    assert (await clients["kpi-engine"].get("/kpis/aht")).json()["retired"] is False, "nothing was changed"

    await put("notification", "/rules", json={"rules": [NOTICE]})
    await put("gamification", "/leaderboards/all", json=BOARD)
    await tell(own_suite, "training", "gamification", "notification")
    await put("kpi-engine", "/kpis/aht", content=without_coach)
    for service, path in (("kpi-engine", "/kpis/aht"), ("forms", "/forms/review"), ("training", "/templates/intro")):
        await gone(own_suite, service, path)
    (await clients["identity"].patch("/org-units/empty", json={"active": False})).raise_for_status()
