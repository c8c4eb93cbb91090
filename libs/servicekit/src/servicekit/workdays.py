"""The workday of an instant for a person: the date at the site where the person works on that day.

The site depends on the day, and the day on the site's time zone. When a person moves, the new site's clock decides: the
first day there begins when it begins at the new site, and the last day at the old site lasts until then.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from uuid import UUID
from zoneinfo import ZoneInfo

FIRST_DAY = date(1, 1, 1)
LAST_DAY = date(9999, 12, 31)
_DAY = timedelta(days=1)

ZonePeriod = tuple[date, tzinfo]
"""The first day of a period, and the time zone from then on."""

Membership = tuple[UUID, date, date]
"""The org unit, the first day, and the day after the last day."""


def compute_workday(at: int | datetime, zone: tzinfo, day_start_minutes: int = 0) -> date:
    """The workday of an instant in a time zone, where a day begins `day_start_minutes` after midnight in local time. `at`:
    an instant, or milliseconds since 1970."""
    local = datetime.fromtimestamp(at // 1000, zone) if isinstance(at, int) else at.astimezone(zone)
    # Arithmetic on an aware datetime is in local time.
    return (local - timedelta(minutes=day_start_minutes) if day_start_minutes else local).date()


def workday_sql(instant: str, zone: str, day_start: str) -> str:
    """`compute_workday` as an SQL expression. All three arguments are SQL expressions; `day_start` is an interval."""
    return f"({instant} AT TIME ZONE {zone} - {day_start})::date"


def workday_in_periods_sql(instant: str, periods: str, day_start: str) -> str:
    """`Workdays.workday_of` as an SQL expression, for a person with zone periods. `periods`: a FROM item with the columns
    `first`, `following` (the first day of the next period, null for the last) and `zone`; `day_start`: an interval."""
    return (
        f"(SELECT least(computed.day, following - 1) FROM {periods} "  # noqa: S608
        f"CROSS JOIN LATERAL (SELECT {workday_sql(instant, 'zone', day_start)} AS day) AS computed "
        "WHERE computed.day >= first ORDER BY first DESC LIMIT 1)"
    )


def workday_start(day: date, zone: tzinfo, day_start_minutes: int = 0) -> datetime:
    """The instant, in UTC, at which a workday begins in a time zone."""
    midnight = datetime.combine(day, time(), tzinfo=zone)
    return (midnight + timedelta(minutes=day_start_minutes)).astimezone(UTC)


def zone_of(name: str | None) -> ZoneInfo | None:
    """The time zone of an IANA name; None for no name or an unknown one, which an old directory event may have."""
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        return None


def zones_of(units: Iterable[tuple[UUID, Sequence[UUID], str | None]]) -> dict[UUID, ZoneInfo]:
    """Org unit → the time zone of itself or of the nearest unit above that has one. `units`: id, path from the root, and
    the name of its own time zone."""
    known = list(units)
    declared = {unit: zone for unit, _, name in known if (zone := zone_of(name))}
    nearest = {unit: next((above for above in reversed(path) if above in declared), None) for unit, path, _ in known}
    return {unit: declared[above] for unit, above in nearest.items() if above is not None}


def build_zone_periods(
    memberships: Sequence[Membership], zones: Mapping[UUID, tzinfo], otherwise: tzinfo
) -> tuple[ZonePeriod, ...]:
    """The time zones that a person works in, in order and without gaps; `otherwise` where no membership has one. `zones`:
    org unit → time zone. Of several memberships with a time zone on a day, the one that began last decides."""
    zoned = sorted(
        (each for each in memberships if each[0] in zones and each[1] < each[2]),
        key=lambda each: (-each[1].toordinal(), each[0]),
    )
    days = sorted({FIRST_DAY, *(day for _, *dates in zoned for day in dates if day < LAST_DAY)})
    found: list[ZonePeriod] = []
    for day in days:
        zone = next((zones[unit] for unit, since, until in zoned if since <= day < until), otherwise)
        if not found or found[-1][1] != zone:
            found.append((day, zone))
    return tuple(found)


@dataclass(frozen=True)
class Workdays:
    """The workdays of one tenant. `zone`: the tenant's time zone. `zone_periods`: person → periods, for people who work or
    worked at a site with another time zone."""

    zone: tzinfo
    day_start_minutes: int
    zone_periods: Mapping[UUID, Sequence[ZonePeriod]]

    def workday_of(self, person_id: UUID | None, at: int | datetime) -> date:
        """The workday of an instant (or of milliseconds since 1970) for a person. For None, or an unknown person, by the
        tenant's time zone."""
        periods = self.zone_periods.get(person_id, ()) if person_id else ()
        if not periods:
            return compute_workday(at, self.zone, self.day_start_minutes)
        following = LAST_DAY
        for first, zone in reversed(periods):
            day = compute_workday(at, zone, self.day_start_minutes)
            if day >= first:
                return min(day, following - _DAY) if following < LAST_DAY else day
            following = first
        raise AssertionError("the first period begins with the first day")

    def start_of_workday(self, person_id: UUID | None, day: date) -> datetime:
        """The instant at which a person's workday begins."""
        zone = self.zone
        for first, each in self.zone_periods.get(person_id, ()) if person_id else ():
            if first <= day:
                zone = each
        return workday_start(day, zone, self.day_start_minutes)

    def list_periods(self) -> list[tuple[UUID, date, date | None, str]]:
        """All zone periods: person, first day, first day of the next period (None for the last period), zone name."""
        return [
            (person_id, first, following, str(zone))
            for person_id, periods in self.zone_periods.items()
            for (first, zone), following in zip(periods, [*(day for day, _ in periods[1:]), None], strict=True)
        ]
