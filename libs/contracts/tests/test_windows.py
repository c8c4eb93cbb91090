"""A window has one name, by ISO 8601, from which its days are known."""

from datetime import date
from typing import Any

import pytest
from contracts.directory import Membership
from contracts.windows import window_days, window_end, window_name

DAY, SUNDAY, END = date(2026, 3, 2), date(2026, 3, 8), date(2026, 3, 17)


@pytest.mark.parametrize(
    ("grain", "first", "name", "last"),
    [
        ("workday", DAY, "2026-03-02", DAY),
        ("week", DAY, "2026-W10", SUNDAY),
        ("week", date(2024, 12, 30), "2025-W01", date(2025, 1, 5)),
        ("month", date(2024, 2, 1), "2024-02", date(2024, 2, 29)),
        ("total", DAY, "2026-03-02/2026-03-17", END),
    ],
)
def test_a_name_says_the_days(grain: Any, first: date, name: str, last: date) -> None:
    assert window_name(grain, first, END) == name
    assert window_end(grain, first, END) == last
    assert window_days(name) == (first, last)


@pytest.mark.parametrize(
    "name", ["", "last 50", "2026", "2026-13", "2026-W54", "2026-02-30", "2026-03-02T08:00", "W10"]
)
def test_what_is_no_name_has_no_days(name: str) -> None:
    assert window_days(name) is None


def test_until_when_something_holds_is_read_and_written_by_both_its_names() -> None:
    """Readers from before know it as `valid_to`."""
    unit = {"org_unit_id": "0197c0de-0000-7000-8000-000000000010", "valid_from": "2026-03-02"}
    old, new = (Membership.model_validate(unit | {name: "2026-03-17"}) for name in ("valid_to", "valid_until"))
    assert old == new
    assert old.holds_on(date(2026, 3, 16))
    assert not old.holds_on(END)
    assert new.model_dump(mode="json")["valid_to"] == new.model_dump(mode="json")["valid_until"] == "2026-03-17"
    assert Membership.model_validate_json(new.model_dump_json()) == new
