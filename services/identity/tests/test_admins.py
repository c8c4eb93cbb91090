"""A tenant's last administrator stays, whichever way is tried; and so does the platform's."""

from typing import Any
from uuid import UUID

import pytest
from identity.actions.desired_state import ACCOUNT, set_desired
from identity.store import desired_resources, directory
from testkit import parse_instant

Centre = Any
NOW = parse_instant("2026-03-02T08:00Z")
ADMIN = {"role": "tenant_admin"}
LAST: dict[str, dict[str, Any]] = {
    "switched off": {"active": False},
    "role removed": {"roles": []},
    "another role instead": {"roles": [{"role": "trainer"}]},
    "ended today": {"roles": [{**ADMIN, "valid_until": "2026-03-03"}]},
    "ends one day": {"roles": [{**ADMIN, "valid_until": "2127-01-01"}]},
    "begins one day": {"roles": [{**ADMIN, "valid_from": "2127-01-01"}]},
    "a machine": {"kind": "machine"},
    "without a login": {"logins": []},
}


async def refused(centre: Centre, who: str, method: str, path: str, **arguments: Any) -> None:
    answer = await centre.call(who, method, path, 409, **arguments)
    assert answer["type"].endswith("last-admin"), answer
    assert "would be left without" in answer["detail"]


@pytest.mark.parametrize("change", LAST.values(), ids=LAST)
async def test_the_last_admin_stays_by_patch_and_by_blueprint(centre: Centre, change: dict[str, Any]) -> None:
    await refused(centre, "boss@demo", "PATCH", "/people/boss", json=change)
    await refused(centre, "root@platform", "PATCH", "/people/boss?tenant=demo", json=change)
    bundle = {"blueprint": "b", "sections": {"identity": {"people": [{"slug": "boss", **change}]}}}
    await refused(centre, "boss@demo", "PUT", "/tenants/demo/blueprint?dry_run=true", json=bundle)
    await refused(centre, "boss@demo", "PUT", "/tenants/demo/blueprint", json=bundle)
    assert (await centre.call("boss@demo", "GET", "/me"))["roles"] == [{**ADMIN, "org_unit": None, **DATES}]


DATES = {"valid_from": None, "valid_until": None}


@pytest.mark.parametrize("column", ["active,no", "roles,trainer", "kind,machine"])
@pytest.mark.parametrize("dry", ["", "?dry_run=true"])
async def test_the_last_admin_stays_by_import(centre: Centre, column: str, dry: str) -> None:
    name, value = column.split(",")
    sheet = f"slug,{name}\nboss,{value}\n"
    await refused(
        centre, "boss@demo", "POST", f"/people/import{dry}", content=sheet, headers={"content-type": "text/csv"}
    )


async def test_the_last_admins_account_is_not_closed(centre: Centre) -> None:
    boss = (await centre.call("boss@demo", "GET", "/people/boss"))["id"]
    account = {"username": "boss", "email": None, "existing": False, "open": True}
    async with centre.harness.context.sessions.begin(["demo"], now=NOW) as session:
        await set_desired(session, ACCOUNT, boss, account)
    await refused(centre, "boss@demo", "DELETE", "/people/boss/account")
    await centre.call("boss@demo", "PATCH", "/people/tia", json={"roles": [ADMIN]})
    await centre.call("boss@demo", "DELETE", "/people/boss/account")
    async with centre.harness.context.sessions.begin(["demo"], now=NOW) as session:
        tia = str(next(iter((await directory.load_admins(session, "tenant_admin")).keys() - {UUID(boss)})))
        await set_desired(session, ACCOUNT, tia, {**account, "username": "tia", "existing": True})
    await refused(centre, "tia@demo", "DELETE", "/people/tia/account")
    # tia is the only one who can still sign in
    await refused(centre, "tia@demo", "PATCH", "/people/tia", json={"active": False})
    # The platform, which let her in from another tenant, may let her out.
    await centre.call("root@platform", "DELETE", "/people/tia/account?tenant=demo")


async def test_one_admin_may_follow_another(centre: Centre) -> None:
    ends, begins = {**ADMIN, "valid_until": "2126-06-01"}, {**ADMIN, "valid_from": "2126-06-01"}
    late = {**ADMIN, "valid_from": "2126-06-02"}
    await centre.call("boss@demo", "PATCH", "/people/tia", json={"roles": [late]})
    await refused(centre, "boss@demo", "PATCH", "/people/boss", json={"roles": [ends]})
    await centre.call("boss@demo", "PATCH", "/people/tia", json={"roles": [begins]})
    await centre.call("boss@demo", "PATCH", "/people/boss", json={"roles": [ends]})
    await refused(centre, "boss@demo", "PATCH", "/people/tia", json={"active": False})


async def test_of_two_admins_who_switch_each_other_off_one_stays(centre: Centre) -> None:
    await centre.call("boss@demo", "PATCH", "/people/tia", json={"roles": [ADMIN]})
    await centre.call("boss@demo", "PATCH", "/people/tia", json={"active": False})
    await refused(centre, "boss@demo", "PATCH", "/people/boss", json={"active": False})


async def test_the_platforms_last_admin_stays(identity: Any) -> None:
    await refused(identity, "root@platform", "PATCH", "/people/admin", json={"active": False})
    await refused(identity, "root@platform", "PATCH", "/people/admin", json={"roles": []})


async def test_a_login_or_address_of_one_person_is_refused_to_others(centre: Centre) -> None:
    ada, ben = [(await centre.call("boss@demo", "GET", f"/people/{slug}"))["id"] for slug in ("ada", "ben")]
    await centre.call("boss@demo", "PATCH", "/people/ada", json={"email": "ada@example.org"})
    async with centre.harness.context.sessions.begin(["demo"], now=NOW) as session:
        for person, name in ((ada, "ada"), (ben, "ben")):
            await set_desired(
                session, ACCOUNT, person, {"username": name, "email": None, "existing": False, "open": True}
            )
            await desired_resources.mark_applied(session, ACCOUNT, person, at=NOW, sub=f"{name}-at-provider")
    taken = {"logins": ["lea", "ada-at-provider"]}
    answer = await centre.call("boss@demo", "PATCH", "/people/lea", 422, json=taken)
    assert answer["errors"][0]["pointer"] == "/logins/1"
    answer = await centre.call("boss@demo", "PATCH", "/people/ben", 422, json={"email": "Ada@example.org"})
    assert answer["errors"][0]["pointer"] == "/email"
    section = {"people": [{"slug": "lea", **taken}]}
    answer = await centre.put("demo", section, 422)
    assert answer["errors"][0]["pointer"] == "/sections/identity/people/0/logins/1"
    sheet = "slug,login,email\nlea,ada-at-provider,\nben,,ada@example.org\ntia,,tia@example.org\n"
    report = await centre.call(
        "boss@demo", "POST", "/people/import", content=sheet, headers={"content-type": "text/csv"}
    )
    assert [each["field"] for each in report["rejected"]] == ["login", "email"]
    assert [each["slug"] for each in report["changed"]] == ["tia"]
