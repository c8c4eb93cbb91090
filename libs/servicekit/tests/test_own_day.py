"""The day it is for somebody: of the site where they work, with its clock and the tenant's start of day; in SQL as in Python."""

import random
from datetime import date, timedelta
from typing import Any

import pytest
from contracts.directory import Membership, RoleGrant
from servicekit import directory
from servicekit.workdays import workday_in_periods_sql, workday_sql
from testkit import Harness, org_unit, parse_instant, person, person_id, unit_id
from testkit import tenant as tenant_of

UNITS = [
    org_unit("berlin", kind="site"),
    org_unit("new-york", kind="site", time_zone="America/New_York"),
    org_unit("night", parent="new-york"),
    org_unit("shanghai", kind="site", time_zone="Asia/Shanghai"),
]
MORNING = parse_instant(
    "2026-11-05T07:30Z"
)  # 08:30 in Berlin on the fifth; 02:30 in New York, where it is still the fourth


def day(number: int) -> date:
    return date(2026, 11, 1) + timedelta(days=number)


async def told(notes: Harness, *people: Any) -> None:
    of_tenant = tenant_of("own", time_zone="Europe/Berlin", day_start_minutes=240)
    await notes.apply_directory("own", of_tenant=of_tenant, org_units=UNITS, people=people)


async def test_sql_counts_days_as_python_does(own_notes: Harness) -> None:
    """Also around moves, and with memberships that overlap or end."""
    drawn = random.Random(7)
    people = []
    for number in range(40):
        held = []
        for _ in range(drawn.randint(0, 3)):
            since, until = drawn.randint(0, 8), drawn.choice([None, *range(9)])
            unit = drawn.choice([each.slug for each in UNITS])
            held.append(
                Membership(
                    org_unit_id=unit_id(unit),
                    valid_from=drawn.choice([None, day(since)]),
                    valid_until=None if until is None else day(until),
                )
            )
        people.append(person(f"mover-{number}").model_copy(update={"memberships": held}))
    await told(own_notes, *people)
    instants = [
        parse_instant("2026-11-01T00:00Z") + timedelta(minutes=drawn.randint(0, 9 * 24 * 60)) for _ in range(30)
    ]
    async with own_notes.context.sessions.begin(["own"], now=MORNING) as session:
        workdays = await directory.load_workdays(session)
        rows = await session.tuples(
            f"SELECT p.id, i.at, {directory.workday('p.id', 'i.at')} FROM directory_person p, "
            "unnest(cast(:instants AS timestamptz[])) AS i (at) WHERE p.tenant = :tenant",
            {"tenant": "own", "instants": instants},
        )
        assert len(rows) >= 40 * 30
        assert [row for row in rows if row[2] != workdays.workday_of(row[0], row[1])] == []
        periods = workdays.list_periods()
        start = f"make_interval(mins => {workdays.day_start_minutes})"
        of_person = "(SELECT first, following, zone FROM known WHERE known.id = d.id) AS period"
        rows = await session.tuples(
            "WITH known AS (SELECT * FROM unnest(cast(:people AS uuid[]), cast(:firsts AS date[]), "
            "cast(:next_firsts AS date[]), cast(:zones AS text[])) AS k (id, first, following, zone)) "
            f"SELECT d.id, i.at, {workday_in_periods_sql('i.at', of_person, start)} FROM (SELECT DISTINCT id FROM known) d, "
            "unnest(cast(:instants AS timestamptz[])) AS i (at)",
            {
                "people": [each[0] for each in periods],
                "firsts": [each[1] for each in periods],
                "next_firsts": [each[2] for each in periods],
                "zones": [each[3] for each in periods],
                "instants": instants,
            },
        )
        assert len(rows) > 10 * 30
        assert [row for row in rows if row[2] != workdays.workday_of(row[0], row[1])] == []
        rows = await session.tuples(
            f"SELECT i.at, {workday_sql('i.at', ':zone', start)} FROM unnest(cast(:instants AS timestamptz[])) AS i (at)",
            {"zone": str(workdays.zone), "instants": instants},
        )
        assert [row for row in rows if row[1] != workdays.workday_of(None, row[0])] == []


async def test_it_is_still_yesterday_for_an_agent_in_new_york(own_notes: Harness) -> None:
    """A role that ends, and a membership that begins, on the fifth: for her it is the fourth, for him it is the fifth."""
    ending = [RoleGrant(role="trainer", valid_until=date(2026, 11, 5))]
    new = Membership(org_unit_id=unit_id("night"), valid_from=date(2026, 11, 5))
    amy = person("amy", team="new-york").model_copy(update={"roles": ending})
    max_ = person("max", team="berlin").model_copy(update={"roles": ending})
    nora = person("nora", team="new-york")
    nora = nora.model_copy(update={"memberships": [*nora.memberships, new]})
    await told(own_notes, amy, max_, nora, person("lea", roles=[("team_lead", "night")], team="berlin"))
    async with own_notes.context.sessions.begin(["own"], now=MORNING) as session:
        assert await directory.today_of(session, person_id("amy")) == date(2026, 11, 4)
        assert await directory.today_of(session, person_id("max")) == date(2026, 11, 5)
        assert await directory.today_of(session, None) == date(2026, 11, 5)
        assert await directory.find_members(session, unit_id("night")) == set(), "it is the fifth in Berlin only"
        session.now = parse_instant("2026-11-05T09:00Z")
        assert await directory.find_members(session, unit_id("night")) == {person_id("nora")}


@pytest.mark.parametrize(
    ("clock", "who", "today", "roles"),
    [
        ("2026-11-05T07:30Z", "amy", "2026-11-04", ["trainer"]),
        ("2026-11-05T07:30Z", "max", "2026-11-05", []),
        ("2026-11-05T02:30Z", "max", "2026-11-04", ["trainer"]),  # 03:30 in Berlin: the day has not begun
        ("2026-11-05T09:00Z", "amy", "2026-11-05", []),
    ],
)
async def test_a_caller_has_the_roles_of_the_callers_own_day(
    own_notes: Harness, clock: str, who: str, today: str, roles: list[str]
) -> None:
    ending = [RoleGrant(role="trainer", valid_until=date(2026, 11, 5))]
    people = [
        person(slug, team=team).model_copy(update={"roles": ending})
        for slug, team in (("amy", "new-york"), ("max", "berlin"))
    ]
    of_tenant = tenant_of(
        "own", time_zone="Europe/Berlin", day_start_minutes=240, simulated=True, clock=parse_instant(clock), version=2
    )
    await own_notes.apply_directory("own", of_tenant=of_tenant, org_units=UNITS, people=people)
    me = (await own_notes.client_as(who, "own").get("/me")).json()
    assert (me["today"], me["roles"]) == (today, roles)
