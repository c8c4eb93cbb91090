"""The rendered values file, and when it is stale."""

from datetime import date, timedelta

import yaml
from scaling import Schedule, read_schedule
from scaling.values import MAX_AGE_DAYS, find_staleness, render_values
from shift_file import GOOD

TODAY = date(2026, 11, 28)


def schedule_of(text: str = GOOD) -> Schedule:
    return read_schedule(text, partitions={"ingest": 6}, years_from=date(2026, 1, 1))


def test_it_has_what_the_chart_prints() -> None:
    found = yaml.safe_load(render_values(schedule_of(), TODAY))["scaling"]["ingest"]
    assert found["work"] == {"min": 1, "max": 6, "triggers": []}
    assert found["api"]["triggers"][0] == {
        "name": "day-mon-thu", "timezone": "Europe/Berlin", "start": "45 7 * * 1-4", "end": "0 20 * * 1-4", "replicas": 6,
    }  # fmt: skip
    names = [each["name"] for each in found["api"]["triggers"]]
    assert "day-2026-12-18" in names, "Fridays are written as dates while a holiday is one"
    assert "day-2026-12-25" not in names
    assert "day-2026-12-20" in names, "a Sunday like a Monday"
    assert len(set(names)) == len(names)
    assert not any("," in each["start"] + each["end"] for each in found["api"]["triggers"])


def test_when_it_is_stale() -> None:
    schedule = schedule_of()
    text = render_values(schedule, TODAY)
    assert find_staleness(text, schedule, TODAY + timedelta(days=MAX_AGE_DAYS)) is None
    assert "60 days only" in (find_staleness(text, schedule, TODAY + timedelta(days=MAX_AGE_DAYS + 1)) or "")
    assert "has changed" in (find_staleness(text, schedule_of(GOOD.replace("replicas: 8", "replicas: 9")), TODAY) or "")
    assert "was not written" in (find_staleness("scaling: {}\n", schedule, TODAY) or "")


def test_without_dates_it_is_never_stale() -> None:
    schedule = schedule_of(
        GOOD.replace("holidays: [2026-12-25]", "").replace("extra_days: [{date: 2026-12-20, like: mon}]", "")
    )
    assert find_staleness(render_values(schedule, TODAY), schedule, TODAY + timedelta(days=900)) is None
