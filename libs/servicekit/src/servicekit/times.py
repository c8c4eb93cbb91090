"""Types of days and instants in requests: from 1970 to 2999, so that date arithmetic never overflows."""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import AliasChoices, AwareDatetime, BaseModel, BeforeValidator, Field
from pydantic_core import PydanticKnownError

FIRST_DAY = date(1970, 1, 1)
LAST_DAY = date(2999, 12, 31)

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_INSTANT = re.compile(r"\d{4}-\d{2}-\d{2}[Tt_ ]\d{2}:\d{2}.*", re.ASCII)


def _written_day(value: Any) -> Any:
    # pydantic would read a number, also as a text such as `0`, as seconds since 1970. No caller means that by a day.
    if isinstance(value, date) or (isinstance(value, str) and _DAY.fullmatch(value)):
        return value
    raise PydanticKnownError("date_parsing", {"error": "it is not written as one"})


def _written_instant(value: Any) -> Any:
    if isinstance(value, datetime) or (isinstance(value, str) and _INSTANT.fullmatch(value)):
        return value
    raise PydanticKnownError("datetime_parsing", {"error": "it is not written as one"})


WrittenInstant = Annotated[AwareDatetime, BeforeValidator(_written_instant)]
"""An instant of any year."""
Day = Annotated[date, Field(ge=FIRST_DAY, le=LAST_DAY), BeforeValidator(_written_day)]
Instant = Annotated[
    AwareDatetime,
    Field(ge=datetime(1970, 1, 1, tzinfo=UTC), le=datetime(2999, 12, 31, 23, 59, 59, tzinfo=UTC)),
    BeforeValidator(_written_instant),
]


class DaySpan(BaseModel):
    """A range of days: from the first day to the last, both included."""

    first: date = Field(validation_alias=AliasChoices("from", "first"), serialization_alias="from")
    last: date = Field(validation_alias=AliasChoices("to", "last"), serialization_alias="to")
