"""Clock changes of a time zone: wall-clock times that are skipped or come twice."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from scaling.schedule import MINUTES_PER_DAY

_YEARS = 10
MINUTES_PER_WEEK = 7 * MINUTES_PER_DAY


@dataclass(frozen=True)
class ClockChange:
    """`at`: the instant, UTC. The wall-clock times from `begin` up to `end`, without a zone, are skipped or come twice."""

    at: datetime
    begin: datetime
    end: datetime
    skipped: bool


def is_known_zone(name: str) -> bool:
    """Whether the IANA database has the zone, as a name that KEDA's Go knows too."""
    return name in available_timezones()


def to_instant(day: date, minutes: int, zone: ZoneInfo) -> datetime:
    """The instant, in UTC, of the wall-clock time that is so many minutes after midnight of the day; they may be negative, or
    more than a day. (Comparisons of aware datetimes that share a zone object ignore the zone, hence UTC.)"""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    return (midnight + timedelta(minutes=minutes)).astimezone(UTC)


@lru_cache(maxsize=256)
def list_clock_changes(zone: str, first: date, years: int = _YEARS) -> tuple[ClockChange, ...]:
    """The changes of the years from `first`. Rules of a later date are those that the IANA database foresees today."""
    info = ZoneInfo(zone)

    def offset(at: datetime) -> timedelta:
        found = at.astimezone(info).utcoffset()
        assert found is not None
        return found

    changes: list[ClockChange] = []
    day = datetime(first.year, first.month, first.day, tzinfo=UTC)
    last = day + timedelta(days=366 * years)
    before = offset(day)
    while day < last:
        low, high = day, day + timedelta(days=1)
        after = offset(high)
        if after != before:
            while high - low > timedelta(minutes=1):
                middle = low + (high - low) // 2
                middle = middle.replace(second=0, microsecond=0) if middle.second else middle
                low, high = (middle, high) if offset(middle) == before else (low, middle)
            old, new = (high + each for each in (before, after))
            begin, end = sorted(each.replace(tzinfo=None) for each in (old, new))
            changes.append(ClockChange(high, begin, end, skipped=after > before))
        day, before = day + timedelta(days=1), after
    return tuple(changes)


@lru_cache(maxsize=256)
def list_misread_days(zone: str, first: date) -> frozenset[date]:
    """The days, in the ten years from `first`, on which the cron library misreads local times, with the days before them.
    It steps by whole hours, and misses times of a day on which clocks move by half an hour (Lord Howe). A day without 00:00
    (Cairo) it does not find from a day before, and from that day it takes the next for the same weekday."""
    days: set[date] = set()
    for each in list_clock_changes(zone, first):
        midnight = each.end.replace(hour=0, minute=0)
        if (each.skipped and each.begin <= midnight < each.end) or (each.end - each.begin) % timedelta(hours=1):
            days |= {each.end.date(), each.end.date() - timedelta(days=1)}
    return frozenset(days)


@lru_cache(maxsize=256)
def list_unsafe_minutes(zone: str, first: date) -> tuple[tuple[int, int], ...]:
    """Parts of the week, in minutes from Monday 00:00, in which the zone's clocks are changed at some time in the ten years
    from `first`: from, included, to, excluded. Sorted; a part may end after the week does."""
    parts: set[tuple[int, int]] = set()
    for each in list_clock_changes(zone, first):
        begin = each.begin.weekday() * MINUTES_PER_DAY + each.begin.hour * 60 + each.begin.minute
        parts.add((begin, begin + int((each.end - each.begin) / timedelta(minutes=1))))
    return tuple(sorted(parts))


def find_unsafe_part(zone: str, minute_of_week: int, first: date) -> tuple[int, int] | None:
    """The union of parts of the week around the minute in which clocks are changed; None where it is safe."""
    minute = minute_of_week % MINUTES_PER_WEEK
    parts = [
        (begin + shift, end + shift)
        for begin, end in list_unsafe_minutes(zone, first)
        for shift in (-MINUTES_PER_WEEK, 0, MINUTES_PER_WEEK)
    ]
    hit = next(((begin, end) for begin, end in parts if begin <= minute < end), None)
    while hit is not None:
        grown = (
            min(begin for begin, end in parts if begin <= hit[1] and hit[0] <= end),
            max(end for begin, end in parts if begin <= hit[1] and hit[0] <= end),
        )
        if grown == hit:
            break
        hit = grown
    return hit
