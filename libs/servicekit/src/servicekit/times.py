"""Days and instants that callers give: from 1970 to 2999, so that every sum of two stays within every calendar."""

from datetime import UTC, date, datetime
from typing import Annotated

from pydantic import AliasChoices, AwareDatetime, BaseModel, Field

FIRST_DAY = date(1970, 1, 1)
LAST_DAY = date(2999, 12, 31)

Day = Annotated[date, Field(ge=FIRST_DAY, le=LAST_DAY)]
Instant = Annotated[
    AwareDatetime, Field(ge=datetime(1970, 1, 1, tzinfo=UTC), le=datetime(2999, 12, 31, 23, 59, 59, tzinfo=UTC))
]


class DaySpan(BaseModel):
    """A range of days in an answer, both ends included: `from` and `to`, as in a query."""

    first: date = Field(validation_alias=AliasChoices("from", "first"), serialization_alias="from")
    last: date = Field(validation_alias=AliasChoices("to", "last"), serialization_alias="to")
