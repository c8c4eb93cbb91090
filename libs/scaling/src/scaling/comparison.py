"""A recorded day of legs, played with the HPA's loop in three ways: clock and CPU, CPU alone, a fleet for the peak."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from scaling.floors import floor_at
from scaling.planning import LEG_CPU_MS, compute_capacity
from scaling.schedule import Role, RoleSchedule
from scaling.simulation import STEP_SECONDS, Autoscaler, Outcome, simulate
from scaling.traffic import Legs, find_interval

Way = Literal["clock and CPU", "CPU alone", "static"]
Comparison = Mapping[tuple[str, Role], Mapping[Way, Outcome]]
"""What comes of each way, by service and role."""
_STEPS_PER_MINUTE = 60 // STEP_SECONDS


@dataclass(frozen=True)
class Machine:
    """What a replica is: `cpu_millicores` it requests, `utilization` of it that the HPA aims at, and the seconds from its start
    to its first answer."""

    cpu_millicores: int = 100
    utilization: float = 0.7
    cold_start_seconds: int = 90


def compare_day(roles: Sequence[RoleSchedule], legs: Legs, machine: Machine) -> Comparison:
    """Plays the day for those roles whose load is legs (LEG_CPU_MS). The static fleet has the replicas of the largest window."""
    begin = min(legs)
    return {
        (each.service, each.role): _compare_role(each, begin, to_load(legs, LEG_CPU_MS[each.service, each.role], machine), machine)
        for each in roles
        if (each.service, each.role) in LEG_CPU_MS
    }  # fmt: skip


def to_load(legs: Legs, leg_cpu_ms: float, machine: Machine) -> list[float]:
    """Replicas that would use all the CPU that they request, for each step of the simulation from the first interval to the
    last; legs come evenly within an interval."""
    interval = find_interval(legs)
    steps = int(interval / timedelta(seconds=STEP_SECONDS))
    at_full_use = compute_capacity(leg_cpu_ms, machine.cpu_millicores, 1.0) * interval.total_seconds()
    load: list[float] = []
    at, last = min(legs), max(legs)
    while at <= last:
        load += [legs.get(at, 0) / at_full_use] * steps
        at += interval
    return load


def _compare_role(
    schedule: RoleSchedule, begin: datetime, load: Sequence[float], machine: Machine
) -> Mapping[Way, Outcome]:
    minutes = range(-(-len(load) // _STEPS_PER_MINUTE))
    floors = [floor_at(schedule, begin + timedelta(minutes=number)) for number in minutes]
    scaler = Autoscaler(
        schedule.min,
        schedule.max,
        utilization=machine.utilization,
        cold_start_seconds=machine.cold_start_seconds,
        # As the chart has it: each step stops the readers of a topic for a moment.
        down_percent_per_minute=25 if schedule.role == "work" else None,
    )
    most = max([schedule.min, *(each.replicas for each in schedule.windows)])
    return {
        "clock and CPU": simulate(load, scaler, lambda seconds: floors[seconds // 60]),
        "CPU alone": simulate(load, scaler),
        "static": simulate(load, Autoscaler(most, most, static=most)),
    }
