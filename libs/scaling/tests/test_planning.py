"""Windows proposed from traffic: weeks in which the right ones are worked out by hand, and made-up ones of all kinds."""

import random
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from made_up_traffic import SAMPLES, make_samples
from scaling import ScheduleError, floor_at, read_schedule
from scaling.costs import estimate_week
from scaling.planning import PlanOptions, choose_levels, compute_capacity, compute_need, render_plan
from scaling.schedule import MAX_WINDOWS, Role
from scaling.traffic import QUARTERS_PER_DAY, TrafficError, format_legs, group_by_quarter, parse_legs
from scaling.zones import list_clock_changes

PARTITIONS = {"ingest": 6, "kpi-engine": 12}
MONDAY = date(2026, 9, 7)
TODAY = date(2026, 11, 28)
INGEST: dict[tuple[str, Role], float] = {("ingest", "api"): 1.0}


def make_week(
    per_second: Callable[[datetime], float], zone: str = "Europe/Berlin", weeks: int = 1
) -> dict[datetime, int]:
    """Legs by quarter hour from Monday 00:00 local time, of a rate by local time."""
    begin = datetime(MONDAY.year, MONDAY.month, MONDAY.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    quarters = [begin + timedelta(minutes=15 * number) for number in range(weeks * 7 * QUARTERS_PER_DAY)]
    return {at: round(900 * per_second(at.astimezone(ZoneInfo(zone)))) for at in quarters}


def make_plan(legs: Mapping[datetime, int], zone: str = "Europe/Berlin", **options: Any) -> str:
    chosen = PlanOptions(**{"zone": zone, "capacities": INGEST, "headroom": 1.0, **options})
    return render_plan(legs, chosen, partitions=PARTITIONS, today=TODAY)


def windows_of(text: str, service: str = "ingest", role: str = "api") -> list[tuple[Any, ...]]:
    found = yaml.load(text, yaml.BaseLoader)["services"][service][role].get("windows", [])
    return [(each["days"], each["from"], each["to"], int(each["replicas"])) for each in found]


def day_and_peak(at: datetime) -> float:
    """Ten a second on weekdays from eight to eight, twenty on Tuesday from ten to twelve."""
    if at.weekday() == 1 and 10 <= at.hour < 12:
        return 20
    return 10 if at.weekday() < 5 and 8 <= at.hour < 20 else 0


def test_a_day_and_a_peak() -> None:
    text = make_plan(make_week(day_and_peak))
    assert windows_of(text) == [("mon-fri", "08:00", "20:00", 10), ("tue", "10:00", "12:00", 20)]
    role = yaml.safe_load(text)["services"]["ingest"]["api"]
    assert (role["min"], role["max"]) == (2, 30)
    schedule = read_schedule(text, partitions=PARTITIONS, years_from=MONDAY).roles[0]
    cost = estimate_week(schedule, MONDAY)
    # By hand: 2 always, 8 more for 12.25 hours of five days, 10 more for 2.25 hours of one; beside 20 for 168 hours.
    assert cost.replica_hours == 2 * 168 + 8 * 12.25 * 5 + 10 * 2.25
    assert cost.static_hours == 20 * 168


def test_head_room_and_capacity() -> None:
    text = make_plan(make_week(day_and_peak), headroom=1.25, capacities={("ingest", "api"): 5.0})
    assert [each[3] for each in windows_of(text)] == [3, 5], "10 × 1.25 / 5 = 2.5 and 20 × 1.25 / 5 = 5"
    assert compute_capacity(5.0, 100, 0.7) == pytest.approx(14), "70 of 1,000 milliseconds, 5 a leg"


def test_a_night_shift_is_one_window_of_the_day_on_which_it_begins() -> None:
    text = make_plan(make_week(lambda at: 9 if at.hour >= 22 or at.hour < 6 else 0))
    assert windows_of(text) == [("mon-sun", "22:00", "06:00", 9)]


def test_what_begins_after_midnight_belongs_to_the_next_day() -> None:
    """The quietest hours are in the evening, so the day is cut there."""
    text = make_plan(make_week(lambda at: 6 if at.weekday() == 2 and 1 <= at.hour < 4 else 3 if at.hour < 17 else 0))
    assert ("wed", "01:00", "04:00", 6) in windows_of(text)


def test_days_around_the_clock() -> None:
    text = make_plan(make_week(lambda at: 8 if at.weekday() < 5 else 0))
    assert windows_of(text) == [("mon-fri", "00:00", "24:00", 8)]
    always = make_plan(make_week(lambda _: 8))
    assert windows_of(always) == []
    assert yaml.safe_load(always)["services"]["ingest"]["api"]["min"] == 8


def test_alike_days_get_one_window_and_short_gaps_none() -> None:
    def rate(at: datetime) -> float:
        minute = at.hour * 60 + at.minute
        later = 30 * (at.weekday() % 2)
        return 5 if at.weekday() < 5 and 480 + later <= minute < 1080 and not 720 <= minute < 780 else 0

    assert windows_of(make_plan(make_week(rate))) == [("mon-fri", "08:00", "18:00", 5)]


def test_the_quantile_leaves_out_the_one_odd_week() -> None:
    legs = make_week(day_and_peak, weeks=5)
    odd = {at: count * (3 if number < 7 * QUARTERS_PER_DAY else 1) for number, (at, count) in enumerate(legs.items())}
    assert [each[3] for each in windows_of(make_plan(odd, quantile=0.8))] == [10, 20]
    assert [each[3] for each in windows_of(make_plan(odd, quantile=1.0))] == [30, 60]
    assert compute_need([[900, 1800, 2700, 3600]], capacity=1, quantile=0.75, headroom=1) == [3]


def test_a_holiday_is_not_counted_and_is_written_down() -> None:
    legs = make_week(lambda at: 0 if at.date() == MONDAY else day_and_peak(at), weeks=2)
    assert windows_of(make_plan(legs, quantile=0.5))[0][0] == "tue-fri"
    text = make_plan(legs, quantile=0.5, holidays=[MONDAY])
    assert windows_of(text)[0][0] == "mon-fri"
    assert yaml.load(text, yaml.BaseLoader)["holidays"] == [str(MONDAY)]


def test_no_more_than_partitions_and_it_says_so() -> None:
    text = make_plan(make_week(day_and_peak), capacities={("ingest", "work"): 1.0})
    assert {each[3] for each in windows_of(text, role="work")} == {6}
    assert "# ingest.work: 1 legs a second and replica; 20 are needed, and no more than 6 have a partition" in text


def test_two_levels_cost_least() -> None:
    assert choose_levels([1] * 10 + [4] * 5 + [5] * 50 + [9] * 2) == [1, 5, 9]
    assert choose_levels([1, 1, 3]) == [1, 3]
    assert choose_levels([2, 2]) == [2]


@pytest.mark.parametrize(
    ("begin", "end", "found"),
    [
        (2.5, 4.0, ("02:00", "04:00")),  # 02:30 less the lead is 02:15, in the hour that is skipped; 01:45 is not
        (1.0, 2.5, ("01:00", "03:00")),
    ],
)
def test_edges_keep_out_of_hours_in_which_clocks_change(begin: float, end: float, found: tuple[str, str]) -> None:
    text = make_plan(make_week(lambda at: 7 if at.weekday() == 6 and begin <= at.hour + at.minute / 60 < end else 0))
    assert windows_of(text) == [("sun", *found, 7)]


ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Africa/Cairo",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
    "America/Havana",
    "UTC",
)


def make_random_week(chance: random.Random, zone: str, weeks: int) -> dict[datetime, int]:
    """Some shifts of random days, hours and heights, with noise."""
    shifts = [
        (chance.sample(range(7), chance.randint(1, 7)), chance.uniform(0, 24), chance.uniform(0.25, 24), chance.uniform(0, 30))
        for _ in range(chance.randint(0, 6))
    ]  # fmt: skip
    noise = chance.choice([0.0, 0.05, 0.5, 2.0])

    def rate(at: datetime) -> float:
        hour = at.hour + at.minute / 60
        found = 0.2
        for days, begin, length, height in shifts:
            for day, since in ((at.weekday(), hour - begin), ((at.weekday() - 1) % 7, hour + 24 - begin)):
                found += height if day in days and 0 <= since < length else 0
        return max(0.0, found * (1 + chance.gauss(0, noise)))

    return make_week(rate, zone, weeks)


@pytest.mark.slow
@pytest.mark.parametrize("zone", ZONES)
def test_a_plan_passes_all_checks_and_covers_what_is_needed(zone: str) -> None:
    chance = random.Random(zone)
    for _ in range(25):
        legs = make_random_week(chance, zone, chance.randint(1, 3))
        lead, quantile = chance.choice([0, 15, 40]), chance.choice([0.5, 0.9, 1.0])
        text = make_plan(legs, zone, lead_minutes=lead, quantile=quantile)
        schedule = read_schedule(text, partitions=PARTITIONS, years_from=date(2026, 1, 1)).roles[0]
        assert len(schedule.windows) <= MAX_WINDOWS
        need = compute_need(group_by_quarter(legs, zone), capacity=1.0, quantile=quantile, headroom=1.0)
        begin = datetime(MONDAY.year, MONDAY.month, MONDAY.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
        changes = list_clock_changes(zone, MONDAY, years=1)
        assert not any(begin <= each.at < begin + timedelta(days=7) for each in changes)
        floors = [floor_at(schedule, begin + timedelta(minutes=15 * number)) for number in range(len(need))]
        short = [number for number, (one, other) in enumerate(zip(floors, need, strict=True)) if one < other]
        assert short == [], (text, short)


def test_a_file_of_legs_is_read_as_it_is_written() -> None:
    legs = make_week(day_and_peak)
    assert parse_legs(format_legs(legs)) == legs
    for text, words in (
        ("a,b\n1,2\n", "columns `at` and `legs`"),
        ("at,legs\nx,1\n", "Line 2"),
        ("at,legs\n", "no leg"),
    ):
        with pytest.raises(TrafficError, match=words):
            parse_legs(text)


def test_what_cannot_be_planned() -> None:
    legs = make_week(day_and_peak)
    with pytest.raises(ScheduleError, match="no time zone `Europe/Berln`"):
        make_plan(legs, "Europe/Berln")
    with pytest.raises(ScheduleError, match="no service `ingst`"):
        make_plan(legs, capacities={("ingst", "api"): 1.0})
    with pytest.raises(TrafficError, match="a week at least"):
        make_plan(dict(list(legs.items())[:96]))


def test_samples_are_what_their_program_makes() -> None:
    for name, text in make_samples().items():
        assert (SAMPLES / name).read_text() == text


def test_legs_of_longer_intervals_are_refused() -> None:
    hourly = {datetime(2026, 10, 19, tzinfo=UTC) + timedelta(hours=each): 60 for each in range(24 * 7)}
    with pytest.raises(TrafficError, match="60 minutes long"):
        group_by_quarter(hourly, "UTC")


def test_a_day_that_is_not_over_is_left_out() -> None:
    """A call of the last evening that ended after midnight does not make an empty day of today."""
    monday = datetime(2026, 10, 19, tzinfo=UTC)
    legs = {monday + timedelta(minutes=15 * each): 10 for each in range(4 * 24 * 7 + 1)}
    grouped = group_by_quarter(legs, "UTC", before=date(2026, 10, 26))
    assert {tuple(counts) for counts in grouped} == {(10,)}


def test_a_time_without_a_zone_is_in_utc() -> None:
    assert parse_legs("at,legs\n2026-10-19T08:00,5\n") == parse_legs("at,legs\n2026-10-19T08:00Z,5\n")
