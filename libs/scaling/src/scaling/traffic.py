"""Legs that were handled, counted by their end, since a phone system sends the record of a call when it is over.

A file of legs is CSV with the columns `at` (UTC, the beginning of an interval) and `legs`. Intervals have one length; one
that is missing had no leg."""

import csv
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from itertools import pairwise
from zoneinfo import ZoneInfo

QUARTERS_PER_DAY = 96
QUARTERS_PER_WEEK = 7 * QUARTERS_PER_DAY
SECONDS_PER_QUARTER = 900

Legs = Mapping[datetime, int]
"""Legs by the beginning (UTC) of an interval."""

LEGS_SQL = """
SELECT date_bin(make_interval(mins => %(minutes)s), coalesce(ended_at, started_at), 'epoch') AS at, count(*) AS legs
FROM kpi_engine.report_leg
WHERE workday BETWEEN %(first)s AND %(last)s
GROUP BY 1 ORDER BY 1
"""
"""Of the customer whose reader asks: docs/adr/0037-readers-have-views.md. The index is by workday."""


class TrafficError(Exception):
    """A file of legs that cannot be used; one sentence."""


def parse_legs(text: str) -> Legs:
    """Reads a file of legs. Raises TrafficError."""
    rows = csv.DictReader(StringIO(text))
    if rows.fieldnames != ["at", "legs"]:
        raise TrafficError("Write the columns `at` and `legs`, as `uplift scaling legs` does.")
    found: dict[datetime, int] = {}
    for row in rows:
        try:
            at, legs = _parse_instant(row["at"]), int(row["legs"])
        except (TypeError, ValueError) as error:
            raise TrafficError(f"Line {rows.line_num}: {error}.") from error
        found[at] = found.get(at, 0) + legs
    if not found:
        raise TrafficError("There is no leg in it.")
    return found


def _parse_instant(text: str) -> datetime:
    """An instant; without a zone it is in UTC."""
    at = datetime.fromisoformat(text)
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def format_legs(legs: Legs) -> str:
    """The file of legs, in order of time."""
    lines = [f"{at.astimezone(UTC):%Y-%m-%dT%H:%MZ},{legs[at]}\n" for at in sorted(legs)]
    return "at,legs\n" + "".join(lines)


def find_interval(legs: Legs) -> timedelta:
    """How long an interval is: the shortest time between two; a quarter of an hour for a single one."""
    ordered = sorted(legs)
    return min((after - before for before, after in pairwise(ordered)), default=timedelta(minutes=15))


def group_by_quarter(
    legs: Legs, zone: str, without: frozenset[date] = frozenset(), *, before: date | None = None
) -> list[list[int]]:
    """For each quarter of the week from Monday 00:00 in the zone, the legs of that quarter in each of the whole weeks that end
    with the last day of legs; days `without` are left out, and those from `before` on, which are
    not over. Raises TrafficError for less than a week, and for intervals that are
    longer than a quarter of an hour."""
    if (interval := find_interval(legs)) > timedelta(minutes=15):
        raise TrafficError(
            f"The intervals are {interval / timedelta(minutes=1):g} minutes long; give legs by 15 minutes or less."
        )
    info = ZoneInfo(zone)
    days: dict[date, list[int]] = {}
    for at, count in legs.items():
        local = at.astimezone(info)
        if before is not None and local.date() >= before:
            continue
        quarters = days.setdefault(local.date(), [0] * QUARTERS_PER_DAY)
        quarters[(local.hour * 60 + local.minute) // 15] += count
    weeks = ((max(days) - min(days)).days + 1) // 7 if days else 0
    if not weeks:
        raise TrafficError("Give the legs of a week at least; better are four to eight.")
    grouped: list[list[int]] = [[] for _ in range(QUARTERS_PER_WEEK)]
    for number in range(7 * weeks):
        day = max(days) - timedelta(days=number)
        if day not in without:
            for quarter, count in enumerate(days.get(day, [0] * QUARTERS_PER_DAY)):
                grouped[day.weekday() * QUARTERS_PER_DAY + quarter].append(count)
    return grouped
