"""The rendered values file, and when it is stale."""

from datetime import date, timedelta

import yaml
from scaling import Schedule, read_schedule
from scaling.values import find_staleness, is_current, render_values
from shift_file import GOOD

TODAY = date(2026, 11, 28)
MAX_AGE_DAYS = 45


def schedule_of(text: str = GOOD) -> Schedule:
    return read_schedule(text, partitions={"ingest": 6}, years_from=date(2026, 1, 1))


def test_it_has_what_the_chart_prints() -> None:
    found = yaml.safe_load(render_values(schedule_of(), TODAY))["scaling"]["ingest"]
    assert (found["work"]["min"], found["work"]["max"], found["work"]["triggers"]) == (1, 6, [])
    assert found["api"]["triggers"][0] == {
        "name": "day-mon-thu", "timezone": "Europe/Berlin", "start": "45 7 * * 1-4", "end": "0 20 * * 1-4", "replicas": 6,
    }  # fmt: skip
    names = [each["name"] for each in found["api"]["triggers"]]
    assert "day-2026-12-18" in names, "Fridays are written as dates while a holiday is one"
    assert "day-2026-12-25" not in names
    assert "day-2026-12-20" in names, "a Sunday like a Monday"
    assert len(set(names)) == len(names)
    assert not any("," in each["start"] + each["end"] for each in found["api"]["triggers"])


def test_its_shifts_are_a_shift_file_that_means_the_same() -> None:
    schedule = schedule_of(GOOD.replace("22:00, to: 06:00", "22:00, to: 24:00"))
    found = yaml.safe_load(render_values(schedule, TODAY))["scaling"]
    roles = {
        service: {role: {"min": of["min"], "max": of["max"], **of["shifts"]} for role, of in roles.items()}
        for service, roles in found.items()
    }
    assert schedule_of(yaml.safe_dump({"services": roles})) == schedule


def test_it_is_compared_with_what_is_rendered_for_its_own_date() -> None:
    schedule = schedule_of()
    text = render_values(schedule, TODAY)
    assert find_staleness(text, schedule) is None
    assert "has changed" in (find_staleness(text, schedule_of(GOOD.replace("replicas: 8", "replicas: 9"))) or "")
    assert "has changed" in (find_staleness(text.replace("45 7", "44 7"), schedule) or "")
    assert "was not written" in (find_staleness("scaling: {}\n", schedule) or "")


def test_an_age_may_be_asked_for() -> None:
    schedule = schedule_of()
    text = render_values(schedule, TODAY)

    def staleness(days: int) -> str | None:
        return find_staleness(text, schedule, today=TODAY + timedelta(days=days), max_age_days=MAX_AGE_DAYS)

    assert staleness(MAX_AGE_DAYS) is None
    assert "60 days only" in (staleness(MAX_AGE_DAYS + 1) or "")


def test_a_file_without_dates_is_current_for_ever() -> None:
    schedule = schedule_of(
        GOOD.replace("holidays: [2026-12-25]", "").replace("extra_days: [{date: 2026-12-20, like: mon}]", "")
    )
    text, later = render_values(schedule, TODAY), TODAY + timedelta(days=900)
    assert is_current(text, schedule, later)
    assert find_staleness(text, schedule, today=later, max_age_days=MAX_AGE_DAYS) is None
    assert not is_current(render_values(schedule_of(), TODAY), schedule_of(), TODAY + timedelta(days=7))
