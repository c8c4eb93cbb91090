"""Who a token's subject is, what they may do and whom they may see: as the copy of the directory says now."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from contracts.directory import Login, PersonChanged, RoleGrant
from messaging.broker import TopicPartition
from messaging.consumer import OffsetStep
from servicekit.directory import find_members, find_org_unit, find_person, find_team_leads, load_org_units, load_people
from servicekit.errors import NotFound
from testkit import ISSUER, Harness, org_unit, parse_instant, person, person_id, tenant, unit_id

DAY = date(2026, 3, 2)


async def status(notes: Harness, who: str, of_tenant: str = "acme") -> tuple[int, str]:
    answer = await notes.client_as(who, of_tenant).get("/me")
    return answer.status_code, answer.json().get("type", "").rpartition(":")[2]


async def test_unknown_people_and_tenants_are_refused(notes: Harness) -> None:
    assert await status(notes, "nobody") == (403, "unknown-here")
    assert await status(notes, "ada", "zeta") == (403, "unknown-here")
    assert await status(notes, "ada", "no-such-tenant") == (403, "unknown-here")


async def test_the_same_subject_of_another_issuer_is_somebody_else(own_notes: Harness) -> None:
    stranger = person("ada").model_copy(update={"logins": [Login(iss="https://other.test", sub="ada")]})
    await own_notes.apply_directory("acme", people=[stranger])
    assert await status(own_notes, "ada") == (403, "unknown-here")


async def test_switching_a_person_off_works_at_once(own_notes: Harness) -> None:
    client = own_notes.client_as("ada", "acme")
    assert (await client.get("/me")).status_code == 200
    await own_notes.apply_directory("acme", people=[person("ada", active=False)])
    answer = await client.get("/me")
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:uplift:problem:person-off")
    await own_notes.apply_directory("acme", people=[person("ada")])
    assert (await client.get("/me")).status_code == 200


async def test_switching_a_tenant_off_works_at_once_and_leaves_others_alone(own_notes: Harness) -> None:
    await own_notes.apply_directory("acme", of_tenant=tenant("acme", active=False))
    assert await status(own_notes, "ada") == (403, "tenant-off")
    assert await status(own_notes, "root") == (403, "tenant-off")
    assert await status(own_notes, "zoe", "zeta") == (200, "")


async def test_an_erased_person_is_gone_with_every_trace(own_notes: Harness) -> None:
    own = own_notes
    message = own.message(person("ada", external={"crm": "a-1"}, team="blue"), tenant="acme")
    door = own.running.doors["directory"]
    partition = TopicPartition("directory", 0)
    expected = await door.load_next_offset("test", partition)
    await door.apply([replace(message, value=None)], [OffsetStep("test", partition, expected, expected + 1)])
    assert await status(own, "ada") == (403, "unknown-here")
    for table, column in (
        ("directory_person", "id"),
        ("directory_login", "person_id"),
        ("directory_membership", "person_id"),
        ("directory_external_id", "person_id"),
    ):
        rows = await own.rows("acme", f"SELECT 1 FROM {table} WHERE {column} = :id", id=person_id("ada"))
        assert rows == [], table


async def test_a_login_that_moves_goes_to_who_has_it_now_in_either_order(own_notes: Harness) -> None:
    def with_login(slug: str, *subs: str) -> PersonChanged:
        return person(slug).model_copy(update={"logins": [Login(iss=ISSUER, sub=sub) for sub in subs]})

    await own_notes.apply_directory("acme", people=[with_login("ben", "ben", "ada"), with_login("ada", "ada2")])
    assert (await own_notes.client_as("ada", "acme").get("/me")).json()["slug"] == "ben"
    await own_notes.apply_directory("acme", people=[with_login("ben", "ben"), with_login("ada", "ada", "ada2")])
    assert (await own_notes.client_as("ada", "acme").get("/me")).json()["slug"] == "ada"


# Roles


def granted(*grants: RoleGrant) -> PersonChanged:
    return person("ada", team="blue").model_copy(update={"roles": list(grants)})


async def roles_on(notes: Harness, clock: str, *grants: RoleGrant, **of_tenant: Any) -> list[str]:
    simulated = tenant("acme", simulated=True, clock=parse_instant(clock), **of_tenant)
    await notes.apply_directory("acme", of_tenant=simulated, people=[granted(*grants)])
    answer = (await notes.client_as("ada", "acme").get("/me")).json()
    assert parse_instant(answer["now"]) == parse_instant(clock), "a simulated tenant lives by its own clock"
    return answer["roles"]


async def test_roles_hold_from_their_first_day_up_to_their_last(own_notes: Harness) -> None:
    always = RoleGrant(role="agent")
    lead = RoleGrant(role="team_lead", org_unit_id=unit_id("red"), valid_from=DAY, valid_until=DAY + timedelta(days=2))
    assert await roles_on(own_notes, "2026-03-01T23:59Z", always, lead) == ["agent"]
    assert await roles_on(own_notes, "2026-03-02T00:00Z", always, lead) == ["agent", "team_lead"]
    assert await roles_on(own_notes, "2026-03-03T23:59Z", always, lead) == ["agent", "team_lead"]
    assert await roles_on(own_notes, "2026-03-04T00:00Z", always, lead) == ["agent"]


async def test_the_day_is_the_tenants_not_greenwichs(own_notes: Harness) -> None:
    lead = RoleGrant(role="team_lead", org_unit_id=unit_id("red"), valid_from=DAY)
    assert await roles_on(own_notes, "2026-03-01T16:30Z", lead, time_zone="Asia/Shanghai") == ["team_lead"]
    assert await roles_on(own_notes, "2026-03-02T02:00Z", lead, time_zone="America/New_York") == []


async def test_a_role_that_is_needed_and_missing_is_forbidden(notes: Harness) -> None:
    answer = await notes.client_as("sue", "acme").post("/notes", json={"text": "x"})
    assert (answer.status_code, answer.json()["type"]) == (403, "urn:uplift:problem:role-needed")


# Who sees whom


async def visible(notes: Harness, who: str) -> set[str] | None:
    found = (await notes.client_as(who, "acme").get("/visible")).json()
    names = {str(person_id(slug)): slug for slug in ("ada", "ben", "lea", "sue", "root", "max")}
    return None if found is None else {names[each] for each in found}


async def test_visibility_follows_the_org_chart(notes: Harness) -> None:
    assert await visible(notes, "ada") == {"ada"}
    assert await visible(notes, "lea") == {"ada", "lea"}
    assert await visible(notes, "sue") == {"ada", "ben", "lea", "sue"}
    assert await visible(notes, "root") is None


async def test_other_teams_are_forbidden_one_by_one(notes: Harness) -> None:
    def asked(who: str, of: str) -> Any:
        return notes.client_as(who, "acme").get(f"/agents/{person_id(of)}")

    assert (await asked("lea", "ada")).status_code == 200
    assert (await asked("lea", "ben")).status_code == 403
    assert (await asked("ada", "lea")).status_code == 403
    assert (await asked("sue", "ben")).status_code == 200
    assert (await asked("root", "ben")).status_code == 200


async def test_what_each_role_sees(own_notes: Harness) -> None:
    everyone, only = None, set[str]()
    cases: list[tuple[str, str | None, set[str] | None]] = [
        ("trainer", None, everyone),
        ("quality_analyst", None, everyone),
        ("integration", None, everyone),
        ("tenant_admin", None, everyone),
        ("trainer", "red", {"ben"}),
        ("quality_analyst", "red", {"ben"}),
        ("team_lead", None, only),
        ("agent", "red", only),
        ("platform_admin", None, only),
    ]
    for role, unit, sees in cases:
        await own_notes.apply_directory("acme", people=[person("max", roles=[(role, unit) if unit else role])])
        assert await visible(own_notes, "max") == (None if sees is None else sees | {"max"}), (role, unit)


async def test_a_lead_follows_those_who_move_between_teams(own_notes: Harness) -> None:
    await own_notes.apply_directory("acme", people=[person("ada", team="red"), person("ben", team="blue")])
    assert await visible(own_notes, "lea") == {"ben", "lea"}


async def test_a_team_that_moves_in_the_tree_takes_its_people_along(own_notes: Harness) -> None:
    await own_notes.apply_directory("acme", org_units=[org_unit("red")])
    assert await visible(own_notes, "sue") == {"ada", "lea", "sue"}


async def test_questions_to_the_copy(notes: Harness) -> None:
    async with notes.context.sessions.begin(["acme"], now=notes.now) as session:
        assert await find_team_leads(session, person_id("ada"), DAY) == {person_id("lea"), person_id("sue")}
        assert await find_team_leads(session, person_id("lea"), DAY) == {person_id("sue")}, "nobody leads themselves"
        assert await find_team_leads(session, person_id("ben"), DAY) == {person_id("sue")}
        assert await find_members(session, unit_id("blue"), DAY) == {person_id("ada"), person_id("lea")}
        assert await find_members(session, unit_id("nowhere"), DAY) == set()
        assert (await find_person(session, "ada")).id == person_id("ada")
        assert (await find_person(session, str(person_id("ada")))).slug == "ada"
        assert (await find_org_unit(session, "blue")).id == unit_id("blue")
        assert set(await load_people(session, [person_id("ada"), person_id("zoe")])) == {person_id("ada")}
        assert len(await load_people(session)) == 5
        assert set(await load_org_units(session)) == {unit_id("floor"), unit_id("blue"), unit_id("red")}
        for ask in (
            find_person(session, "zoe"),
            find_person(session, str(person_id("zoe"))),
            find_org_unit(session, "x"),
        ):
            with pytest.raises(NotFound):
                await ask


async def test_membership_ends_with_its_last_day(own_notes: Harness) -> None:
    moved = person("ada", team="blue", since=DAY)
    ends = moved.memberships[0].model_copy(update={"valid_until": DAY + timedelta(days=1)})
    await own_notes.apply_directory("acme", people=[moved.model_copy(update={"memberships": [ends]})])
    async with own_notes.context.sessions.begin(["acme"], now=own_notes.now) as session:
        for day, there in ((-1, False), (0, True), (1, False)):
            found = await find_members(session, unit_id("blue"), DAY + timedelta(days=day))
            assert (person_id("ada") in found) == there, day
