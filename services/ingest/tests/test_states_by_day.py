"""An interval of an agent's state is split where a workday of the agent begins, so that it counts for each day."""

from datetime import date

from contracts.legs import AgentStateChanged
from ingest_records import agent_event
from testkit import Harness, org_unit, person, person_after_move, tenant

HOUR = 3_600_000
Piece = tuple[str, str, int | None]


async def send_notices(ingest: Harness, *notices: tuple[str, str], agent: str = "ada") -> None:
    """Each (instant, state), as agent events with the state before."""
    before: tuple[str, str] | None = None
    for at, state in notices:
        record = agent_event(at, state, at, before=before, agent=agent)
        sent = await ingest.client_as("robot", "t1").post("/sources/connect/records", json=[record])
        assert sent.json()["rejected"] == 0, sent.text
        before = (state, at)


async def pieces(ingest: Harness, *, of: str | None = None) -> list[Piece]:
    """What stands, in order of time: state, workday, length."""
    newest = {}
    for each in await ingest.read_events(AgentStateChanged):
        assert each.version == (newest[each.state_id].version if each.state_id in newest else 0) + 1
        newest[each.state_id] = each
    standing = sorted((each for each in newest.values() if not each.void), key=lambda each: each.started_at)
    return [(each.state, str(each.workday), each.duration_ms) for each in standing if of in (None, each.state)]


async def test_a_stretch_over_midnight_counts_on_both_days(ingest: Harness) -> None:
    await send_notices(ingest, ("2026-01-14T22:00:00Z", "Lunch"), ("2026-01-14T23:30:00Z", "Available"))
    assert await pieces(ingest) == [
        ("Lunch", "2026-01-14", HOUR),
        ("Lunch", "2026-01-15", HOUR // 2),
        ("Available", "2026-01-15", None),
    ]


async def test_a_stretch_of_several_days_and_the_day_the_clocks_change(ingest: Harness) -> None:
    """From Friday 20:00 to Monday 08:00 in Berlin, over the Sunday of 23 hours."""
    await send_notices(ingest, ("2026-02-27T19:00:00Z", "Available"), ("2026-03-02T07:00:00Z", "Lunch"))
    assert await pieces(ingest, of="Available") == [
        ("Available", "2026-02-27", 4 * HOUR),
        ("Available", "2026-02-28", 24 * HOUR),
        ("Available", "2026-03-01", 24 * HOUR),
        ("Available", "2026-03-02", 8 * HOUR),
    ]
    await send_notices(ingest, ("2025-10-25T20:00:00Z", "Break"), ("2025-10-26T23:00:00Z", "Meeting"), agent="ben")
    assert await pieces(ingest, of="Break") == [("Break", "2025-10-25", 2 * HOUR), ("Break", "2025-10-26", 25 * HOUR)]


async def test_a_workday_may_begin_after_midnight(ingest: Harness) -> None:
    await ingest.deliver(tenant("t1", time_zone="Europe/Berlin", day_start_minutes=240), tenant="t1")
    await send_notices(ingest, ("2026-01-14T22:00:00Z", "Lunch"), ("2026-01-15T04:00:00Z", "Available"))
    assert await pieces(ingest, of="Lunch") == [("Lunch", "2026-01-14", 5 * HOUR), ("Lunch", "2026-01-15", HOUR)]


async def test_each_day_is_that_of_the_site_of_that_day(ingest: Harness) -> None:
    """In Berlin until the 14th, in New York from the 15th on, whose day begins six hours later."""
    units = [org_unit("team-a"), org_unit("new-york", time_zone="America/New_York")]
    person_of = person_after_move("ada", "team-a", "new-york", date(2026, 1, 15), external={"connect": "ada"})
    await ingest.apply_directory("t1", people=[person_of], org_units=units)
    await send_notices(ingest, ("2026-01-14T22:00:00Z", "Lunch"), ("2026-01-16T06:00:00Z", "Available"))
    assert await pieces(ingest, of="Lunch") == [
        ("Lunch", "2026-01-14", 7 * HOUR),  # until the day begins in New York, at 05:00 UTC
        ("Lunch", "2026-01-15", 24 * HOUR),
        ("Lunch", "2026-01-16", HOUR),
    ]


async def test_a_late_notice_voids_the_days_after_it(ingest: Harness) -> None:
    await send_notices(ingest, ("2026-01-14T22:00:00Z", "Lunch"), ("2026-01-16T22:00:00Z", "Available"))
    assert len(await pieces(ingest, of="Lunch")) == 3
    await send_notices(ingest, ("2026-01-14T22:30:00Z", "Meeting"))
    assert await pieces(ingest) == [
        ("Lunch", "2026-01-14", HOUR // 2),
        ("Meeting", "2026-01-14", HOUR // 2),
        ("Meeting", "2026-01-15", 24 * HOUR),
        ("Meeting", "2026-01-16", 23 * HOUR),
        ("Available", "2026-01-16", None),
    ]


async def test_who_is_known_from_a_day_on_counts_from_that_day_on(ingest: Harness) -> None:
    await send_notices(ingest, ("2026-01-14T22:00:00Z", "Lunch"), ("2026-01-15T01:00:00Z", "Available"), agent="eve")
    assert await pieces(ingest) == []
    await ingest.deliver(person("eve", external={"connect": "eve"}), tenant="t1")
    assert await pieces(ingest, of="Lunch") == [("Lunch", "2026-01-14", HOUR), ("Lunch", "2026-01-15", 2 * HOUR)]
