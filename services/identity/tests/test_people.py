"""People one by one, the org tree, tenants and their clocks."""

import asyncio
from datetime import date

from contracts.directory import OrgUnitChanged, PersonChanged, TenantChanged
from testkit import ISSUER


async def test_a_patch_replaces_what_it_names_and_keeps_the_rest(centre):
    before = await centre.call("boss@demo", "GET", "/people/ada")
    after = await centre.call(
        "boss@demo",
        "PATCH",
        "/people/ada",
        json={
            "email": "ada@example.org",
            "attributes": [
                {"name": "employment", "value": "part_time", "valid_until": "2026-02-01"},
                {"name": "employment", "value": "full_time", "valid_from": "2026-02-01"},
            ],
        },
    )
    assert after == {**before, "email": "ada@example.org", "attributes": after["attributes"]}
    (changed,) = centre.bodies(PersonChanged)
    assert [each.value for each in changed.attributes if each.holds_on(date(2026, 1, 31))] == ["part_time"]
    assert [each.value for each in changed.attributes if each.holds_on(date(2026, 2, 1))] == ["full_time"]
    again = {"email": "ada@example.org", "attributes": after["attributes"]}
    assert await centre.call("boss@demo", "PATCH", f"/people/{after['id']}", json=again) == after
    assert centre.published == []


async def test_a_planned_move_is_seen_on_its_day(centre):
    await centre.tenant("sim", simulated=True, clock="2026-03-02T08:00:00Z")
    units = [{"slug": "one"}, {"slug": "two"}]
    person = {
        "slug": "ada",
        "display_name": "Ada",
        "memberships": [
            {"org_unit": "one", "valid_until": "2026-03-10"},
            {"org_unit": "two", "valid_from": "2026-03-10"},
        ],
    }
    await centre.put("sim", {"org_units": units, "people": [person]})

    async def members(unit: str) -> list[str]:
        found = await centre.call("boss@sim", "GET", f"/people?org_unit={unit}")
        return [each["slug"] for each in found["items"]]

    assert (await members("one"), await members("two")) == (["ada"], [])
    # 23:30 UTC is already the tenth in Berlin.
    await centre.call("boss@sim", "POST", "/tenants/sim/clock", json={"now": "2026-03-09T23:30:00Z"})
    assert (await members("one"), await members("two")) == ([], ["ada"])


async def test_broken_rules_are_reported_with_pointer_and_cure(centre):
    for patch, pointer, word in (
        ({"memberships": [{"org_unit": "team-1"}, {"org_unit": "team-2"}]}, "/memberships/1", "overlaps"),
        ({"memberships": [{"org_unit": "nowhere"}]}, "/memberships/0/org_unit", "no org unit"),
        ({"external_ids": [{"source": "connect", "external_id": "agent-ben"}]}, "/external_ids/0", "held by `ben`"),
        ({"logins": [{"iss": ISSUER, "sub": "ben"}]}, "/logins/0", "belongs to `ben`"),
        ({"roles": [{"role": "tenant_admin", "org_unit": "team-1"}]}, "/roles/0/org_unit", "whole tenant"),
        ({"roles": [{"role": "team_lead"}]}, "/roles/0/org_unit", "that is led"),
        ({"display_name": ""}, "/body/display_name", "at least 1"),
        (
            {"memberships": [{"org_unit": "team-1", "valid_from": "2026-02-30"}]},
            "/body/memberships/0/valid_from",
            "date",
        ),
        ({"nickname": "A"}, "/body/nickname", "not permitted"),
        ({"display_name": "A\u0000"}, "/body/display_name", "NUL"),
        ({"display_name": "A\u0001"}, "/body/display_name", "control characters"),
    ):
        problem = await centre.call("boss@demo", "PATCH", "/people/ada", 422, json=patch)
        error = problem["errors"][0]
        assert (error["pointer"], word in error["problem"]) == (pointer, True), error
        assert error["cure"]
    await centre.call("boss@demo", "POST", "/people", 409, json={"slug": "ada", "display_name": "Ada"})
    await centre.call("boss@demo", "PATCH", "/people/nobody", 404, json={"active": False})


async def test_an_external_id_passes_on_when_its_time_is_over(centre):
    ended = [{"source": "connect", "external_id": "agent-ada", "valid_until": "2026-03-01"}]
    begun = [{"source": "connect", "external_id": "agent-ada", "valid_from": "2026-03-01"}]
    await centre.call("boss@demo", "PATCH", "/people/ben", 422, json={"external_ids": begun})
    await centre.call("boss@demo", "PATCH", "/people/ada", json={"external_ids": ended})
    await centre.call("boss@demo", "PATCH", "/people/ben", json={"external_ids": begun})


async def test_of_two_edits_at_the_same_time_none_is_lost(centre):
    client = centre.client("boss@demo")
    patches = [
        {"email": "ada@example.org"},
        {"language": "zh"},
        {"attributes": [{"name": "skill", "value": "billing"}]},
    ]
    answers = await asyncio.gather(*(client.patch("/people/ada", json=patch) for patch in patches))
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    await centre.deliver_own_events()
    last = centre.bodies(PersonChanged)[-1]
    assert (last.email, last.language, last.attributes[0].value) == ("ada@example.org", "zh", "billing")


async def test_of_two_people_who_claim_one_external_id_at_the_same_time_one_gets_it(centre):
    client = centre.client("boss@demo")
    claim = {"external_ids": [{"source": "connect", "external_id": "new"}]}
    answers = await asyncio.gather(*(client.patch(f"/people/{slug}", json=claim) for slug in ("ada", "ben")))
    assert sorted(answer.status_code for answer in answers) == [200, 422]


async def test_moving_a_unit_moves_all_below_it(centre):
    await centre.call("boss@demo", "POST", "/org-units", 201, json={"slug": "cell", "parent": "team-1"})
    site = await centre.call("boss@demo", "PATCH", "/org-units/site-a", json={"parent": "site-b"})
    assert site["org_path"] == "Site B/Site A"
    changed = {unit.slug: unit for unit in centre.bodies(OrgUnitChanged)}
    assert list(changed) == ["site-a", "team-1", "team-2", "cell"]
    assert changed["cell"].path == [*changed["team-1"].path, changed["cell"].id]
    assert len(changed["cell"].path) == 4
    for parent in ("cell", "site-a"):
        problem = await centre.call("boss@demo", "PATCH", "/org-units/site-b", 422, json={"parent": parent})
        assert "below itself: " in problem["errors"][0]["problem"]
    await centre.call("boss@demo", "PATCH", "/org-units/site-b", 422, json={"parent": "nowhere"})
    await centre.call("boss@demo", "PATCH", "/org-units/site-a", json={"parent": None})
    assert (await centre.call("boss@demo", "GET", "/org-units/cell"))["org_path"] == "Site A/Team 1/cell"


async def test_a_unit_that_is_in_use_cannot_vanish(centre):
    for slug in ("team-1", "site-a"):
        await centre.call("boss@demo", "PATCH", f"/org-units/{slug}", 409, json={"active": False})
    await centre.call("boss@demo", "PATCH", "/people/ben", json={"memberships": []})
    await centre.call("boss@demo", "PATCH", "/org-units/team-2", json={"active": False})
    into = {"memberships": [{"org_unit": "team-2"}]}
    problem = await centre.call("boss@demo", "PATCH", "/people/ben", 422, json=into)
    assert "switched off" in problem["errors"][0]["problem"]
    await centre.call("boss@demo", "POST", "/org-units", 409, json={"slug": "team-2"})


async def test_a_unit_cannot_become_of_a_kind_its_members_have_elsewhere(centre):
    await centre.call("boss@demo", "POST", "/org-units", 201, json={"slug": "move", "kind": "project"})
    both = {"memberships": [{"org_unit": "team-1"}, {"org_unit": "move"}]}
    await centre.call("boss@demo", "PATCH", "/people/ada", json=both)
    problem = await centre.call("boss@demo", "PATCH", "/org-units/move", 409, json={"kind": "team"})
    assert "`ada`" in problem["detail"]


async def test_a_new_customer_is_live_with_one_call(identity):
    await identity.tenant("acme", day_start_minutes=240, default_language="zh")
    (changed,) = identity.bodies(TenantChanged)
    assert (changed.slug, changed.time_zone, changed.day_start_minutes) == ("acme", "Europe/Berlin", 240)
    me = await identity.call("boss@acme", "GET", "/me")
    assert [grant["role"] for grant in me["roles"]] == ["tenant_admin"]
    await identity.call("root@platform", "POST", "/tenants", 409, json={"slug": "acme", "name": "Again"})
    await identity.call("root@platform", "POST", "/tenants", 422, json={"slug": "a,b", "name": "Two"})
    bad = {"slug": "berlin", "name": "B", "time_zone": "Berlin"}
    problem = await identity.call("root@platform", "POST", "/tenants", 422, json=bad)
    assert "no time zone `Berlin`" in problem["errors"][0]["problem"]
    state = await identity.call("boss@acme", "PATCH", "/tenants/acme", json={"time_zone": "Asia/Shanghai"})
    assert (state["time_zone"], state["name"]) == ("Asia/Shanghai", "Acme")


async def test_only_a_simulated_tenants_clock_moves_and_only_on(identity):
    await identity.tenant("sim", simulated=True)
    await identity.tenant("real")
    path = "/tenants/sim/clock"
    await identity.call("boss@sim", "POST", path, json={"now": "2026-03-02T08:00:00Z"})
    (changed,) = identity.bodies(TenantChanged)
    assert changed.clock.isoformat() == "2026-03-02T08:00:00+00:00"
    me = await identity.call("boss@sim", "GET", "/me")
    assert (me["now"], me["workday"]) == ("2026-03-02T08:00:00Z", "2026-03-02")
    await identity.call("root@platform", "POST", path, json={"now": "2026-03-02T10:00:00+01:00"})
    await identity.call("boss@sim", "POST", path, 409, json={"now": "2026-03-02T08:59:59Z"})
    await identity.call("boss@sim", "POST", path, 422, json={"now": "2026-03-02T10:00:00"})
    await identity.call("boss@sim", "POST", path, json={"now": "2026-03-02T09:00:00Z"})
    assert identity.published == []
    await identity.call("boss@real", "POST", "/tenants/real/clock", 409, json={"now": "2036-03-02T09:00:00Z"})


async def test_the_platform_is_ensured_only_once(identity):
    from contracts.directory import Login
    from identity.actions import ensure_platform
    from testkit import parse_instant

    for sub in ("root", "second"):
        async with identity.harness.context.sessions.begin(
            ["platform"], now=parse_instant("2026-03-02T09:00Z")
        ) as session:
            await ensure_platform(session, login=Login(iss=ISSUER, sub=sub))
        await identity.deliver_own_events()
        assert len(identity.bodies(PersonChanged)) == (0 if sub == "root" else 1)
    await identity.call("root@platform", "GET", "/me")
    await identity.call("second@platform", "GET", "/tenants")
