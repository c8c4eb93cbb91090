"""Shift windows proposed from traffic.

For each quarter hour of the week the need is a quantile over the weeks, with head-room, by what one replica handles. It is
covered by a minimum and two levels of windows, `shift` and `peak`, such that they cost the fewest replica-hours. They keep
the rules of `checks`: a peak lies inside a shift, and no edge in an hour in which clocks are changed."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import yaml

from scaling.reading import ScheduleError, read_schedule
from scaling.schedule import MAX_WINDOWS, WEEKDAYS, Role, find_most_replicas, format_time
from scaling.traffic import (
    QUARTERS_PER_DAY,
    QUARTERS_PER_WEEK,
    SECONDS_PER_QUARTER,
    Legs,
    group_by_quarter,
)
from scaling.zones import MINUTES_PER_WEEK, find_unsafe_part, is_known_zone

LEG_CPU_MS: dict[tuple[str, Role], float] = {
    ("ingest", "api"): 4.9,
    ("ingest", "work"): 1.4,
    ("kpi-engine", "work"): 2.0,
    ("gamification", "work"): 2.1,
}
"""CPU milliseconds of a leg, of those processes whose load legs are; all others take 0.1 ms and less. Measured on
2026-11-28 by `python -m tests.load.leg_cost`: two records a request, the real stack, 2,000 legs."""

LEAST_REPLICAS: dict[Role, int] = {"api": 2, "work": 1}
_GAPS = (4, 8, 16, QUARTERS_PER_DAY)
"""Quarters between two windows of a day that are closed, tried until there are few enough windows."""
_ALIKE = 4
"""Quarters by which the edges of days may differ that get one window."""
_GRID = 2
"""Quarters to which edges are rounded, outwards."""


@dataclass(frozen=True)
class Demand:
    """What one role needs: `need` replicas by quarter of the week, from Monday 00:00. `most`: no more are of use."""

    service: str
    role: Role
    need: Sequence[int]
    most: int


@dataclass(frozen=True)
class _Window:
    """Quarters from midnight of each of `days` (0 for Monday); `end` is after `begin`, and up to a day later."""

    days: tuple[int, ...]
    begin: int
    end: int

    def quarters(self) -> Iterator[int]:
        for day in self.days:
            for quarter in range(self.begin, self.end):
                yield (day * QUARTERS_PER_DAY + quarter) % QUARTERS_PER_WEEK


def compute_capacity(leg_cpu_ms: float, cpu_millicores: int, utilization: float) -> float:
    """Legs a second of one replica at which it uses `utilization` of the CPU that it requests."""
    return cpu_millicores * utilization / leg_cpu_ms


def compute_need(grouped: Sequence[Sequence[int]], *, capacity: float, quantile: float, headroom: float) -> list[int]:
    """Replicas by quarter of the week: the `quantile` (nearest rank) of its legs over the weeks, times `headroom`, by the
    legs a second that one replica handles."""
    found: list[int] = []
    for counts in grouped:
        ranked = sorted(counts) or [0]
        legs = ranked[max(0, math.ceil(quantile * len(ranked)) - 1)]
        found.append(math.ceil(legs * headroom / SECONDS_PER_QUARTER / capacity))
    return found


def propose_role(demand: Demand, *, zone: str, lead_minutes: int, years_from: date) -> dict[str, Any]:
    """What a shift file says of the role: `min`, `max` and `windows`."""
    need = [min(max(each, LEAST_REPLICAS[demand.role]), demand.most) for each in demand.need]
    levels = choose_levels(need)
    while True:
        windows = _propose_windows(need, levels, zone, lead_minutes, years_from) if len(levels) > 1 else []
        if windows is not None:
            break
        # A level that is needed around the clock on some days, where no window can begin at midnight.
        levels = levels[1:]
    low, *_ = levels
    entries: list[dict[str, Any]] = []
    for kind, level, each in windows:
        entries.append(_describe(kind, level, each, {entry["name"] for entry in entries}))
    most = min(max(math.ceil(1.5 * levels[-1]), levels[-1] + 1), demand.most)
    return {"min": low, "max": most, **({"windows": entries} if entries else {})}


def choose_levels(need: Sequence[int]) -> list[int]:
    """The minimum, and at most two numbers of replicas above it, the last one the most that is needed, with which the week
    costs the fewest replica-hours."""
    low, high = min(need), max(need)
    if low == high:
        return [low]

    def cost(middle: int) -> int:
        return sum(low if each <= low else middle if each <= middle else high for each in need)

    middle = min(sorted(set(need) - {low}), key=cost)
    return [low, high] if middle == high else [low, middle, high]


def _propose_windows(
    need: Sequence[int], levels: Sequence[int], zone: str, lead_minutes: int, years_from: date
) -> list[tuple[str, int, _Window]] | None:
    """`shift` or `peak`, replicas, window. None when a level is needed for whole days and days cannot begin at midnight."""

    def is_safe(quarter: int, lead: int = 0) -> bool:
        minute = (quarter * 15 - lead) % MINUTES_PER_WEEK
        return find_unsafe_part(zone, minute, years_from) is None

    def is_safe_cut(cut: int) -> bool:
        return all(is_safe(cut + day * QUARTERS_PER_DAY, lead) for day in range(7) for lead in (0, lead_minutes))

    # The day is cut where it is quietest, so that a night shift is one window; only at midnight may a window be a whole day.
    quietest = sorted(range(0, QUARTERS_PER_DAY, 4), key=lambda cut: (sum(need[cut::QUARTERS_PER_DAY]), cut))
    for cut in filter(is_safe_cut, [*quietest, 0]):
        for gap in _GAPS:
            found: list[tuple[str, int, _Window]] = []
            marked = [False] * QUARTERS_PER_WEEK
            for kind, level, below in list(zip(("shift", "peak"), levels[1:], levels, strict=False))[::-1]:
                wanted = [each > below or mark for each, mark in zip(need, marked, strict=True)]
                windows = [
                    _move_edges(each, cut, lead_minutes, is_safe) for each in _join_days(_find_runs(wanted, cut, gap))
                ]
                found = [*((kind, level, each) for each in windows), *found]
                for each in windows:
                    for quarter in each.quarters():
                        marked[quarter] = True
            whole_days = any(each.end - each.begin == QUARTERS_PER_DAY for _, _, each in found)
            if len(found) <= MAX_WINDOWS and (cut == 0 or not whole_days):
                return found
    return None


def _find_runs(wanted: Sequence[bool], cut: int, gap: int) -> list[list[tuple[int, int]]]:
    """For each day of the week, from its quarter `cut` to that of the next day, the parts in which something is wanted, in
    quarters from midnight, edges on the grid, gaps up to `gap` closed."""
    days: list[list[tuple[int, int]]] = []
    for day in range(7):
        runs: list[tuple[int, int]] = []
        for quarter in range(cut, cut + QUARTERS_PER_DAY):
            if wanted[(day * QUARTERS_PER_DAY + quarter) % QUARTERS_PER_WEEK]:
                begin, end = quarter // _GRID * _GRID, -(-(quarter + 1) // _GRID) * _GRID
                if runs and begin - runs[-1][1] <= gap:
                    runs[-1] = (runs[-1][0], end)
                else:
                    runs.append((begin, end))
        days.append(runs)
    return days


def _join_days(days: Sequence[Sequence[tuple[int, int]]]) -> list[_Window]:
    """One window for the days whose parts are alike, as long as the longest of them."""
    groups: list[list[int]] = []
    for day, runs in enumerate(days):
        if runs:
            fitting = (group for group in groups if _are_alike([days[each] for each in (*group, day)]))
            group = next(fitting, None)
            if group is None:
                groups.append([day])
            else:
                group.append(day)
    return [
        _Window(tuple(group), min(begin for begin, _ in runs), max(end for _, end in runs))
        for group in groups
        for runs in zip(*(days[each] for each in group), strict=True)
    ]


def _are_alike(days: Sequence[Sequence[tuple[int, int]]]) -> bool:
    if len({len(runs) for runs in days}) > 1:
        return False
    return all(
        max(edges) - min(edges) <= _ALIKE for runs in zip(*days, strict=True) for edges in zip(*runs, strict=True)
    )


def _move_edges(window: _Window, cut: int, lead_minutes: int, is_safe: Callable[[int, int], bool]) -> _Window:
    """Moves edges outwards out of hours in which clocks are changed on one of its days; `cut` is safe."""
    begin, end = window.begin, window.end
    while not all(is_safe(day * QUARTERS_PER_DAY + begin, lead_minutes) for day in window.days) and begin > cut:
        begin -= 1
    while not all(is_safe(day * QUARTERS_PER_DAY + end, 0) for day in window.days) and end < cut + QUARTERS_PER_DAY:
        end += 1
    return _Window(window.days, begin, end)


def _describe(kind: str, level: int, window: _Window, taken: set[str]) -> dict[str, Any]:
    """As a shift file has it. A window that begins after midnight belongs to the next day."""
    later, begin = divmod(window.begin, QUARTERS_PER_DAY)
    days = sorted((day + later) % 7 for day in window.days)
    names = [WEEKDAYS[day] for day in days]
    together = len(days) > 2 and days[-1] - days[0] == len(days) - 1
    name = f"{kind}-{names[0]}-{names[-1]}" if together else f"{kind}-{'-'.join(names)}"
    numbered = (f"{name}-{number}" for number in range(2, MAX_WINDOWS + 2))
    name = name if name not in taken else next(each for each in numbered if each not in taken)
    end = window.end - later * QUARTERS_PER_DAY
    return {
        "name": name,
        "days": f"{names[0]}-{names[-1]}" if together else names[0] if len(names) == 1 else names,
        "from": format_time(begin * 15),
        "to": "24:00" if end == QUARTERS_PER_DAY else format_time(end * 15),
        "replicas": level,
    }


@dataclass(frozen=True)
class PlanOptions:
    """How a plan is made. `capacities`: legs a second of one replica, by role; roles without one are not planned."""

    zone: str
    capacities: Mapping[tuple[str, Role], float]
    quantile: float = 0.9
    headroom: float = 1.25
    lead_minutes: int = 15
    holidays: Sequence[date] = ()


def render_plan(legs: Legs, options: PlanOptions, *, partitions: Mapping[str, int], today: date) -> str:
    """A shift file, checked. `partitions` as for `read_schedule`; what is needed beyond them is told in a comment. Raises
    TrafficError for legs of less than a week, ScheduleError for an unknown zone or service."""
    if not is_known_zone(options.zone):
        raise ScheduleError([f"There is no time zone `{options.zone}`; write an IANA name such as Europe/Berlin."])
    if unknown := sorted({service for service, _ in options.capacities} - partitions.keys()):
        raise ScheduleError([f"There is no service `{unknown[0]}`; the services are {', '.join(partitions)}."])
    grouped = group_by_quarter(legs, options.zone, frozenset(options.holidays), before=today)
    weeks = max(len(counts) for counts in grouped)
    years_from = today.replace(month=1, day=1)
    notes = [
        f"Proposed by `uplift scaling plan` on {today} from {weeks} weeks of legs, {min(legs):%Y-%m-%d} to {max(legs):%Y-%m-%d}:",
        f"of each quarter hour the quantile {options.quantile:g} over the weeks, times {options.headroom:g}.",
    ]
    services: dict[str, dict[str, Any]] = {}
    for (service, role), capacity in options.capacities.items():
        need = compute_need(grouped, capacity=capacity, quantile=options.quantile, headroom=options.headroom)
        most = find_most_replicas(service, role, partitions)
        demand = Demand(service, role, need, most)
        proposed = propose_role(demand, zone=options.zone, lead_minutes=options.lead_minutes, years_from=years_from)
        services.setdefault(service, {})[role] = proposed
        short = (
            f"; {max(need)} are needed, and no more than {most} have a partition: give each more CPU"
            if max(need) > most
            else ""
        )
        notes.append(f"{service}.{role}: {capacity:.3g} legs a second and replica{short}.")
    document = {
        "time_zone": options.zone,
        "lead_minutes": options.lead_minutes,
        "holidays": sorted(str(day) for day in options.holidays),
        "services": services,
    }
    text = yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=140)
    read_schedule(text, partitions=partitions, years_from=years_from)
    return "".join(f"# {note}\n" for note in notes) + text
