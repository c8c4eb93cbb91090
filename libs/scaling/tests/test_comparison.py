"""A day that is recorded by the minute, played for the roles of a schedule."""

from datetime import UTC, date, datetime, timedelta

import pytest
from scaling import read_schedule
from scaling.comparison import Machine, compare_day, to_load
from scaling.costs import Cost, estimate_week

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
SHIFTS = """
time_zone: UTC
services:
  identity:
    api: {min: 2, max: 4}
  ingest:
    api:
      min: 2
      max: 20
      windows: [{name: day, days: mon-sun, from: "08:00", to: "20:00", replicas: 8}]
"""


def make_day(interval: int = 1) -> dict[datetime, int]:
    """Nothing, then a hundred legs a second from eight to eight."""
    return {
        BEGIN + timedelta(minutes=minute): 100 * 60 * interval if 480 <= minute < 1200 else 0
        for minute in range(0, 1440, interval)
    }


def test_load_is_in_replicas_at_full_use() -> None:
    load = to_load(make_day(), 5.0, Machine(cpu_millicores=100))
    assert len(load) == 1440 * 4
    assert (load[479 * 4], load[480 * 4]) == (0, pytest.approx(5)), "100 legs of 5 ms are half a CPU, five times 100 m"
    assert to_load(make_day(15), 5.0, Machine()) == pytest.approx(load)


def test_the_clock_is_never_short_and_the_others_are_late_or_dear() -> None:
    schedule = read_schedule(SHIFTS, partitions={"identity": 1, "ingest": 6}, years_from=date(2026, 1, 1))
    found = compare_day(schedule.roles, make_day(), Machine())
    assert list(found) == [("ingest", "api")], "the load of others is not legs"
    clock, alone, static = found["ingest", "api"].values()
    assert (clock.short_minutes, static.short_minutes) == (0, 0)
    assert alone.short_minutes >= 1.5, "a start takes as long"
    assert static.replica_hours == 8 * 24
    assert alone.replica_hours < clock.replica_hours < static.replica_hours
    late = compare_day(schedule.roles, make_day(), Machine(cold_start_seconds=300))["ingest", "api"]
    assert late["CPU alone"].short_minutes > alone.short_minutes
    assert late["clock and CPU"].short_minutes == 0, "the lead is longer"


def test_a_week_of_windows_by_hand() -> None:
    roles = read_schedule(SHIFTS, partitions={"identity": 1, "ingest": 6}, years_from=date(2026, 1, 1)).roles
    assert estimate_week(roles[0], BEGIN.date()) == Cost(2 * 168, 2 * 168)
    assert estimate_week(roles[1], BEGIN.date()) == Cost(7 * (2 * 11.75 + 8 * 12.25), 8 * 168)
    assert Cost(25, 100).saved == 0.75
