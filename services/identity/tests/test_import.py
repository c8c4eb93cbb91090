"""People from a spreadsheet."""

import time

from contracts.directory import OrgUnitChanged, PersonChanged

HEAD = "display_name,email,org_path,external_id:connect,hire_date,roles,login"
GOOD = f"""{HEAD}
Cleo Cane,cleo@example.org,Site A/Team 3,agent-cleo,2026-01-05,agent,cleo
Dan Dorn,dan@example.org,Site A/Team 3,agent-dan,2025-06-01,agent|team_lead,dan
Li Na,li@example.org,上海/一组,agent-li,,agent,
"""


async def send(centre, text: str | bytes, query: str = "", expect: int = 200):
    data = text.encode() if isinstance(text, str) else text
    return await centre.call(
        "boss@demo", "POST", f"/people/import{query}", expect, content=data, headers={"content-type": "text/csv"}
    )


async def test_a_file_makes_people_and_units_and_again_nothing(centre):
    dry = await send(centre, GOOD, "?dry_run=true")
    assert centre.published == []
    report = await send(centre, GOOD)
    assert {**dry, "dry_run": False} == report
    assert [each["slug"] for each in report["created"]] == ["cleo", "dan", "li"]
    assert report["org_units_created"] == ["Site A/Team 3", "上海", "上海/一组"]
    assert (report["rejected"], report["ignored_columns"], report["lines"]) == ([], [], 3)
    units = {unit.name: unit for unit in centre.bodies(OrgUnitChanged)}
    people = {person.slug: person for person in centre.bodies(PersonChanged)}
    assert (len(units), len(people)) == (3, 3)
    assert [(grant.role, grant.org_unit_id) for grant in people["dan"].roles] == [
        ("agent", units["Team 3"].id),
        ("team_lead", units["Team 3"].id),
    ]
    assert people["cleo"].attributes[0].value == "2026-01-05"
    assert people["li"].memberships[0].org_unit_id == units["一组"].id
    seen = await centre.call("dan@demo", "GET", "/people")
    assert [each["slug"] for each in seen["items"]] == ["cleo", "dan"]

    again = await send(centre, GOOD)
    assert (again["unchanged"], again["created"], again["changed"], centre.published) == (3, [], [], [])


async def test_each_bad_line_is_rejected_and_sinks_no_other(centre):
    lines = [
        "slug,display_name,email,org_path,external_id:connect,hire_date,roles,login,language,active",
        "ok1,Fine,,,,,,,,",  # 2
        ",,,,,,,,,",
        ",No Name At All,,,,,,,,",
        "fresh,,,,,,,,,",
        "bad-date,B,,,,2026-02-30,,,,",
        "bad-role,B,,,,,boss,,,",
        "bad-mail,B,nowhere,,,,,,,",
        "taken-id,B,,,agent-ada,,,,,",
        "taken-login,B,,,,,,ada,,",
        "lead,B,,,,,team_lead,,,",
        "plat,B,,,,,platform_admin,,,",
        "BAD SLUG,B,,,,,,,,",
        "ok1,Twice,,,,,,,,",
        "lang,B,,,,,,,?!,",
        "act,B,,,,,,,,maybe",
        "many,B,,,,,,,,,,surplus",
        "nul,B\x00,,,,,,,,",
        "ghost,B,,New Place/Empty,agent-ada,,,,,",
        'ok2,"Fine, too",,Site A/Team 1,,05.01.2026,,,,yes',
    ]
    report = await send(centre, "\n".join(lines))
    assert [each["slug"] for each in report["created"]] == ["ok1", "ok2"]
    by_line = {each["line"]: each for each in report["rejected"]}
    assert {line: each["field"] for line, each in by_line.items()} == {
        4: "slug",
        5: "display_name",
        6: "hire_date",
        7: "roles",
        8: "email",
        9: "external_id:connect",
        10: "login",
        11: "roles",
        12: "roles",
        13: "slug",
        14: "slug",
        15: "language",
        16: "active",
        17: "",
        18: "display_name",
        19: "external_id:connect",
    }
    assert all(each["reason"] and each["cure"] for each in by_line.values())
    assert by_line[9]["value"] == "agent-ada"
    assert report["org_units_created"] == []
    assert report["lines"] == len(report["created"]) + len(report["rejected"])
    assert {person.slug for person in centre.bodies(PersonChanged)} == {"ok1", "ok2"}


async def test_bom_semicolons_latin_1_and_forms(centre):
    text = "Name;E-Mail;Org_Path;Shoe size\nJörg Große;joerg@example.org;Site A;44\n"
    for data in (b"\xef\xbb\xbf" + text.encode(), text.encode("cp1252"), text.encode("utf-16")):
        report = await send(centre, data)
        assert (len(report["created"]) + report["unchanged"], report["rejected"]) == (1, [])
        assert [each["column"] for each in report["ignored_columns"]] == ["Shoe size"]
    file = {"file": ("people.csv", text.encode(), "text/csv")}
    report = await centre.call("boss@demo", "POST", "/people/import", files=file)
    assert report["unchanged"] == 1
    assert (await centre.call("boss@demo", "GET", "/people/joerg"))["display_name"] == "Jörg Große"
    for bad in ("", "colour,size\nred,4\n", "slug,slug\na,b\n"):
        problem = await send(centre, bad, expect=422)
        assert problem["errors"][0]["cure"]


async def test_a_move_ends_the_old_membership_and_begins_the_new_on_its_day(centre):
    report = await send(centre, "slug,org_path,roles,since\nada,Site A/Team 2,agent,2026-04-01\n")
    assert report["changed"] == [{"line": 2, "slug": "ada", "fields": ["memberships", "roles"]}]
    ada = await centre.call("boss@demo", "GET", "/people/ada")
    assert ada["memberships"] == [
        {"org_unit": "team-1", "valid_from": "2026-01-05", "valid_until": "2026-04-01"},
        {"org_unit": "team-2", "valid_from": "2026-04-01", "valid_until": None},
    ]
    assert [(each["org_unit"], each["valid_from"], each["valid_until"]) for each in ada["roles"]] == [
        (None, None, "2026-04-01"),
        ("team-2", "2026-04-01", None),
    ]
    assert (await send(centre, "slug,org_path,roles,since\nada,Site A/Team 2,agent,2026-04-01\n"))["unchanged"] == 1


async def test_a_person_is_found_by_external_id_and_changed_values_keep_their_history(centre):
    text = "external_id:connect,display_name,attribute:skill,login\nagent-ada,Ada Abel,billing|claims,ada.abel\n"
    report = await send(centre, text)
    assert report["changed"][0]["fields"] == ["attributes", "display_name", "logins"]
    await send(centre, "slug,external_id:connect\nada,agent-007\n")
    ada = await centre.call("boss@demo", "GET", "/people/ada")
    assert [each["value"] for each in ada["attributes"]] == ["billing", "claims"]
    old, new = ada["external_ids"]
    assert (old["external_id"], old["valid_from"]) == ("agent-ada", None)
    assert old["valid_until"] is not None
    assert (new["external_id"], new["valid_from"], new["valid_until"]) == ("agent-007", None, None)
    # Back again: the past stays as it was.
    await send(centre, "slug,external_id:connect\nada,agent-ada\n")
    assert (await send(centre, "slug,external_id:connect\nada,agent-ada\n"))["unchanged"] == 1


async def test_five_thousand_people_in_seconds(centre):
    lines = [HEAD]
    lines += [f"P {n},p{n}@example.org,Site {n % 20}/Team {n % 250},v-{n},2026-01-05,agent,p{n}" for n in range(5000)]
    text = "\n".join(lines)
    response = await centre.client("boss@demo").post("/people/import", content=text)
    assert response.status_code == 200, response.text
    report = response.json()
    assert (len(report["created"]), report["rejected"]) == (5000, [])
    began = time.monotonic()
    response = await centre.client("boss@demo").post("/people/import", content=text)
    assert response.json()["unchanged"] == 5000
    assert time.monotonic() - began < 30
    events = await centre.harness.read_events(PersonChanged)
    assert len(events) == 5000


async def test_a_file_that_is_too_large_is_refused(centre):
    settings = centre.harness.running.parts.state
    settings.upload_bytes = 1000
    await send(centre, "slug,display_name\n" + "x" * 2000, expect=413)
    await send(centre, "slug,display_name\n" + "x" * 200_000, expect=413)
