"""Shift files that are refused, with the sentence that says why."""

from datetime import date

import pytest
from scaling import ScheduleError, read_schedule
from shift_file import GOOD


def problems_of(text: str) -> list[str]:
    with pytest.raises(ScheduleError) as refused:
        read_schedule(text, partitions={"ingest": 6}, years_from=date(2026, 1, 1))
    return refused.value.problems


def test_a_good_file_is_taken() -> None:
    schedule = read_schedule(GOOD, partitions={"ingest": 6}, years_from=date(2026, 1, 1))
    assert [(each.service, each.role, each.min, each.max) for each in schedule.roles] == [
        ("ingest", "api", 2, 12),
        ("ingest", "work", 1, 6),
    ]
    day = schedule.roles[0].windows[0]
    assert (day.days, day.start_offset, day.end_offset) == (("mon", "tue", "wed", "thu", "fri"), 465, 1200)


REFUSED = {
    "unknown zone": ("Europe/Berlin", "Europe/Berln", "time_zone: there is no time zone `Europe/Berln`"),
    "skipped hour": ("to: 06:00", "to: 02:30", "windows[2].to: 02:30 on sun lies between 02:00 and 03:00"),
    "proposal": ("to: 06:00", "to: 02:50", "write 03:00."),
    "lead into it": ("from: 22:00, to: 06:00", "from: 03:10, to: 06:00", "03:10 less 15 minutes of lead on sun"),
    "proposal with lead": ("from: 22:00, to: 06:00", "from: 03:10, to: 06:00", "write 03:15."),
    "no length": ("to: 20:00", "to: 08:00", "`day` ends when it begins; a whole day is 00:00 to 24:00"),
    "crossing": ('from: "10:00"', 'from: "07:00"', "`peak` (8) and `day` (6) overlap on mon from 08:00"),
    "smaller inside": ("replicas: 8", "replicas: 4", "`day` (6) and `peak` (4) overlap on mon from 10:00"),
    "above max": ("replicas: 8", "replicas: 13", "windows[1].replicas: 13 is above max 12"),
    "below min": ("replicas: 3", "replicas: 1", "windows[2].replicas: 1 is below min 2"),
    "min above max": ("min: 2", "min: 20", "min 20 is above max 12"),
    "partitions": ("max: 6}", "max: 7}", "services.ingest.work.max: 7 replicas, but no more than 6 have a partition"),
    "same name": ("name: peak", "name: day", "windows: `day` is there twice"),
    "long name": ("time_zone:", f"release: {'x' * 32}xx\ntime_zone:", "release: string should match pattern"),
    "unknown service": ("  ingest:", "  ingesting:", "there is no service `ingesting`; the services are ingest"),
    "unknown field": ("min: 2", "mim: 2", "services.ingest.api.mim: extra inputs are not permitted"),
    "unknown role": ("    work:", "    worker:", "services.ingest.worker"),
    "time": ("from: 08:00", "from: 8", 'write a time as "HH:MM"'),
    "beyond the day": ("to: 20:00", "to: 24:30", 'write a time as "HH:MM"'),
    "day": ("days: mon-fri", "days: mon-fry", "the days are mon, tue, wed, thu, fri, sat, sun"),
    "no days": ("days: mon-fri", "days: []", "name at least one"),
    "date": ("2026-12-25", "2026-13-25", "holidays.0: input should be a valid date"),
    "holiday and extra": ("2026-12-25", "2026-12-20", "2026-12-20 is a holiday and an extra day"),
    "twice": ("min: 2", "min: 2\n      min: 3", "`min` is there twice"),
    "lead": ("lead_minutes: 15", "lead_minutes: 1500", "lead_minutes: input should be less than or equal to 180"),
    "not a mapping": (GOOD, "- 1", "the file: input should be a valid dictionary"),
    "not YAML": (GOOD, "a: [", "This is not YAML"),
}


@pytest.mark.parametrize(("old", "new", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_it_refuses(old: str, new: str, sentence: str) -> None:
    assert old in GOOD
    problems = problems_of(GOOD.replace(old, new, 1))
    assert any(sentence in each for each in problems), problems


def test_all_problems_are_told_at_once() -> None:
    assert len(problems_of(GOOD.replace("replicas: 8", "replicas: 13").replace("max: 6}", "max: 7}"))) == 2


def test_the_same_edge_is_safe_on_days_on_which_no_clock_is_changed() -> None:
    text = GOOD.replace("days: [sat, sun], from: 22:00, to: 06:00", "days: tue, from: 02:30, to: 05:00")
    read_schedule(text, partitions={"ingest": 6}, years_from=date(2026, 1, 1))
