"""Leaderboards: their period, their people, and whose names they show."""

from datetime import date, timedelta
from typing import Literal

from pydantic import Field
from servicekit.strict_models import StrictModel

from gamification.model.improvement import monday_of
from gamification.model.rules import LocalizedText, Slug


class Leaderboard(StrictModel):
    """`org_unit`: its people only. `rules`: their points only. `min_entries`: who has fewer is not ranked.

    `anonymise` `all_except_top`: below the first `top` ranks a name shows only to those who may see that person
    anyway. `around`: how many neighbours on either side "around me" shows.
    """

    leaderboard: Slug
    title: LocalizedText
    period: Literal["week", "month", "total"] = "week"
    org_unit: Slug | None = None
    rules: list[Slug] | None = None
    min_entries: int = Field(default=1, ge=1)
    anonymise: Literal["none", "all_except_top"] = "all_except_top"
    top: int = Field(default=3, ge=1, le=100)
    around: int = Field(default=2, ge=1, le=50)


def compute_period(period: str, day: date) -> tuple[date, date]:
    """First day (included) and end day (excluded) of the period (`week`, `month` or `total`) that contains `day`."""
    if period == "week":
        return monday_of(day), monday_of(day) + timedelta(days=7)
    if period == "month":
        first = day.replace(day=1)
        return first, (first + timedelta(days=32)).replace(day=1)
    return date.min, date.max


def shows_name(board: Leaderboard, rank: int, seen: bool) -> bool:
    """Whether the board shows the name at `rank` (from 1). `seen`: the caller may see this person on a day of the
    period."""
    return board.anonymise == "none" or rank <= board.top or seen
