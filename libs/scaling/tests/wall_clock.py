"""The replicas that a schedule means, minute by minute, by a way of its own: windows are painted on a table of wall-clock
minutes, and the table is read by the zone's offset of each minute."""

from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

from scaling import CronTrigger, RoleSchedule
from testkit.programs.keda_cron import evaluate_triggers

DAY = 1440


def expected_minutes(schedule: RoleSchedule, zone: str, first: date, days: int) -> bytearray:
    """A byte of replicas for each minute from `first` 00:00 UTC, 0 where no window is open."""
    wall = bytearray((days + 8) * DAY)
    origin = first - timedelta(days=4)
    for window in schedule.windows:
        for number in range(1, days + 7):
            day = origin + timedelta(days=number)
            name = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")[day.weekday()]
            like = schedule.extra_days.get(day)
            if (name in window.days and day not in schedule.holidays) or like in window.days:
                begin = number * DAY + window.begin - window.lead_minutes
                end = number * DAY + window.end + (DAY if window.end <= window.begin else 0)
                for minute in range(begin, end):
                    wall[minute] = max(wall[minute], window.replicas)
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    info, found = ZoneInfo(zone), bytearray()
    # Clocks change at whole quarters of an hour.
    quarters = [
        (number, (start + timedelta(minutes=15 * number)).astimezone(info).utcoffset()) for number in range(days * 96)
    ]
    for offset, group in groupby(quarters, key=lambda each: each[1]):
        numbers = [number for number, _ in group]
        assert offset is not None
        shift = 4 * DAY + int(offset / timedelta(minutes=1))
        found += wall[numbers[0] * 15 + shift : (numbers[-1] + 1) * 15 + shift]
    return found


def a_set(triggers: list[CronTrigger], first: date, days: float, *, every: bool = False) -> dict[str, Any]:
    """Triggers that are in force for so many days from `first` 00:00 UTC."""
    begin = int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp())
    listed = [{key: value for key, value in asdict(each).items() if key != "name"} for each in triggers]
    return {"from": begin, "to": begin + int(days * 86_400), "every": every, "triggers": listed}


def evaluated_minutes(sets: list[dict[str, Any]]) -> bytearray:
    """A byte of replicas for each minute of the sets, as KEDA asks for them."""
    changes = evaluate_triggers(sets)
    ends = [*(at for at, _ in changes[1:]), sets[-1]["to"]]
    found = bytearray()
    for (at, replicas), end in zip(changes, ends, strict=True):
        found += bytes([replicas]) * ((end - at) // 60)
    return found


def count_differences(one: bytearray, other: bytearray) -> int:
    """Minutes in which they differ."""
    assert len(one) == len(other)
    return sum(a != b for a, b in zip(one, other, strict=True)) if one != other else 0
