"""Replica-hours of a schedule, and of a fleet that is sized for the peak and stays."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

from scaling.floors import floor_at
from scaling.schedule import RoleSchedule

HOURS_PER_WEEK = 168


@dataclass(frozen=True)
class Cost:
    """`replica_hours` of a role, and `static_hours` of as many replicas as it has at most, all the time."""

    replica_hours: float
    static_hours: float

    @property
    def saved(self) -> float:
        """Share of the static fleet, 0 to 1."""
        return 1 - self.replica_hours / self.static_hours if self.static_hours else 0.0


def estimate_week(schedule: RoleSchedule, day: date) -> Cost:
    """Replica-hours that the windows ask for, leads included, in the week of the day, without holidays and extra days; by
    quarter hours. What CPU and lag ask for comes on top."""
    plain = replace(schedule, holidays=frozenset(), extra_days={})
    monday = day - timedelta(days=day.weekday())
    begin = datetime(monday.year, monday.month, monday.day, tzinfo=UTC)
    floors = [floor_at(plain, begin + timedelta(minutes=15 * number)) for number in range(4 * HOURS_PER_WEEK)]
    return Cost(sum(floors) / 4, float(max(floors) * HOURS_PER_WEEK))
