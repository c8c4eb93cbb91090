"""The audit log: who changed what, when, from what to what. It is queried by every field, and never changes."""

import json
from datetime import timedelta

import pytest
from contracts import Attributes
from contracts.audit import Actor, ConfigurationChanged, Origin
from sqlalchemy.exc import DBAPIError
from testkit import parse_instant


async def log(centre, query="", who="boss@demo"):
    return (await centre.call(who, "GET", f"/audit?limit=1000{query and '&' + query}"))["items"]


def build_change():
    actor = Actor(kind="person", tenant="demo", slug="boss", display_name="The Boss")
    return ConfigurationChanged(
        service="training", kind="rule", ref="r1", action="updated", origin=Origin(actor=actor, blueprint_version=3),
        before={"due_days": 7}, after={"due_days": 8}, changed=["/due_days"],
    )  # fmt: skip


async def test_an_entry_says_who_what_when_and_from_what_to_what(centre):
    headers = {"x-request-id": "order-4711.a"}
    await centre.call("boss@demo", "PATCH", "/people/ada", json={"language": "en"})
    await centre.call("boss@demo", "PATCH", "/people/ada", json={"language": "zh"}, headers=headers)
    newest, before, first = await log(centre, "thing=person/ada")
    assert (newest["service"], newest["kind"], newest["ref"], newest["action"]) == (
        "identity", "person", "ada", "updated",
    )  # fmt: skip
    boss = (await centre.call("boss@demo", "GET", "/me"))["person"]
    assert newest["actor"] == {
        "kind": "person", "tenant": "demo", "slug": "boss", "display_name": "The Boss", "id": boss["id"],
    }  # fmt: skip
    assert (newest["before"]["language"], newest["after"]["language"]) == ("en", "zh")
    assert newest["before"] == before["after"]
    assert newest["changed"] == ["/language"]
    assert newest["request_id"] == "order-4711.a" != before["request_id"]
    assert (first["action"], first["before"], first["after"]["display_name"]) == ("created", None, "Ada")


async def test_it_is_queried_by_thing_service_person_action_and_time(centre):
    await centre.call("root@platform", "PATCH", "/tenants/demo", json={"name": "Demo Two"})
    await centre.call("boss@demo", "PATCH", "/people/ada", json={"language": "zh"})
    every = await log(centre)
    me = (await centre.call("boss@demo", "GET", "/me"))["person"]["id"]
    for query, holds in (
        ("thing=person", lambda each: each["kind"] == "person"),
        ("thing=person/ada", lambda each: (each["kind"], each["ref"]) == ("person", "ada")),
        ("service=identity", lambda each: True),
        ("service=training", lambda each: False),
        ("by=boss", lambda each: each["actor"]["slug"] == "boss"),
        (f"by={me}", lambda each: each["actor"]["slug"] == "boss"),
        ("by=platform/admin", lambda each: each["actor"]["tenant"] == "platform"),
        ("action=updated", lambda each: each["action"] == "updated"),
        ("action=updated&thing=tenant", lambda each: each["kind"] == "tenant" and each["action"] == "updated"),
        (f"request_id={every[0]['request_id']}", lambda each: each["request_id"] == every[0]["request_id"]),
    ):
        expected = [each["id"] for each in every if holds(each)]
        assert [each["id"] for each in await log(centre, query)] == expected, query
        assert expected or "training" in query
    await centre.harness.deliver(
        build_change(), tenant="demo", at=parse_instant("2026-03-02T23:30Z")
    )  # the 3rd where the tenant is
    assert [each["at"] for each in await log(centre, "from=2026-03-03&to=2026-03-03")] == ["2026-03-02T23:30:00Z"]
    assert len(await log(centre, f"from={every[0]['at'][:10]}")) == len(every)
    assert await log(centre, "from=2020-01-01&to=2020-12-31") == []


async def test_it_comes_in_pages_and_only_to_administrators(centre):
    every = [each["id"] for each in await log(centre)]
    found, after = [], ""
    while True:
        page = await centre.call("boss@demo", "GET", f"/audit?limit=3{after}")
        found += [each["id"] for each in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert found == every
    await centre.call("boss@demo", "GET", "/audit?after=WzFd", 422)
    for who in ("ada@demo", "lea@demo", "tia@demo"):
        await centre.call(who, "GET", "/audit", 403)
    await centre.call("boss@demo", "GET", "/audit?tenant=platform", 403)


async def test_what_changes_nothing_leaves_no_entry(centre, section):
    await centre.call("boss@demo", "PATCH", "/people/ada", json={"display_name": "Ada"})
    assert centre.audited == []
    await centre.put("demo", section)
    assert centre.audited == []
    await centre.call("boss@demo", "PATCH", "/people/ada", 422, json={"roles": [{"role": "platform_admin"}]})
    assert centre.audited == []


async def test_a_blueprint_is_recorded_thing_by_thing(centre, section):
    section["people"][0]["display_name"] = "Ada Two"
    section["org_units"][1]["name"] = "Team One"
    await centre.put("demo", section)
    found = {(each.kind, each.ref): each for each in centre.audited}
    assert set(found) == {("person", "ada"), ("org_unit", "team-1"), ("blueprint", "2")}
    assert found["org_unit", "team-1"].changed == ["/name"]
    assert found["blueprint", "2"].before == {"blueprint": "call-centre", "sections": ["identity"], "version": 1}


async def test_a_clock_that_is_moved_is_no_change_of_configuration(identity):
    await identity.tenant("sim", simulated=True, clock="2026-03-02T08:00:00Z")
    await identity.call("root@platform", "POST", "/tenants/sim/clock", json={"now": "2026-03-02T09:00:00Z"})
    assert identity.audited == []
    (entry,) = await log(identity, "thing=tenant/sim&tenant=sim", "root@platform")
    assert (entry["action"], "clock" in entry["after"]) == ("created", False)


async def test_a_change_of_another_service_is_stored_once_and_cannot_be_changed(centre):
    harness = centre.harness
    event = Attributes.create(
        ConfigurationChanged.type, source="training", tenant="demo", time=parse_instant("2026-03-02T10:00Z")
    ).id
    for _ in range(2):
        await harness.deliver(build_change(), tenant="demo", at=parse_instant("2026-03-02T10:00Z"), ids=[event])
    (entry,) = await log(centre, "service=training&blueprint_version=3&thing=rule/r1")
    assert (entry["before"], entry["after"], entry["id"]) == ({"due_days": 7}, {"due_days": 8}, str(event))
    for statement in ("UPDATE audit SET action = 'none'", "DELETE FROM audit", "TRUNCATE audit"):
        async with harness.context.sessions.begin(["demo"], now=harness.now + timedelta(1)) as session:
            with pytest.raises(DBAPIError, match="kept as they are"):
                await session.execute(statement)
            await session.connection.rollback()
    assert (await log(centre, "service=training"))[0]["action"] == "updated"


async def test_no_e_mail_address_stands_in_it(centre):
    spec = {"slug": "eve", "display_name": "Eve", "email": "eve.marker@example.org"}
    await centre.call("boss@demo", "POST", "/people", 201, json=spec)
    await centre.call("boss@demo", "PATCH", "/people/eve", json={"email": "else.marker@example.org"})
    newest, first = await log(centre, "thing=person/eve")
    assert "marker" not in json.dumps([newest, first])
    assert newest["changed"] == ["/email"]
