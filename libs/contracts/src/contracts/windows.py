"""Names of windows of days, in events and in answers, by ISO 8601: a workday `2026-03-04`, a week `2026-W10`, a month `2026-03`,
another stretch `2026-03-04/2026-03-17`. The first and the last day belong to the window."""

import re
from calendar import monthrange
from datetime import date, timedelta
from typing import Annotated, Literal

from pydantic import Field

PATTERN = r"^\d{4}-(W\d{2}|\d{2}|\d{2}-\d{2}(/\d{4}-\d{2}-\d{2})?)$"

WindowName = Annotated[str, Field(json_schema_extra={"pattern": PATTERN, "examples": ["2026-W10"]})]
"""The pattern is documented and not validated: a reader accepts the names that an older writer used."""


def window_name(grain: Literal["workday", "week", "month", "total"], first: date, last: date) -> str:
    """The name of the window that begins on `first`. `last` matters only for a `total`."""
    if grain == "week":
        year, week, _ = first.isocalendar()
        return f"{year:04}-W{week:02}"
    if grain == "month":
        return f"{first:%Y-%m}"
    return first.isoformat() if grain == "workday" else f"{first.isoformat()}/{last.isoformat()}"


def window_end(grain: Literal["workday", "week", "month", "total"], first: date, last: date) -> date:
    """The last day of the window that begins on `first`. `last` matters only for a `total`."""
    if grain == "week":
        return first + timedelta(days=6)
    if grain == "month":
        return first.replace(day=monthrange(first.year, first.month)[1])
    return first if grain == "workday" else last


def window_days(name: str) -> tuple[date, date] | None:
    """The first and the last day of the window with this name, or None where `name` is not a window's name."""
    if not re.match(PATTERN, name):
        return None
    try:
        year, _, week = name.partition("-W")
        if week:
            return date.fromisocalendar(int(year), int(week), 1), date.fromisocalendar(int(year), int(week), 7)
        if len(name) == len("2026-03"):
            first = date.fromisoformat(f"{name}-01")
            return first, window_end("month", first, first)
        first, _, last = name.partition("/")
        return date.fromisoformat(first), date.fromisoformat(last or first)
    except ValueError:
        return None
