"""A range of days as the query parameters `from` and `to`, both included."""

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Annotated

from fastapi import Depends, Query

from servicekit.errors import FieldProblem, Invalid
from servicekit.times import FIRST_DAY, Day

MOST_DAYS = 400
"""The most days in one range: a year and the month before it."""


@dataclass(frozen=True)
class DayRange:
    """The query parameters `from` and `to`; None for one that was not sent."""

    first: date | None = None
    last: date | None = None

    def within(self, today: date, *, days: int) -> tuple[date, date]:
        """The first and the last day. By default, the range ends `today` and is `days` long. Raises Invalid when it is empty
        or longer than MOST_DAYS."""
        last = self.last or today
        first = self.first or max(last - timedelta(days=days - 1), FIRST_DAY)
        if last < first:
            problem = FieldProblem(pointer="/query/to", problem=f"{last} is before {first}", cure="exchange them")
            raise Invalid("empty-range", "`to` comes before `from`.", errors=[problem])
        if (length := (last - first).days + 1) > MOST_DAYS:
            earliest = last - timedelta(days=MOST_DAYS - 1)
            problem = FieldProblem(
                pointer="/query/from",
                problem=f"{length:,} days up to {last}",
                cure=f"at most {MOST_DAYS} days at once: begin with {earliest}, and ask for what was before it next",
            )
            raise Invalid("range-too-long", f"A range has at most {MOST_DAYS} days.", errors=[problem])
        return first, last


def _range(
    first: Annotated[
        Day | None, Query(alias="from", description=f"First day. A range has at most {MOST_DAYS} days.")
    ] = None,
    last: Annotated[
        Day | None,
        Query(
            alias="to", description="Last day; without it, today where the agent asked for works, or else the caller."
        ),
    ] = None,
) -> DayRange:
    return DayRange(first, last)


DaysDep = Annotated[DayRange, Depends(_range)]
