"""What a shift file must not say. Each problem is one sentence that names the value and what to write."""

from collections.abc import Iterator, Mapping
from datetime import date
from itertools import combinations

from scaling.schedule import (
    MINUTES_PER_DAY,
    WEEKDAYS,
    Role,
    RoleSchedule,
    RoleSpec,
    ScheduleSpec,
    ShiftWindow,
    find_most_replicas,
    format_time,
    iterate_roles,
    to_role,
)
from scaling.zones import MINUTES_PER_WEEK, find_unsafe_part, is_known_zone

MAX_NAME_LENGTH = 63
"""Of Kubernetes names; KEDA puts `keda-hpa-` before that of the ScaledObject."""
_GRID = 15


def find_problems(spec: ScheduleSpec, *, partitions: Mapping[str, int], years_from: date) -> list[str]:
    """All problems of a file whose values have the right types."""
    problems: list[str] = []
    for service, role, own in iterate_roles(spec):
        path = f"services.{service}.{role}"
        zone_problems = list(_find_zone_problems(path, spec, own))
        problems += zone_problems
        problems += _find_number_problems(path, spec.release, service, role, own, partitions)
        schedule = to_role(spec, service, role, own)
        problems += _find_date_problems(path, spec, own)
        for number, window in enumerate(schedule.windows):
            if window.end in (window.begin, window.begin - MINUTES_PER_DAY):
                problems.append(
                    f"{path}.windows[{number}]: `{window.name}` ends when it begins; a whole day is 00:00 to 24:00."
                )
            elif not zone_problems:
                problems += _find_edge_problems(f"{path}.windows[{number}]", window, years_from)
        if not zone_problems:
            problems += _find_contradictions(path, schedule)
    return problems


def _find_zone_problems(path: str, spec: ScheduleSpec, own: RoleSpec) -> Iterator[str]:
    named = [("time_zone", spec.time_zone), (f"{path}.time_zone", own.time_zone)]
    named += [(f"{path}.windows[{number}].time_zone", each.time_zone) for number, each in enumerate(own.windows)]
    for where, zone in named:
        if zone is not None and not is_known_zone(zone):
            yield f"{where}: there is no time zone `{zone}`; write an IANA name such as Europe/Berlin."


def _find_number_problems(
    path: str, release: str, service: str, role: Role, own: RoleSpec, partitions: Mapping[str, int]
) -> Iterator[str]:
    if service not in partitions:
        yield f"{path}: there is no service `{service}`; the services are {', '.join(partitions)}."
        return
    if own.min > own.max:
        yield f"{path}: min {own.min} is above max {own.max}."
    most = find_most_replicas(service, role, partitions)
    if own.max > most:
        yield f"{path}.max: {own.max} replicas, but no more than {most} have a partition of a topic to read or write; put {most}."
    for number, each in enumerate(own.windows):
        if each.replicas > own.max:
            yield f"{path}.windows[{number}].replicas: {each.replicas} is above max {own.max}; raise max or lower it."
        if each.replicas < own.min:
            yield f"{path}.windows[{number}].replicas: {each.replicas} is below min {own.min} and changes nothing."
    names = [each.name for each in own.windows]
    for name in sorted({each for each in names if names.count(each) > 1}):
        yield f"{path}.windows: `{name}` is there twice; give each window a name of its own."
    full_name = f"keda-hpa-{release}-{service}-{role}"
    if len(full_name) > MAX_NAME_LENGTH:
        yield f"release: `{full_name}` has {len(full_name)} characters, and {MAX_NAME_LENGTH} are allowed; shorten the release's name."


def _find_date_problems(path: str, spec: ScheduleSpec, own: RoleSpec) -> Iterator[str]:
    holidays = own.holidays if own.holidays is not None else spec.holidays or []
    extra = own.extra_days if own.extra_days is not None else spec.extra_days or []
    for each in extra:
        if each.date in holidays:
            yield f"{path}: {each.date} is a holiday and an extra day; remove one of them."
    dates = [each.date for each in extra]
    for day in sorted({each for each in dates if dates.count(each) > 1}):
        yield f"{path}: {day} is an extra day twice."


def _find_edge_problems(path: str, window: ShiftWindow, years_from: date) -> Iterator[str]:
    """KEDA skips an edge whose wall-clock time does not exist on a day, and then floors a shift for a day too long or not
    at all; of an hour that comes twice it takes one."""
    for day in window.days:
        midnight = WEEKDAYS.index(day) * MINUTES_PER_DAY
        for field, offset in (("from", window.start_offset), ("to", window.end_offset)):
            part = find_unsafe_part(window.time_zone, midnight + offset, years_from)
            if part is None:
                continue
            lead = window.lead_minutes if field == "from" else 0
            safe = min(
                (part[0] - 1) // _GRID * _GRID, -(-part[1] // _GRID) * _GRID,
                key=lambda minute: abs(minute - (midnight + offset) % MINUTES_PER_WEEK),
            )  # fmt: skip
            opens = f" less {lead} minutes of lead" if lead else ""
            yield (
                f"{path}.{field}: {format_time(offset + lead)}{opens} on {_weekday(midnight + offset)} lies between "
                f"{format_time(part[0])} and {format_time(part[1])}, when the clocks of {window.time_zone} are changed; "
                f"write {format_time(safe + lead)}."
            )
            return


def _find_contradictions(path: str, schedule: RoleSchedule) -> Iterator[str]:
    """The larger number of windows that overlap holds. That is plain where a peak lies inside a longer window; where two
    windows cross, or a smaller number lies inside, the file says two things of one time."""
    for one, other in combinations(schedule.windows, 2):
        if one.replicas == other.replicas or one.time_zone != other.time_zone:
            continue
        small, large = sorted((one, other), key=lambda each: each.replicas)
        small_parts, large_parts = _week_parts(small), _week_parts(large)
        for begin, end in large_parts:
            crossed = [part for part in small_parts if part[0] < end and begin < part[1]]
            if crossed and not any(part[0] <= begin and end <= part[1] for part in crossed):
                yield (
                    f"{path}.windows: `{large.name}` ({large.replicas}) and `{small.name}` ({small.replicas}) overlap on "
                    f"{_weekday(max(begin, crossed[0][0]))} from {format_time(max(begin, crossed[0][0]))}; end one where the "
                    "other begins, or put the larger inside the smaller."
                )
                break


def _week_parts(window: ShiftWindow) -> list[tuple[int, int]]:
    """Its times of the week without lead, in minutes from Monday 00:00, those around the end of the week twice."""
    parts: list[tuple[int, int]] = []
    for day in window.days:
        begin = WEEKDAYS.index(day) * MINUTES_PER_DAY + window.begin
        parts += [(begin + shift, begin + window.length + shift) for shift in (-MINUTES_PER_WEEK, 0, MINUTES_PER_WEEK)]
    merged: list[tuple[int, int]] = []
    for begin, end in sorted(parts):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def _weekday(minute_of_week: int) -> str:
    return WEEKDAYS[minute_of_week // MINUTES_PER_DAY % 7]
