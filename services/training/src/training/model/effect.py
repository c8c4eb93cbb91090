"""What training did, told plainly: who was in the band in which week, trained and not trained, before and after."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType
from uuid import UUID

from contracts.windows import WindowName, window_days, window_name
from pydantic import BaseModel
from servicekit.times import DaySpan

WEEKS_BEFORE, WEEKS_AFTER = -4, 8
"""Weeks before and after a completion that are looked at."""

NOTE = (
    "This is a description, not a proof. Agents are trained because they were in the band: people picked for an extreme "
    "value drift back towards their usual one without any training (regression to the mean), so part of a falling share "
    "is chance. The untrained are no control group: the rules did not pick them. Read the counts beside the shares."
)
SIMULATED = "What it shows of training's effect is what the simulation put in."


@dataclass(frozen=True)
class Stay:
    """An agent's stay in a band of a KPI, from `entered_on` up to but not including `left_on` (None: still there)."""

    agent: UUID
    kpi: str
    band: str
    entered_on: date
    left_on: date | None

    def holds_on(self, day: date) -> bool:
        return self.entered_on <= day and (self.left_on is None or day < self.left_on)


class Share(BaseModel):
    """`agents` whose band was known, `in_band` of them; `share` of 1, null when nobody's was known."""

    agents: int
    in_band: int
    share: float | None


class WeekShares(DaySpan):
    """At the end of an ISO week (or today, in the running one): trained by then, and not trained."""

    window: WindowName
    trained: Share
    untrained: Share


class Offset(Share):
    """`weeks` after the completion; negative: before it."""

    weeks: int


class TrainedAgent(BaseModel):
    """By weeks from the completion: in the band or not; weeks that are not known or lie ahead are left out."""

    agent_id: UUID
    completed_on: date
    in_band: dict[int, bool]


class Effect(BaseModel):
    weeks: list[WeekShares]
    around_completion: list[Offset]
    agents: list[TrainedAgent]


def window_end_day(at_window: str, fallback: date) -> date:
    """The last day of a window; `fallback` for one that is called by no day."""
    days = window_days(at_window)
    return fallback if days is None else days[1]


def compute_effect(
    stays: Sequence[Stay],
    bands: Collection[tuple[str, str]],
    completions: Mapping[UUID, date],
    *,
    first: date,
    last: date,
    today: date,
    todays: Mapping[UUID, date] = MappingProxyType({}),
) -> Effect:
    """`stays` in any band of the KPIs concerned; `bands` the (kpi, band) that the template is given for;
    `completions` the day each agent first completed it. Weeks run from `first`'s to `last`'s. `today` is the tenant's,
    `todays` those of agents for whom it may be another day."""
    state = _states(stays, bands)
    agents = {stay.agent for stay in stays}
    weeks: list[WeekShares] = []
    monday = first - timedelta(days=first.weekday())
    while monday <= min(last, today):
        day = min(monday + timedelta(days=6), today)
        trained = {agent for agent in agents if agent in completions and completions[agent] <= day}
        weeks.append(
            WeekShares(
                window=window_name("week", monday, day),
                first=monday,
                last=day,
                trained=_compute_share([state(agent, day) for agent in trained]),
                untrained=_compute_share([state(agent, day) for agent in agents - trained]),
            )
        )
        monday += timedelta(days=7)
    persons = [
        TrainedAgent(
            agent_id=agent, completed_on=on, in_band=_in_band_by_week(agent, on, todays.get(agent, today), state)
        )
        for agent, on in sorted(completions.items(), key=lambda item: (item[1], item[0]))
    ]
    around = [
        Offset(weeks=offset, **_compute_share([person.in_band.get(offset) for person in persons]).model_dump())
        for offset in range(WEEKS_BEFORE, WEEKS_AFTER + 1)
    ]
    return Effect(weeks=weeks, around_completion=around, agents=persons)


def _states(stays: Sequence[Stay], bands: Collection[tuple[str, str]]) -> Callable[[UUID, date], bool | None]:
    by_agent: dict[UUID, list[Stay]] = {}
    for stay in stays:
        by_agent.setdefault(stay.agent, []).append(stay)

    def state(agent: UUID, day: date) -> bool | None:
        """In one of the bands, in another one, or None: in none that is known."""
        here = [stay for stay in by_agent.get(agent, []) if stay.holds_on(day)]
        return any((stay.kpi, stay.band) in bands for stay in here) if here else None

    return state


def _in_band_by_week(
    agent: UUID, completed_on: date, today: date, state: Callable[[UUID, date], bool | None]
) -> dict[int, bool]:
    days = {offset: completed_on + timedelta(weeks=offset) for offset in range(WEEKS_BEFORE, WEEKS_AFTER + 1)}
    found = {offset: state(agent, day) for offset, day in days.items() if day <= today}
    return {offset: inside for offset, inside in found.items() if inside is not None}


def _compute_share(states: Sequence[bool | None]) -> Share:
    known = [inside for inside in states if inside is not None]
    share = round(sum(known) / len(known), 4) if known else None
    return Share(agents=len(known), in_band=sum(known), share=share)
