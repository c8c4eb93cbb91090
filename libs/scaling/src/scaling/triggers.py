"""Shift windows as triggers of KEDA's cron scaler.

The scaler is active when, of the next start and the next end after now, the end comes first. So each start needs an end of
its own: days are listed in pairs, and an end after midnight has the next day. Cron knows neither holidays nor years: a
weekday that has a holiday within the horizon is written date by date, and rendered anew every night. So is one on which
clocks skip midnight or move by half an hour: the cron library misreads such days, so these dates are written in UTC."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from zoneinfo import ZoneInfo

from scaling.schedule import MINUTES_PER_DAY, WEEKDAYS, RoleSchedule, ShiftWindow
from scaling.zones import list_misread_days, to_instant

HORIZON_DAYS = 60
"""How far ahead holidays and extra days are written."""


@dataclass(frozen=True)
class CronTrigger:
    """One trigger: `replicas` from each `start` to the `end` that follows, cron expressions of five fields."""

    name: str
    timezone: str
    start: str
    end: str
    replicas: int


def build_triggers(schedule: RoleSchedule, today: date) -> list[CronTrigger]:
    """The triggers of one role that are right from `today` for HORIZON_DAYS; without holidays and extra days, for ever."""
    return [trigger for window in schedule.windows for trigger in _build_window_triggers(schedule, window, today)]


def _build_window_triggers(schedule: RoleSchedule, window: ShiftWindow, today: date) -> Iterator[CronTrigger]:
    # A window of yesterday may still be open, and one of the day after may open early.
    first, last = today - timedelta(days=2), today + timedelta(days=HORIZON_DAYS)
    misread = list_misread_days(window.time_zone, first.replace(month=1, day=1))
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    in_utc = {day for day in days if not misread.isdisjoint(_edge_days(window, day))}
    by_date = {day.weekday() for day in days if day in schedule.holidays or day in in_utc}
    for run in _split_into_runs([day for day in range(7) if window.applies_on(day) and day not in by_date], window):
        names = WEEKDAYS[run[0]] if len(run) == 1 else f"{WEEKDAYS[run[0]]}-{WEEKDAYS[run[-1]]}"
        start, end = (_weekly(run, offset) for offset in (window.start_offset, window.end_offset))
        yield CronTrigger(f"{window.name}-{names}", window.time_zone, start, end, window.replicas)
    for day in days:
        if schedule.runs_on(window, day) and (day.weekday() in by_date or not window.applies_on(day.weekday())):
            zone = "UTC" if day in in_utc else window.time_zone
            start, end = (
                _dated(day, offset, window.time_zone, zone) for offset in (window.start_offset, window.end_offset)
            )
            yield CronTrigger(f"{window.name}-{day}", zone, start, end, window.replicas)


def _edge_days(window: ShiftWindow, day: date) -> tuple[date, date]:
    """The dates on which the window of that day starts and ends."""
    start, end = (
        day + timedelta(days=offset // MINUTES_PER_DAY) for offset in (window.start_offset, window.end_offset)
    )
    return start, end


def _split_into_runs(weekdays: list[int], window: ShiftWindow) -> Iterator[list[int]]:
    """Days that one expression names as a range. Cron's week begins on Sunday, and a range does not go over its end; where
    the next start comes before an end, as with a whole day and a lead, each day is a trigger of its own."""
    separate = window.end_offset - window.start_offset > MINUTES_PER_DAY
    run: list[int] = []
    for day in weekdays:
        if run and (separate or day != run[-1] + 1 or not _is_range([*run, day], window)):
            yield run
            run = []
        run.append(day)
    if run:
        yield run


def _is_range(run: list[int], window: ShiftWindow) -> bool:
    return all(
        _cron_day(run[0], offset) < _cron_day(run[-1], offset) for offset in (window.start_offset, window.end_offset)
    )


def _cron_day(weekday: int, offset: int) -> int:
    """Cron's number of the weekday, 0 for Sunday, on which an edge of a window of that weekday lies."""
    return (weekday + 1 + offset // MINUTES_PER_DAY) % 7


def _weekly(run: list[int], offset: int) -> str:
    first, last = _cron_day(run[0], offset), _cron_day(run[-1], offset)
    return f"{offset % 60} {offset // 60 % 24} * * {first if len(run) == 1 else f'{first}-{last}'}"


def _dated(day: date, offset: int, zone: str, written_in: str) -> str:
    at = to_instant(day, offset, ZoneInfo(zone)).astimezone(ZoneInfo(written_in))
    return f"{at.minute} {at.hour} {at.day} {at.month} *"
