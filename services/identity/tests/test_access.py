"""Who sees and who changes what."""

import pytest
from contracts.directory import PersonChanged


async def slugs(identity, who: str, path: str = "/people") -> list[str]:
    return [each["slug"] for each in (await identity.call(who, "GET", path))["items"]]


async def test_each_sees_what_the_own_role_shows(centre):
    assert await slugs(centre, "ada@demo") == ["ada"]
    assert await slugs(centre, "lea@demo") == ["ada", "lea"]
    assert await slugs(centre, "tia@demo") == ["ada", "ben", "boss", "lea", "tia"]
    assert await slugs(centre, "boss@demo") == ["ada", "ben", "boss", "lea", "tia"]
    assert await slugs(centre, "root@platform") == ["admin"]
    assert await slugs(centre, "root@platform", "/people?tenant=demo&role=agent") == ["ada", "ben"]
    assert await slugs(centre, "boss@demo", "/people?org_unit=site-a&text=a") == ["ada", "lea"]
    assert await slugs(centre, "boss@demo", "/people?text=agent-ben") == ["ben"]

    await centre.call("ada@demo", "GET", "/people/ada")
    await centre.call("ada@demo", "GET", "/people/ben", 403)
    await centre.call("ada@demo", "GET", "/people/nobody", 403)
    await centre.call("lea@demo", "GET", "/people/ada")
    await centre.call("lea@demo", "GET", "/people/ben", 403)
    await centre.call("boss@demo", "GET", "/people/nobody", 404)
    assert await slugs(centre, "ada@demo", "/org-units") == ["site-a", "team-1"]
    assert await slugs(centre, "boss@demo", "/org-units") == ["site-a", "site-b", "team-1", "team-2"]
    await centre.call("ada@demo", "GET", "/org-units/team-2", 404)
    await centre.call("boss@demo", "GET", "/org-units/team-2")


@pytest.mark.parametrize("who", ["ada@demo", "lea@demo", "tia@demo"])
async def test_only_administrators_change_anything(centre, who):
    for method, path, body in (
        ("POST", "/people", {"slug": "eve", "display_name": "Eve"}),
        ("PATCH", "/people/ada", {"roles": [{"role": "tenant_admin"}]}),
        ("POST", "/people/import", None),
        ("POST", "/org-units", {"slug": "team-9"}),
        ("PATCH", "/org-units/team-1", {"name": "Mine"}),
        ("PATCH", "/tenants/demo", {"name": "Mine"}),
        ("PUT", "/tenants/demo/blueprint", {"blueprint": "x", "sections": {}}),
        ("POST", "/tenants/demo/clock", {"now": "2026-03-02T08:00:00Z"}),
        ("POST", "/tenants", {"slug": "mine", "name": "Mine"}),
        ("GET", "/tenants/demo", None),
        ("GET", "/tenants", None),
        ("GET", "/tenants/demo/blueprint", None),
        ("GET", "/audit", None),
    ):
        await centre.call(who, method, path, 403, json=body)
        assert centre.published == []


async def test_a_tenant_admin_rules_the_own_tenant_only(centre):
    await centre.tenant("other")
    for method, path in (
        ("GET", "/people?tenant=other"),
        ("GET", "/org-units?tenant=other"),
        ("GET", "/audit?tenant=other"),
        ("GET", "/tenants/other"),
        ("GET", "/tenants"),
        ("GET", "/tenants/other/blueprint"),
        ("GET", "/tenants/nowhere"),
    ):
        await centre.call("boss@demo", method, path, 403)
    await centre.call("boss@demo", "PATCH", "/people/boss?tenant=other", 403, json={"active": False})
    await centre.call("boss@demo", "POST", "/tenants", 403, json={"slug": "third", "name": "Third"})
    await centre.call("boss@demo", "PATCH", "/tenants/demo", 403, json={"active": False})
    await centre.call("boss@demo", "GET", "/people?tenant=demo,other", 422)
    wrong = await centre.call("boss@demo", "PATCH", "/people/ada", 422, json={"roles": [{"role": "platform_admin"}]})
    assert wrong["errors"][0]["pointer"] == "/roles/0/role"


async def test_a_platform_admin_works_in_any_tenant(centre):
    made = await centre.call(
        "root@platform", "POST", "/people?tenant=demo", 201, json={"slug": "eve", "display_name": "Eve"}
    )
    (body,) = centre.bodies(PersonChanged)
    assert (body.slug, centre.published[0][0].tenant) == ("eve", "demo")
    await centre.call("root@platform", "GET", f"/people/{made['id']}?tenant=demo")
    await centre.call("root@platform", "GET", "/people?tenant=nowhere", 404)
    assert await slugs(centre, "root@platform", "/tenants") == ["demo", "platform"]
    assert await slugs(centre, "root@platform", "/tenants?limit=1") == ["demo"]
    assert (await centre.call("root@platform", "GET", "/audit?tenant=demo&thing=person/eve"))["items"][0]["actor"][
        "tenant"
    ] == "platform"


async def test_in_the_platform_tenant_a_tenant_admin_cannot_make_themselves_more(identity):
    spec = {"slug": "tom", "display_name": "Tom", "login": "tom", "roles": [{"role": "tenant_admin"}]}
    await identity.call("root@platform", "POST", "/people", 201, json=spec)
    await identity.call("tom@platform", "PATCH", "/people/tom", 403, json={"roles": [{"role": "platform_admin"}]})
    await identity.call("tom@platform", "GET", "/tenants", 403)


async def test_whoever_is_switched_off_is_out_at_once(centre):
    await centre.call("ada@demo", "GET", "/me")
    await centre.call("boss@demo", "PATCH", "/people/ada", json={"active": False})
    assert [person.active for person in centre.bodies(PersonChanged)] == [False]
    await centre.call("ada@demo", "GET", "/me", 403)
    await centre.call("root@platform", "PATCH", "/tenants/demo", json={"active": False})
    await centre.call("boss@demo", "GET", "/me", 403)
    await centre.call("root@platform", "PATCH", "/tenants/platform", 409, json={"active": False})


async def test_me_says_who_where_and_what(centre):
    me = await centre.call("lea@demo", "GET", "/me")
    assert (me["person"]["slug"], me["tenant"]["slug"], me["sees_everyone"]) == ("lea", "demo", False)
    assert me["roles"] == [{"role": "team_lead", "org_unit": "team-1", "valid_from": None, "valid_until": None}]
    assert [unit["org_path"] for unit in me["org_units"]] == ["Site A", "Site A/Team 1"]
    assert me["tenant"]["time_zone"] == "Europe/Berlin"


async def test_two_tenants_may_use_the_same_slugs_and_ids(centre, section):
    await centre.tenant("twin")
    await centre.put("twin", section)
    await centre.call("boss@twin", "PATCH", "/people/ada", json={"display_name": "Other Ada"})
    await centre.call("boss@twin", "PATCH", "/org-units/team-1", json={"name": "Other Team"})
    mine = await centre.call("boss@demo", "GET", "/people/ada")
    theirs = await centre.call("boss@twin", "GET", "/people/ada")
    assert (mine["display_name"], theirs["display_name"]) == ("Ada", "Other Ada")
    assert mine["id"] != theirs["id"]
    await centre.call("boss@demo", "GET", f"/people/{theirs['id']}", 404)
    assert (await centre.call("boss@demo", "GET", "/org-units/team-1"))["name"] == "Team 1"
    subjects = {each["actor"]["tenant"] for each in (await centre.call("boss@demo", "GET", "/audit"))["items"]}
    assert subjects == {"platform", "demo"}


async def test_no_token_no_entry(identity):
    for path in ("/me", "/people", "/org-units", "/tenants", "/audit"):
        assert (await identity.harness.client(None).get(path)).status_code == 401


async def test_an_idempotency_key_holds_in_another_tenant_too(centre):
    headers = {"idempotency-key": "once"}
    spec = {"slug": "eve", "display_name": "Eve"}
    first = await centre.call("root@platform", "POST", "/people?tenant=demo", 201, json=spec, headers=headers)
    assert await centre.call("root@platform", "POST", "/people?tenant=demo", 201, json=spec, headers=headers) == first
    assert centre.published == []


async def test_odd_references_are_answered(centre):
    await centre.call("boss@demo", "GET", "/people/%00", 404)
    await centre.call("boss@demo", "GET", "/org-units/%00", 404)
    await centre.call("boss@demo", "GET", "/people?text=%00", 422)
    await centre.call("boss@demo", "GET", "/audit?thing=%00", 422)
    await centre.call("boss@demo", "PATCH", "/people/ada", 422, json={"display_name": None})
    paths = (await centre.call("boss@demo", "GET", "/openapi.json"))["paths"]
    assert "text/csv" in paths["/people/import"]["post"]["requestBody"]["content"]
