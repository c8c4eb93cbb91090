"""The workday of an instant for a person."""

from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from servicekit.workdays import FIRST_DAY, LAST_DAY, Workdays, build_zone_periods, zones_of
from testkit import parse_instant, unit_id

AMY, NOBODY = UUID(int=1), None
BERLIN, NEW_YORK, SHANGHAI = (ZoneInfo(name) for name in ("Europe/Berlin", "America/New_York", "Asia/Shanghai"))
ZONES = {unit_id("new-york"): NEW_YORK, unit_id("shanghai"): SHANGHAI}
MOVE = date(2026, 11, 5)


def workdays(*memberships: tuple[str, date, date], day_start_minutes: int = 240) -> Workdays:
    held = [(unit_id(unit), since, until) for unit, since, until in memberships]
    return Workdays(BERLIN, day_start_minutes, {AMY: build_zone_periods(held, ZONES, BERLIN)})


def test_the_day_is_that_of_the_site_and_begins_when_it_begins_there():
    days = workdays(("new-york", FIRST_DAY, LAST_DAY))
    assert days.workday_of(AMY, parse_instant("2026-11-05T01:00Z")) == date(2026, 11, 4)  # 20:00 there
    assert days.workday_of(AMY, parse_instant("2026-11-05T08:59Z")) == date(2026, 11, 4)  # 03:59
    assert days.workday_of(AMY, parse_instant("2026-11-05T09:00Z")) == MOVE
    assert days.workday_of(NOBODY, parse_instant("2026-11-05T03:00Z")) == MOVE  # 04:00 in Berlin
    assert days.workday_of(UUID(int=9), parse_instant("2026-11-05T02:59Z")) == date(2026, 11, 4)
    assert days.workday_of(AMY, int(parse_instant("2026-11-05T09:00Z").timestamp()) * 1000) == MOVE


def test_whoever_is_known_from_a_day_on_is_known_from_when_it_begins_at_the_site():
    days = workdays(("shanghai", MOVE, LAST_DAY))
    assert days.workday_of(AMY, parse_instant("2026-11-04T20:00Z")) == MOVE  # 04:00 in Shanghai
    assert days.workday_of(AMY, parse_instant("2026-11-04T19:59Z")) == date(2026, 11, 4)


def test_a_move_west_lengthens_the_last_day_and_a_move_east_cuts_it_short():
    west = workdays(("shanghai", FIRST_DAY, MOVE), ("new-york", MOVE, LAST_DAY))
    assert west.workday_of(AMY, parse_instant("2026-11-05T08:59Z")) == date(
        2026, 11, 4
    )  # the fifth had begun in Shanghai, not there
    assert west.workday_of(AMY, parse_instant("2026-11-05T09:00Z")) == MOVE
    east = workdays(("new-york", FIRST_DAY, MOVE), ("shanghai", MOVE, LAST_DAY))
    assert east.workday_of(AMY, parse_instant("2026-11-04T19:59Z")) == date(2026, 11, 4)
    assert east.workday_of(AMY, parse_instant("2026-11-04T20:00Z")) == MOVE


def test_the_nearest_zone_above_a_unit_is_its_zone():
    top, team, other = unit_id("top"), unit_id("team"), unit_id("other")
    found = zones_of([(top, [top], "Asia/Shanghai"), (team, [top, team], None), (other, [other], "No/Where")])
    assert found == {top: SHANGHAI, team: SHANGHAI}


@given(
    st.lists(
        st.tuples(st.sampled_from(["new-york", "shanghai", "nowhere"]), st.integers(0, 8), st.integers(0, 8)),
        max_size=4,
    ),
    st.integers(0, 23 * 60),
)
def test_days_never_go_back_and_each_begins_when_it_is_said_to(spans: list[tuple[str, int, int]], start: int):
    """The clocks of these zones are not changed within these days."""
    first = date(2026, 11, 3)
    days = workdays(
        *((unit, first + timedelta(days=since), first + timedelta(days=until)) for unit, since, until in spans),
        day_start_minutes=start,
    )
    begin = datetime(2026, 11, 3, tzinfo=UTC)
    seen = [
        (instant, days.workday_of(AMY, instant))
        for hours in range(24 * 8)
        for instant in [begin + timedelta(hours=hours)]
    ]
    assert [day for _, day in seen] == sorted(day for _, day in seen)
    for instant, day in seen:
        if (following := day + timedelta(days=1)) in {each for _, each in seen}:
            assert days.start_of_workday(AMY, day) <= instant < days.start_of_workday(AMY, following)
