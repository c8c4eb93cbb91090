"""Triggers, evaluated with the cron library that KEDA uses, against a calendar of another making."""

import random
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from scaling import CronTrigger, RoleSchedule, Schedule, ScheduleError, build_triggers, floor_at, read_schedule
from scaling.zones import list_clock_changes, list_misread_days
from wall_clock import a_set, count_differences, evaluated_minutes, expected_minutes

ZONES = (
    "America/New_York", "America/Sao_Paulo", "Europe/London", "Europe/Berlin", "Africa/Cairo", "Africa/Casablanca",
    "Asia/Kolkata", "Asia/Kathmandu", "Asia/Shanghai", "Australia/Sydney", "Australia/Lord_Howe", "Pacific/Auckland",
    "Pacific/Honolulu",
)  # fmt: skip
FIRST, DAYS = date(2026, 1, 1), 731
WINDOWS = """
        - {name: day, days: mon-fri, from: 08:00, to: 20:00, replicas: 6}
        - {name: peak, days: [mon, tue], from: 10:00, to: 12:30, replicas: 9}
        - {name: saturday, days: sat, from: 09:30, to: 17:00, replicas: 4}
        - {name: night, days: sun-thu, from: 22:00, to: 06:00, replicas: 3, lead_minutes: 45}
        - {name: weekend-night, days: fri-sat, from: 22:30, to: 05:15, replicas: 2}
        - {name: sunday, days: sun, from: 00:00, to: 21:00, replicas: 2}
"""
pytestmark = pytest.mark.slow


def schedule_of(zone: str, windows: str = WINDOWS, more: str = "") -> Schedule:
    text = f"time_zone: {zone}\n{more}\nservices:\n  ingest:\n    api:\n      min: 1\n      max: 20\n      windows:{windows}"
    return read_schedule(text, partitions={"ingest": 6}, years_from=FIRST)


def role_of(zone: str, windows: str = WINDOWS, more: str = "") -> RoleSchedule:
    return schedule_of(zone, windows, more).roles[0]


def wrong_minutes(
    role: RoleSchedule, triggers: list[CronTrigger], first: date, days: int, *, every: bool = False
) -> int:
    zone = role.windows[0].time_zone
    return count_differences(
        evaluated_minutes([a_set(triggers, first, days, every=every)]), expected_minutes(role, zone, first, days)
    )


@pytest.mark.parametrize("zone", ZONES)
def test_no_minute_of_two_years_is_wrong(zone: str) -> None:
    role = role_of(zone)
    days = [FIRST + timedelta(days=number) for number in range(DAYS)]
    expected = expected_minutes(role, zone, FIRST, DAYS)
    nightly = [a_set(build_triggers(role, day), day, 1) for day in days]
    assert count_differences(evaluated_minutes(nightly), expected) == 0
    if not list_misread_days(zone, FIRST):
        assert wrong_minutes(role, build_triggers(role, FIRST), FIRST, DAYS) == 0
    # Around changes of the clocks the library is asked at every minute: what it names next may depend on when it is asked.
    for change in list_clock_changes(zone, FIRST, years=2):
        first = change.at.date() - timedelta(days=8)
        assert wrong_minutes(role, build_triggers(role, first), first, 16, every=True) == 0


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo"])
def test_holidays_and_extra_days_hold_when_triggers_are_rendered_every_night(zone: str) -> None:
    role = role_of(
        zone,
        more="holidays: [2026-01-01, 2026-04-03, 2026-04-06, 2026-12-25, 2027-01-01, 2027-03-26]\n"
        "extra_days: [{date: 2026-12-20, like: mon}, {date: 2026-04-05, like: sat}]",
    )
    nights = [FIRST + timedelta(days=number) for number in range(DAYS)]
    sets = [a_set(build_triggers(role, night), night, 1) for night in nights]
    assert count_differences(evaluated_minutes(sets), expected_minutes(role, zone, FIRST, DAYS)) == 0


def test_triggers_are_right_for_sixty_days_if_no_night_comes() -> None:
    role = role_of("Europe/Berlin", more="holidays: [2026-12-25, 2027-01-01]")
    first = date(2026, 11, 28)
    assert wrong_minutes(role, build_triggers(role, first), first, 59) == 0


def test_random_windows() -> None:
    chance = random.Random(7)
    counted = 0
    while counted < 150:
        zone = chance.choice(ZONES)
        days = sorted(chance.sample(["mon", "tue", "wed", "thu", "fri", "sat", "sun"], chance.randint(1, 7)))
        begin, end = (chance.randrange(0, 1440, 5) for _ in range(2))
        windows = (
            f"\n        - {{name: w, days: [{', '.join(days)}], from: '{begin // 60:02}:{begin % 60:02}', "
            f"to: '{end // 60:02}:{end % 60:02}', replicas: 5, lead_minutes: {chance.choice([0, 15, 90])}}}"
        )
        try:
            role = role_of(zone, windows)
        except ScheduleError:
            continue
        changes = list_clock_changes(zone, FIRST, years=1) or list_clock_changes("Europe/Berlin", FIRST, years=1)
        first = chance.choice(changes).at.date() - timedelta(days=8)
        assert wrong_minutes(role, build_triggers(role, first), first, 16) == 0, (zone, windows)
        counted += 1


def test_floor_is_that_of_the_triggers() -> None:
    role = role_of("Europe/Berlin", more="holidays: [2026-04-03]\nextra_days: [{date: 2026-04-05, like: mon}]")
    first = date(2026, 3, 26)
    expected = expected_minutes(role, "Europe/Berlin", first, 12)
    start = datetime(first.year, first.month, first.day, tzinfo=UTC)
    found = [floor_at(role, start + timedelta(minutes=number)) for number in range(0, 12 * 1440, 5)]
    assert found == [max(role.min, each) for each in expected[::5]]


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("45 7 * * 1-5", "0 20 * * *"),  # an end on days without a start: open from Friday to Sunday
        ("45 21 * * 1-5", "0 6 * * 1-5"),  # an end that is not on the day after: open from Friday to Monday
    ],
)
def test_days_that_do_not_pair_are_found(start: str, end: str) -> None:
    windows = "\n        - {name: w, days: mon-fri, from: 08:00, to: 20:00, replicas: 6}"
    if start.startswith("45 21"):
        windows = "\n        - {name: w, days: mon-fri, from: 22:00, to: 06:00, replicas: 6}"
    role = role_of("Europe/Berlin", windows)
    wrong = [replace(each, start=start, end=end) for each in build_triggers(role, FIRST)]
    assert wrong_minutes(role, wrong, FIRST, 28) > 1000


def test_a_day_without_midnight_needs_its_date_in_utc() -> None:
    windows = "\n        - {name: w, days: fri, from: 22:30, to: 05:15, replicas: 2}"
    role = role_of("Africa/Cairo", windows)
    weekly = [CronTrigger("w", "Africa/Cairo", "15 22 * * 5", "15 5 * * 6", 2)]
    first = date(2026, 4, 10)
    assert wrong_minutes(role, weekly, first, 20) > 5_000
    assert wrong_minutes(role, build_triggers(role, first), first, 20) == 0


def test_an_edge_in_the_skipped_hour_is_found_and_would_floor_no_shift() -> None:
    windows = "\n        - {name: w, days: mon-sun, from: 18:00, to: 03:00, replicas: 6}"
    role = role_of("America/New_York", windows)
    skipped = replace(role, windows=tuple(replace(each, end=150) for each in role.windows))
    assert wrong_minutes(skipped, build_triggers(skipped, FIRST), date(2026, 3, 6), 4) > 300
    with pytest.raises(ScheduleError, match=r"windows\[0\]\.to: 02:30 on sun lies between 01:00 and 03:00"):
        role_of("America/New_York", windows.replace("03:00", "02:30"))
