"""An agent's workday is that of the agent's site. When names, memberships or time zones are corrected later, the legs and
states follow, in any order of events."""

import asyncio
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from contracts import Event
from contracts.directory import ExternalId, Membership, PersonChanged, TenantChanged
from contracts.legs import AgentStateChanged, LegRecorded
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ingest.actions import directory_changes
from ingest.service import service
from ingest_records import agent_event, configure_source, contact
from servicekit.workdays import LAST_DAY, Workdays, build_zone_periods, zone_of
from testkit import Harness, org_unit, parse_instant, person, person_id, tenant, unit_id
from testkit.harness import harness

FIFTH, FOURTH = date(2026, 11, 5), date(2026, 11, 4)
RECORDS = "/sources/connect/records"
BERLIN = tenant("t1", time_zone="Europe/Berlin", day_start_minutes=240)
SITES = [
    org_unit("new-york", kind="site", time_zone="America/New_York"),
    org_unit("shanghai", kind="site", time_zone="Asia/Shanghai"),
    org_unit("days", parent="new-york"),
]
THEO = person("theo", roles=["tenant_admin", "integration"])
Dated = tuple[str, date | None, date | None]


def someone(slug: str, *, ids: Sequence[Dated] = (), units: Sequence[Dated] = ()) -> PersonChanged:
    names = [ExternalId(source="connect", external_id=name, valid_from=a, valid_until=b) for name, a, b in ids]
    memberships = [Membership(org_unit_id=unit_id(unit), valid_from=a, valid_until=b) for unit, a, b in units]
    return person(slug).model_copy(update={"external_ids": names, "memberships": memberships})


def call(name: str, agent: str | None, instant: str) -> dict[str, Any]:
    began = parse_instant(instant)
    end = (began + timedelta(minutes=5)).isoformat()
    record = contact(
        name, agent, InitiationTimestamp=began.isoformat(), ConnectedToSystemTimestamp=began.isoformat(),
        DisconnectTimestamp=end, LastUpdateTimestamp=end,
    )  # fmt: skip
    record["Queue"] = {"Name": "Billing", "Duration": 12}
    if record["Agent"]:
        record["Agent"] |= {"ConnectedToAgentTimestamp": began.isoformat(), "ARN": f"arn/agent/{agent}"}
        del record["Agent"]["AfterContactWorkStartTimestamp"], record["Agent"]["AfterContactWorkEndTimestamp"]
    return record


@pytest.fixture
async def ingest(harness_for) -> Harness:
    h: Harness = await harness_for(service)
    h.now = parse_instant("2026-11-10T00:00Z")
    await h.apply_directory("t1", people=[THEO], org_units=SITES, of_tenant=BERLIN)
    await configure_source(h, "t1")
    return h


async def take(h: Harness, *records: dict[str, Any]) -> None:
    answer = await h.client_as("theo", "t1").post(RECORDS, json=list(records))
    assert answer.status_code == 200, answer.text
    assert answer.json()["rejected"] == 0, answer.json()


async def facts(h: Harness) -> dict[str, tuple[UUID | None, date]]:
    """What stands, by call: the agent and the workday."""
    newest = {leg.external_id: leg for leg in await h.read_events(LegRecorded)}
    return {name: (leg.agent_id, leg.workday) for name, leg in sorted(newest.items()) if not leg.void}


async def test_a_name_means_the_person_who_has_it_on_the_workday_of_the_site(ingest: Harness) -> None:
    await ingest.apply_directory(
        "t1",
        people=[
            someone("amy", ids=[("desk", None, FIFTH)], units=[("days", None, None)]),
            someone("bob", ids=[("desk", FIFTH, None)], units=[("days", None, None)]),
            someone("lin", ids=[("lin", FIFTH, None)], units=[("shanghai", FIFTH, None)]),
        ],
        of_tenant=BERLIN,
    )
    await take(
        ingest,
        call("c-1", "desk", "2026-11-05T01:00:00Z"),  # 20:00 on the fourth in New York
        call("c-2", "desk", "2026-11-05T09:00:00Z"),
        call("c-3", "lin", "2026-11-04T21:00:00Z"),  # 05:00 on the fifth in Shanghai
        call("c-4", "lin", "2026-11-04T20:30:00Z"),
        call("c-5", "lin", "2026-11-04T19:30:00Z"),  # 03:30: the fourth, and nobody of that name
    )
    found = await facts(ingest)
    assert {name: found[name] for name in ("c-1", "c-2", "c-3", "c-4")} == {
        "c-1": (person_id("amy"), FOURTH),
        "c-2": (person_id("bob"), FIFTH),
        "c-3": (person_id("lin"), FIFTH),
        "c-4": (person_id("lin"), FIFTH),
    }
    assert found.get("c-5", (None,))[0] is None
    events = [agent_event("2026-11-04T21:00:00Z", "Available", "2026-11-04T21:00:00Z", agent="lin")]
    await take(ingest, *events)
    (state,) = await ingest.read_events(AgentStateChanged)
    assert (state.agent_id, state.workday) == (person_id("lin"), FIFTH)


async def test_a_correction_of_the_past_moves_the_workdays_of_that_time(
    ingest: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_changes, "LEGS_PER_STEP", 2)
    monkeypatch.setattr(directory_changes, "PEOPLE_PER_STEP", 1)
    amy = someone("amy", ids=[("amy", None, None)], units=[("days", None, None)])
    await ingest.apply_directory("t1", people=[amy], of_tenant=BERLIN)
    times = [f"2026-11-0{day}T{hour}:00Z" for day in (3, 4) for hour in ("01", "12", "21")]
    await take(ingest, *(call(f"c-{n}", "amy", instant) for n, instant in enumerate(times)))
    await take(ingest, call("c-n", None, "2026-11-04T01:30Z"))
    await take(ingest, agent_event("2026-11-04T21:30:00Z", "Available", "2026-11-04T21:30:00Z", agent="amy"))

    async def days() -> list[int]:
        await ingest.tick(ingest.now)
        found = await facts(ingest)
        state = (await ingest.read_events(AgentStateChanged))[-1]
        return [found[name][1].day for name in sorted(found)] + [state.workday.day]

    assert await days() == [2, 3, 3, 3, 4, 4, 3, 4]  # and the call nobody took, and the state
    moved = someone("amy", ids=[("amy", None, None)], units=[("days", None, FOURTH), ("shanghai", FOURTH, None)])
    await ingest.apply_directory("t1", people=[moved], of_tenant=BERLIN)
    assert await days() == [2, 3, 4, 4, 4, 5, 3, 5]
    tokyo = SITES[1].model_copy(update={"time_zone": "Pacific/Honolulu"})
    await ingest.apply_directory("t1", org_units=[tokyo], of_tenant=BERLIN)
    assert await days() == [2, 3, 3, 3, 3, 4, 3, 4]
    midnight = BERLIN.model_copy(update={"day_start_minutes": 0})
    await ingest.apply_directory("t1", of_tenant=midnight)
    assert await days() == [2, 3, 3, 3, 4, 4, 4, 4]
    before = len(await ingest.read_events(LegRecorded))
    ticked = midnight.model_copy(update={"simulated": True, "clock": parse_instant("2026-11-11T00:00Z")})
    await ingest.apply_directory("t1", people=[moved], org_units=[tokyo], of_tenant=ticked)
    await ingest.tick(ingest.now)
    assert len(await ingest.read_events(LegRecorded)) == before  # the same again is no news


# Any interleaving

DAYS = [FOURTH, FIFTH, date(2026, 11, 6)]
spans = st.tuples(st.none() | st.sampled_from(DAYS), st.none() | st.sampled_from(DAYS))
# Identity refuses memberships of one person that overlap and are in units of one kind.
units = st.lists(st.tuples(st.sampled_from(["days", "shanghai"]), spans), max_size=2, unique_by=lambda each: each[0])


@st.composite
def histories(draw: st.DrawFn) -> list[Any]:
    """Changes of the directory, older and newest, and calls, in some order."""
    split = draw(st.none() | st.sampled_from(DAYS))
    held = [
        {"amy": [("desk", None, split)], "bob": [("desk", split, None)] if split else []},
        {"amy": draw(st.sampled_from([[], [("desk", None, None)]])), "bob": []},
    ]
    people = [
        [
            someone(
                slug,
                ids=ids,
                units=[(unit, *span) for unit, span in draw(units) if span[0] is None or span[0] != span[1]],
            )
            for slug, ids in names.items()
        ]
        for names in held
    ]
    sites = [[SITES[0].model_copy(update={"time_zone": draw(st.sampled_from([None, "America/New_York"]))})], SITES]
    tenants = [[BERLIN.model_copy(update={"day_start_minutes": draw(st.sampled_from([0, 240]))})], [BERLIN]]
    # The topic of the directory keeps the order of the events of one thing only.
    changes = [[newest, older] for last, first in (people, sites, tenants) for newest in last for older in first
            if newest.key("t1") == older.key("t1")]  # fmt: skip
    changes += [[unit] for unit in SITES if all(unit.id != getattr(pair[0], "id", None) for pair in changes)]
    hours = draw(st.lists(st.integers(0, 71), min_size=1, max_size=6, unique=True))
    calls = [
        [
            call(
                f"c-{n}",
                draw(st.sampled_from(["desk", None])),
                (parse_instant("2026-11-04T00:00Z") + timedelta(hours=n)).isoformat(),
            )
        ]
        for n in hours
    ]
    lines: list[list[Any]] = [pair[:: draw(st.sampled_from([-1, 1]))] for pair in changes] + calls
    order = draw(st.permutations([number for number, line in enumerate(lines) for _ in line]))
    return [lines[number].pop(0) for number in order]


def expected(history: list[Any]) -> dict[str, tuple[UUID, date] | date]:
    """Contact → agent and workday, or the workday of nobody, derived from the final directory."""
    last: dict[str, Any] = {each.key("t1"): each for each in history if isinstance(each, Event)}
    of_tenant = next(each for each in last.values() if isinstance(each, TenantChanged))
    zones = {}
    for unit in SITES:
        own = last[unit.key("t1")]
        above = last[SITES[0].key("t1")] if unit.slug == "days" else own
        zone = zone_of(own.time_zone) or zone_of(above.time_zone)
        if zone:
            zones[unit.id] = zone
    berlin = zone_of(of_tenant.time_zone)
    assert berlin
    people = [each for each in last.values() if isinstance(each, PersonChanged)]
    held = {
        each.id: [(m.org_unit_id, m.valid_from or date.min, m.valid_until or LAST_DAY) for m in each.memberships]
        for each in people
    }
    workdays = Workdays(
        berlin, of_tenant.day_start_minutes,
        {key: build_zone_periods(memberships, zones, berlin) for key, memberships in held.items()},
    )  # fmt: skip
    found: dict[str, tuple[UUID, date] | date] = {}
    for record in history:
        if isinstance(record, Event):
            continue
        instant = datetime.fromisoformat(record["InitiationTimestamp"])
        means = [
            (name.valid_from or date.min, each.id, day)
            for each in people
            for day in [workdays.workday_of(each.id, instant)]
            for name in each.external_ids
            if name.holds_on(day) and record["Agent"]
        ]
        nobody = workdays.workday_of(None, instant)
        found[record["ContactId"]] = (max(means)[1], max(means)[2]) if means else nobody
    return found


def test_the_order_in_which_directory_and_calls_come_never_matters(cluster, issuer) -> None:
    with asyncio.Runner() as runner:
        context = harness(service, cluster, issuer)
        h = runner.run(context.__aenter__())

        @settings(max_examples=20, deadline=None, suppress_health_check=cast("list[HealthCheck]", list(HealthCheck)))
        @given(histories())
        def check(history: list[Any]) -> None:
            runner.run(play(history))

        async def play(history: list[Any]) -> None:
            for table in ("directory_person", "directory_org_unit", "directory_tenant", "known_person", "due_item",
                          "directory_membership", "directory_external_id", "part", "leg", "leg_version", "held",
                          "interaction", "receipt", "record"):  # fmt: skip
                await h.rows("t1", f"DELETE FROM {table} WHERE tenant = 't1' RETURNING 1")
            await h.clear_outbox()
            await h.apply_directory("t1", people=[THEO], of_tenant=tenant("t1"))
            await configure_source(h, "t1")
            for each in history:
                if isinstance(each, Event):
                    await h.deliver(each, tenant="t1", twice=False)
                else:
                    await take(h, each)
            await h.tick(h.now)
            wanted = expected(history)
            found = await facts(h)
            for name, value in wanted.items():
                if isinstance(value, tuple):
                    assert found[name] == value, name
                else:
                    assert found.get(name, (None, value)) == (None, value), name

        h.now = parse_instant("2026-11-10T00:00Z")
        try:
            check()
        finally:
            runner.run(context.__aexit__(None, None, None))
