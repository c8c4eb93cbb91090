"""The shift file of an environment: when how many replicas of which service are needed.

Times are wall-clock times of the named IANA time zone. Of a window that ends at or before its start, the end is on the
next day; `24:00` is the end of the day."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES_PER_DAY = 1440
MAX_WINDOWS = 20
"""Of one role: each is up to seven triggers, and the HPA asks for the metric of each of them every 15 seconds."""
MAX_LEAD_MINUTES = 180
MAX_REPLICAS = 1000

Role = Literal["api", "work"]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def _parse_minutes(value: Any) -> Any:
    """Minutes since midnight of a text `HH:MM`."""
    hours, colon, minutes = str(value).partition(":")
    well_formed = colon and hours.isascii() and hours.isdigit() and minutes.isascii() and minutes.isdigit()
    if not well_formed or len(minutes) != 2 or int(minutes) > 59 or int(hours) * 60 + int(minutes) > MINUTES_PER_DAY:
        raise ValueError('write a time as "HH:MM", from "00:00" to "24:00"')
    return int(hours) * 60 + int(minutes)


def format_time(minutes: int) -> str:
    """`HH:MM` of minutes since midnight of some day; negative: of the day before."""
    return f"{minutes // 60 % 24:02}:{minutes % 60:02}"


def _parse_days(value: Any) -> Any:
    """Weekdays of `mon-fri`, `sat` or a list of them."""
    days: list[str] = []
    for each in cast("list[Any]", value) if isinstance(value, list) else [value]:
        first, _, last = str(each).partition("-")
        last = last or first
        if first not in WEEKDAYS or last not in WEEKDAYS:
            raise ValueError(f"write days as `mon-fri`, `sat` or a list; the days are {', '.join(WEEKDAYS)}")
        begin, end = WEEKDAYS.index(first), WEEKDAYS.index(last)
        days += [WEEKDAYS[index % 7] for index in range(begin, (end if end >= begin else end + 7) + 1)]
    return sorted(set(days), key=WEEKDAYS.index)


def _require_some(days: list[Any]) -> list[Any]:
    if not days:
        raise ValueError("name at least one")
    return days


Minutes = Annotated[int, Field(ge=0, le=MINUTES_PER_DAY), BeforeValidator(_parse_minutes)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$")]
Replicas = Annotated[int, Field(ge=1, le=MAX_REPLICAS)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True, frozen=True)


class Window(_Strict):
    """A recurring time of the week in which at least `replicas` are to be ready. `lead_minutes`: how long before `from` they
    are started; None as the role says."""

    name: Name
    days: Annotated[list[Weekday], BeforeValidator(_parse_days), AfterValidator(_require_some)]
    begin: Minutes = Field(alias="from")
    end: Minutes = Field(alias="to")
    replicas: Replicas
    time_zone: str | None = None
    lead_minutes: Annotated[int, Field(ge=0, le=MAX_LEAD_MINUTES)] | None = None


class ExtraDay(_Strict):
    """A date on which the windows of another weekday apply, too: `like: mon`."""

    date: date
    like: Weekday


class _Calendar(_Strict):
    """What the file says for all roles, and a role may say otherwise."""

    time_zone: str | None = None
    lead_minutes: Annotated[int, Field(ge=0, le=MAX_LEAD_MINUTES)] | None = None
    holidays: list[date] | None = None
    extra_days: list[ExtraDay] | None = None


class RoleSpec(_Calendar):
    """Replicas of one role of a service: `min` always, `max` at most, and those of the windows."""

    min: Replicas
    max: Replicas
    windows: Annotated[list[Window], Field(max_length=MAX_WINDOWS)] = []


class ScheduleSpec(_Calendar):
    """A shift file as it is written. `release`: the Helm release, which is part of names."""

    release: Name = "uplift"
    services: dict[str, dict[Role, RoleSpec]]


@dataclass(frozen=True)
class ShiftWindow:
    """A window with all that applies to it."""

    name: str
    days: tuple[str, ...]
    begin: int
    end: int
    replicas: int
    time_zone: str
    lead_minutes: int

    @property
    def length(self) -> int:
        """Minutes of wall-clock time from begin to end, without the lead."""
        return (self.end - self.begin) % MINUTES_PER_DAY or MINUTES_PER_DAY

    @property
    def start_offset(self) -> int:
        """Minutes from midnight of the window's day to the start of the pods; negative: on the day before."""
        return self.begin - self.lead_minutes

    @property
    def end_offset(self) -> int:
        """Minutes from midnight of the window's day to its end; above 1440: on the day after."""
        return self.begin + self.length

    def applies_on(self, weekday: int) -> bool:
        """Whether it recurs on that weekday, 0 for Monday."""
        return WEEKDAYS[weekday] in self.days


@dataclass(frozen=True)
class RoleSchedule:
    """All that is known of one role of one service."""

    service: str
    role: Role
    min: int
    max: int
    windows: tuple[ShiftWindow, ...]
    holidays: frozenset[date]
    extra_days: Mapping[date, str]

    def runs_on(self, window: ShiftWindow, day: date) -> bool:
        """Whether the window begins on that day: on its weekdays but for holidays, and on extra days like them."""
        if self.extra_days.get(day) in window.days:
            return True
        return window.applies_on(day.weekday()) and day not in self.holidays


@dataclass(frozen=True)
class Schedule:
    """A shift file that was checked."""

    release: str
    roles: tuple[RoleSchedule, ...]


def to_schedule(spec: ScheduleSpec) -> Schedule:
    """The file with its defaults applied to every role and window."""
    roles = [to_role(spec, service, role, each) for service, role, each in iterate_roles(spec)]
    return Schedule(spec.release, tuple(roles))


def iterate_roles(spec: ScheduleSpec) -> Iterator[tuple[str, Role, RoleSpec]]:
    """Service, role and what the file says of it."""
    for service, roles in spec.services.items():
        for role, each in roles.items():
            yield service, role, each


def to_role(spec: ScheduleSpec, service: str, role: Role, own: RoleSpec) -> RoleSchedule:
    """A role with the defaults of the file."""

    def first_of(*values: Any) -> Any:
        return next((each for each in values if each is not None), None)

    windows = tuple(
        ShiftWindow(
            name=each.name,
            days=tuple(each.days),
            begin=each.begin,
            end=each.end,
            replicas=each.replicas,
            time_zone=first_of(each.time_zone, own.time_zone, spec.time_zone, "UTC"),
            lead_minutes=first_of(each.lead_minutes, own.lead_minutes, spec.lead_minutes, 15),
        )
        for each in own.windows
    )
    holidays = frozenset(first_of(own.holidays, spec.holidays, []))
    extra_days = {each.date: each.like for each in first_of(own.extra_days, spec.extra_days, [])}
    return RoleSchedule(service, role, own.min, own.max, windows, holidays, extra_days)


def find_most_replicas(service: str, role: Role, partitions: Mapping[str, int]) -> int:
    """How many replicas of the role are of use. A `work` replica needs a partition; where there is one only, a second stands by."""
    return max(partitions[service], 2) if role == "work" else MAX_REPLICAS
