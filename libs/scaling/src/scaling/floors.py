"""How many replicas a schedule asks for at an instant: what the triggers amount to, computed from the calendar."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from scaling.schedule import RoleSchedule, ShiftWindow
from scaling.zones import to_instant


def floor_at(schedule: RoleSchedule, at: datetime) -> int:
    """The replicas that are at least running at `at` (aware): those of the open window with the most, else `min`. Pods
    start `lead_minutes` before a window begins."""
    return max([schedule.min, *(each.replicas for each in schedule.windows if is_open(schedule, each, at))])


def floor_during(schedule: RoleSchedule, begin: datetime, minutes: int) -> int:
    """The most replicas that are asked for at an instant from `begin` (aware) to so many minutes later."""
    return max(floor_at(schedule, begin + timedelta(minutes=number)) for number in range(minutes + 1))


def is_open(schedule: RoleSchedule, window: ShiftWindow, at: datetime) -> bool:
    """Whether the window, with its lead, is open at `at` (aware)."""
    zone = ZoneInfo(window.time_zone)
    today = at.astimezone(zone).date()
    return any(
        schedule.runs_on(window, day)
        and to_instant(day, window.start_offset, zone) <= at < to_instant(day, window.end_offset, zone)
        for day in (today + timedelta(days=number) for number in (-2, -1, 0, 1))
    )
