"""The HPA's loop on a day of a call centre: by the clock, by CPU alone, and with a fleet for the peak."""

import math
from datetime import UTC, date, datetime, timedelta

from scaling import floor_at, read_schedule
from scaling.simulation import STEP_SECONDS, Autoscaler, Outcome, simulate

STEPS = 86_400 // STEP_SECONDS
SHIFTS = """
time_zone: UTC
services:
  ingest:
    api:
      min: 2
      max: 20
      windows:
        - {name: day, days: mon-sun, from: 08:00, to: 20:00, replicas: 10, lead_minutes: 15}
        - {name: peak, days: mon-sun, from: 09:30, to: 12:00, replicas: 13}
"""


def day_of_calls() -> list[float]:
    """Replicas at full use: nothing at night, a sharp start at 08:00 when the shift begins, a peak before noon."""
    load: list[float] = []
    for step in range(STEPS):
        hour = step * STEP_SECONDS / 3600
        if 8 <= hour < 20:
            load.append(6 + 3 * math.exp(-(((hour - 10.5) / 1.2) ** 2)) + 1.5 * math.exp(-(((hour - 15) / 1.5) ** 2)))
        else:
            load.append(0.5)
    return load


def play(scaler: Autoscaler, *, by_the_clock: bool = False) -> Outcome:
    role = read_schedule(SHIFTS, partitions={"ingest": 6}, years_from=date(2026, 1, 1)).roles[0]
    start = datetime(2026, 3, 2, tzinfo=UTC)
    floor = (lambda seconds: floor_at(role, start + timedelta(seconds=seconds))) if by_the_clock else None
    return simulate(day_of_calls(), scaler, floor)


def test_the_clock_is_never_short_and_costs_less_than_a_fleet_for_the_peak() -> None:
    clock = play(Autoscaler(2, 20), by_the_clock=True)
    reactive = play(Autoscaler(2, 20))
    static = play(Autoscaler(2, 20, static=13))
    assert clock.short_minutes == 0
    assert reactive.short_minutes > 3, "by CPU alone the morning is late"
    assert static.short_minutes == 0
    assert clock.replica_hours < 0.65 * static.replica_hours


def test_what_a_cold_start_costs_is_covered_by_the_lead() -> None:
    slow = Autoscaler(2, 20, cold_start_seconds=600)
    assert play(slow, by_the_clock=True).short_minutes == 0
    assert play(slow).short_minutes > play(Autoscaler(2, 20)).short_minutes


def test_steps_within_the_tolerance_are_ignored_by_cpu_and_not_by_the_clock() -> None:
    steady = [7.3] * 400  # of 10 replicas at 70 per cent: 4 per cent more than the target
    usual = Autoscaler(2, 20, up_tolerance=0.1)
    assert simulate(steady, usual, started=10).most == 10
    assert simulate(steady, usual, lambda _: 11, started=10).most == 11
    assert simulate(steady, Autoscaler(2, 20), started=10).most == 11, "as the chart has it"


def test_a_policy_stops_no_more_than_a_quarter_in_a_minute() -> None:
    load = [0.1] * 60
    slowly = Autoscaler(1, 20, stabilization_seconds=0, down_percent_per_minute=25)
    # 16 for the first step, then 12, 9, 6, 4, 3 and 2 for a minute of four steps each, then 1.
    paid = 16 + 4 * (12 + 9 + 6 + 4 + 3 + 2) + 35 * 1
    assert simulate(load, slowly, started=16).replica_hours == paid * STEP_SECONDS / 3600


def test_it_shrinks_five_minutes_after_the_load_and_not_below_the_floor() -> None:
    load = [7.0] * 40 + [0.1] * 200
    by_clock = simulate(load, Autoscaler(1, 20), lambda seconds: 5 if seconds < 200 * STEP_SECONDS else 1, started=10)
    bare = simulate(load, Autoscaler(1, 20), started=10)
    assert bare.replica_hours < by_clock.replica_hours
    assert bare.replica_hours > (60 * 10 + 180) * STEP_SECONDS / 3600, "ten replicas go on for five minutes"


def test_growth_doubles_at_most() -> None:
    load = [40.0] * 20
    assert simulate(load[:2], Autoscaler(1, 100, cold_start_seconds=0), lambda _: 64, started=8).most == 16
