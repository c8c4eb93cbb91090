"""Notices from events, through the API and the consumers, on a real PostgreSQL."""

from datetime import date

import pytest
from contracts.assignments import AssignmentAssigned, AssignmentOverdue
from contracts.blueprints import BlueprintPublished, SectionApplied, SectionRejected
from contracts.directory import RoleGrant
from contracts.scores import BandEntered
from contracts.submissions import FormPublished
from testkit import parse_instant, person, person_id, stable_ids, tenant, unit_id


def about(kind, slug, **fields):
    return kind.model_validate(kind.example | {"agent_id": str(person_id(slug))} | fields)


async def inbox(h, who, tenant="t1", **query):
    return (await h.client_as(who, tenant).get("/inbox", params=query)).json()["items"]


async def subjects(h, *whom, tenant="t1"):
    return {who: [each["subject"] for each in await inbox(h, who, tenant)] for who in whom}


async def test_an_assignment_notifies_the_agent_and_each_lead_above_once(notification):
    await notification.deliver(about(AssignmentAssigned, "ada"), tenant="t1")
    lead = ["Ada has a new training: Fewer silences"]
    assert await subjects(notification, "ada", "lea", "sam", "leo", "wei", "adam") == {
        "ada": ["New training: Fewer silences"], "lea": lead, "sam": lead, "leo": [], "wei": [], "adam": [],
    }  # fmt: skip


async def test_an_event_that_is_published_twice_creates_one_notice(notification):
    ids = stable_ids("one")
    for _ in range(2):
        await notification.deliver(about(AssignmentAssigned, "ada"), tenant="t1", ids=ids)
    assert len(await inbox(notification, "ada")) == 1
    await notification.deliver(about(AssignmentAssigned, "ada"), tenant="t1")
    assert len(await inbox(notification, "ada")) == 2


async def test_notices_are_in_the_readers_language(notification):
    await notification.deliver(about(AssignmentAssigned, "wei"), tenant="t1")
    found = await subjects(notification, "wei", "leo")
    assert found == {"wei": ["新培训：减少静默"], "leo": ["Wei has a new training: Fewer silences"]}
    await notification.deliver(tenant("t1", default_language="zh"), tenant="t1")
    await notification.deliver(about(AssignmentAssigned, "ada"), tenant="t1")
    assert (await subjects(notification, "lea"))["lea"] == ["Ada 有新培训：减少静默"]


async def test_rules_match_by_condition_and_notify_by_role_and_org_unit(notification):
    await notification.deliver(about(BandEntered, "ada", band="watch"), tenant="t1")
    await notification.deliver(about(BandEntered, "ada", band="coach"), tenant="t1")
    await notification.deliver(about(AssignmentOverdue, "ada"), tenant="t1")
    await notification.deliver(FormPublished.model_validate(FormPublished.example), tenant="t1")
    counts = {
        who: len(each) for who, each in (await subjects(notification, "lea", "tea", "tom", "quinn", "ada")).items()
    }
    assert counts == {"lea": 1, "tea": 1, "tom": 0, "quinn": 1, "ada": 0}


async def test_a_notice_names_the_agent(notification):
    await notification.deliver(about(AssignmentAssigned, "ada"), tenant="t1")
    refs = (await inbox(notification, "lea"))[0]["refs"]
    assert (refs["agent_id"], refs["agent"], refs["name"]) == (str(person_id("ada")), "ada", "Ada")


async def test_leads_are_resolved_on_the_tenants_workday(notification):
    new_lead = person("noa")
    grant = RoleGrant(role="team_lead", org_unit_id=unit_id("a"), valid_from=date(2026, 3, 5))
    await notification.apply_directory(
        "t1", of_tenant=tenant("t1", time_zone="Asia/Tokyo"), people=[new_lead.model_copy(update={"roles": [grant]})]
    )
    for moment in ("2026-03-04T14:00Z", "2026-03-04T16:00Z"):  # the 4th and the 5th in Tokyo
        await notification.deliver(about(AssignmentAssigned, "ada"), tenant="t1", at=parse_instant(moment))
    assert len(await inbox(notification, "noa")) == 1


async def test_history_creates_no_notices_and_no_deliveries(notification):
    admin = notification.client_as("adam", "t1")
    await admin.put("/webhooks/all", json={"url": "http://127.0.0.1:1/", "events": ["*"]})
    await notification.deliver(about(BandEntered, "ada", band="coach", mode="history"), tenant="t1")
    assert await inbox(notification, "lea") == []
    assert (await admin.get("/webhooks/all/deliveries")).json()["items"] == []


async def test_an_inbox_is_paged_counted_and_marked_as_read(notification):
    for _ in range(3):
        await notification.deliver(about(AssignmentAssigned, "ada"), tenant="t1")
    ada, lea = notification.client_as("ada", "t1"), notification.client_as("lea", "t1")
    newest, *older = await inbox(notification, "ada")
    assert [each["seq"] for each in older] == sorted((each["seq"] for each in older), reverse=True)
    assert (await lea.post(f"/inbox/{newest['id']}/read")).status_code == 404
    assert (await ada.post(f"/inbox/{newest['id']}/read")).json()["read_at"]
    assert (await ada.get("/inbox/count")).json() == {"unread": 2, "last": newest["seq"]}
    assert len(await inbox(notification, "ada", unread=True)) == 2
    assert [each["id"] for each in await inbox(notification, "ada", unread=False)] == [newest["id"]]
    first = (await ada.get("/inbox", params={"limit": 2})).json()
    second = (await ada.get("/inbox", params={"limit": 2, "after": first["next"]})).json()
    assert [each["id"] for each in first["items"] + second["items"]] == [each["id"] for each in (newest, *older)]
    assert second["next"] is None
    assert (await ada.post("/inbox/read-all")).json() == {"read": 2}
    assert (await ada.get("/inbox/count")).json()["unread"] == 0


async def test_deliveries_of_a_notice_cover_every_channel(notification):
    await notification.deliver(about(AssignmentAssigned, "ada"), tenant="t1")
    (notice,) = await inbox(notification, "ada")
    path = f"/inbox/{notice['id']}/deliveries"
    found = (await notification.client_as("ada", "t1").get(path)).json()["items"]
    assert {each["channel"]: each["state"] for each in found} == {"in_app": "delivered", "email": "skipped"}
    assert [each["detail"] for each in found if each["channel"] == "email"] == ["no mail server is configured"]
    assert (await notification.client_as("adam", "t1").get(path)).status_code == 200
    assert (await notification.client_as("lea", "t1").get(path)).status_code == 404


async def test_tenants_are_isolated(notification):
    ids = stable_ids("same")
    await notification.deliver(about(AssignmentAssigned, "ada"), tenant="t1", ids=ids)
    (notice,) = await inbox(notification, "ada")
    assert await inbox(notification, "ada", "t2") == []
    other = notification.client_as("ada", "t2")
    assert (await other.post(f"/inbox/{notice['id']}/read")).status_code == 404
    assert (await notification.client_as("adam", "t2").get(f"/inbox/{notice['id']}/deliveries")).status_code == 404
    await notification.deliver(about(AssignmentAssigned, "ada"), tenant="t2", ids=ids)
    assert len(await inbox(notification, "ada", "t2")) == 1
    await notification.client_as("adam", "t1").put(
        "/webhooks/hook", json={"url": "http://127.0.0.1:1/", "events": ["*"]}
    )
    admin = notification.client_as("adam", "t2")
    assert (await admin.get("/webhooks")).json()["items"] == []
    assert (await admin.get("/webhooks/hook/deliveries")).status_code == 404
    assert (await admin.delete("/webhooks/hook")).status_code == 404


async def test_a_tenants_own_text_is_preferred_and_the_default_is_used_when_it_fails(notification):
    admin = notification.client_as("adam", "t1")
    texts = {"assignment.assigned": {"en": {"subject": "Hello {{ person.name }}", "body": "{{ title | upcase }}"}}}
    assert (await admin.put("/texts", json={"texts": texts})).status_code == 200
    await notification.deliver(about(AssignmentAssigned, "ada"), tenant="t1")
    (notice,) = await inbox(notification, "ada")
    assert (notice["subject"], notice["body"]) == ("Hello Ada", "FEWER SILENCES")
    # Valid for the example, whose template_version is 1; fails for an event with version 0.
    texts["assignment.assigned"]["en"]["body"] = "{{ 1 | divided_by: template_version }}"
    assert (await admin.put("/texts", json={"texts": texts})).status_code == 200
    await notification.deliver(about(AssignmentAssigned, "ada", template_version=0), tenant="t1")
    assert (await inbox(notification, "ada"))[0]["subject"] == "New training: Fewer silences"


async def test_configuration_needs_tenant_admin_and_is_validated(notification):
    admin, ada = notification.client_as("adam", "t1"), notification.client_as("ada", "t1")
    for method, path in (
        ("GET", "/rules"), ("PUT", "/rules"), ("GET", "/texts"), ("PUT", "/texts"), ("GET", "/webhooks"),
        ("PUT", "/webhooks/a"), ("DELETE", "/webhooks/a"), ("GET", "/webhooks/a/deliveries"), ("POST", "/webhooks/a/test"),
    ):  # fmt: skip
        bodies = {
            "/rules": {"rules": []},
            "/texts": {"texts": {}},
            "/webhooks/a": {"url": "https://x.org", "events": ["*"]},
        }
        assert (await ada.request(method, path, json=bodies.get(path))).status_code == 403, (method, path)
    answer = await admin.put("/rules", json={"rules": [{"rule": "x", "on": "nothing", "to": "agent"}]})
    assert answer.status_code == 422
    assert [each["pointer"] for each in answer.json()["errors"]] == ["/rules/0/on"]
    answer = await admin.put("/texts", json={"texts": {"x": {"en": {"subject": "{{", "body": "y"}}}})
    assert [each["pointer"] for each in answer.json()["errors"]] == ["/texts/x/en/subject"]
    answer = await admin.put("/webhooks/x", json={"url": "https://10.0.0.1/", "events": ["nothing"]})
    assert [each["pointer"] for each in answer.json()["errors"]] == ["/url", "/events/0"]
    assert (await admin.put("/webhooks/X Y", json={"url": "https://x.org", "events": ["*"]})).status_code == 422


SECTION = {
    "rules": [{"rule": "only", "on": "band.left", "to": "agent", "text": "bye"}],
    "texts": {"bye": {"en": {"subject": "Bye {{ band }}", "body": "You left {{ band }}."}}},
    "webhooks": [{"webhook": "crm", "url": "https://crm.example.org/hook", "events": ["band.left"]}],
}


async def test_a_blueprint_is_applied_and_exported_without_secrets(notification):
    await notification.deliver(BlueprintPublished(version=1, sections={"notification": SECTION}), tenant="t1")
    answers = await notification.read_events(SectionApplied)
    assert [each.version for each in answers] == [1]
    content = answers[0].content
    assert content["webhooks"] == [SECTION["webhooks"][0] | {"enabled": True}]
    assert content["texts"] == SECTION["texts"]
    assert [each["rule"] for each in content["rules"]] == ["only"]
    assert "salt" not in str(content)
    assert "whsec" not in str(content)
    salts = await notification.rows("t1", "SELECT salt FROM webhook")
    await notification.deliver(BlueprintPublished(version=2, sections={"notification": content}), tenant="t1")
    assert (await notification.read_events(SectionApplied))[-1].content == content
    assert await notification.rows("t1", "SELECT salt FROM webhook") == salts
    await notification.client_as("adam", "t1").put("/rules", json={"rules": []})
    last = (await notification.read_events(SectionApplied))[-1]
    assert (last.version, last.content["rules"], last.content["texts"]) == (None, [], SECTION["texts"])


@pytest.mark.parametrize(
    "change, pointer",
    [
        ({"rules": [{"rule": "only", "on": "band.left", "to": "agent", "text": "ciao"}]}, "/rules/0/text"),
        ({"rules": [{"rule": "only", "on": "band.left", "to": "agent", "channels": ["fax"]}]}, "/rules/0/channels/0"),
        ({"webhooks": [{"webhook": "crm", "url": "http://crm.example.org/hook", "events": ["*"]}]}, "/webhooks/0/url"),
        ({"colours": []}, "/colours"),
    ],
)
async def test_an_invalid_blueprint_is_rejected_and_changes_nothing(notification, change, pointer):
    before = (await notification.client_as("adam", "t1").get("/rules")).json()
    sections = {"notification": SECTION | change}
    await notification.deliver(BlueprintPublished(version=1, sections=sections), tenant="t1")
    rejected = await notification.read_events(SectionRejected)
    assert [[each.pointer for each in one.problems] for one in rejected] == [[pointer]]
    assert await notification.read_events(SectionApplied) == []
    assert (await notification.client_as("adam", "t1").get("/rules")).json() == before
    assert (await notification.client_as("adam", "t1").get("/webhooks")).json()["items"] == []
