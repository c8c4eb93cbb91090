"""The effect of a training, described: the share of agents in the band by week, trained and untrained, before and after."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType
from uuid import UUID

from contracts.windows import WindowName, window_days, window_name
from pydantic import BaseModel
from servicekit.times import DaySpan

WEEKS_BEFORE, WEEKS_AFTER = -4, 8
"""The weeks around a completion that are compared."""

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
        """Whether the agent was in the band on this day."""
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
    """Shares of agents in the bands by ISO week, and of trained agents by weeks around their completion."""

    weeks: list[WeekShares]
    around_completion: list[Offset]
    agents: list[TrainedAgent]


def window_end_day(at_window: str, fallback: date) -> date:
    """The last day of a window; `fallback` for a window whose name holds no day, which only older releases published."""
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
    today_by_agent: Mapping[UUID, date] = MappingProxyType({}),
) -> Effect:
    """The shares by ISO week from that of `first` to that of `last`, and by weeks around each completion.

    `stays`: in any band of the KPIs concerned. `bands`: the (kpi, band) that the template is assigned for. `completions`: the
    day on which each agent first completed it. `today`: the tenant's day; `today_by_agent`: the days of agents for whom
    it may be another one.
    """
    is_in_band = _build_is_in_band(stays, bands)
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
                trained=_compute_share([is_in_band(agent, day) for agent in trained]),
                untrained=_compute_share([is_in_band(agent, day) for agent in agents - trained]),
            )
        )
        monday += timedelta(days=7)
    trained_agents = [
        TrainedAgent(
            agent_id=agent,
            completed_on=on,
            in_band=_in_band_by_week(agent, on, today_by_agent.get(agent, today), is_in_band),
        )
        for agent, on in sorted(completions.items(), key=lambda item: (item[1], item[0]))
    ]
    around = [
        Offset(weeks=offset, **_compute_share([person.in_band.get(offset) for person in trained_agents]).model_dump())
        for offset in range(WEEKS_BEFORE, WEEKS_AFTER + 1)
    ]
    return Effect(weeks=weeks, around_completion=around, agents=trained_agents)


def _build_is_in_band(stays: Sequence[Stay], bands: Collection[tuple[str, str]]) -> Callable[[UUID, date], bool | None]:
    by_agent: dict[UUID, list[Stay]] = {}
    for stay in stays:
        by_agent.setdefault(stay.agent, []).append(stay)

    def is_in_band(agent: UUID, day: date) -> bool | None:
        """Whether the agent was in one of `bands`; None when no band of the day is known."""
        current = [stay for stay in by_agent.get(agent, []) if stay.holds_on(day)]
        return any((stay.kpi, stay.band) in bands for stay in current) if current else None

    return is_in_band


def _in_band_by_week(
    agent: UUID, completed_on: date, today: date, is_in_band: Callable[[UUID, date], bool | None]
) -> dict[int, bool]:
    days = {offset: completed_on + timedelta(weeks=offset) for offset in range(WEEKS_BEFORE, WEEKS_AFTER + 1)}
    found = {offset: is_in_band(agent, day) for offset, day in days.items() if day <= today}
    return {offset: inside for offset, inside in found.items() if inside is not None}


def _compute_share(states: Sequence[bool | None]) -> Share:
    known = [inside for inside in states if inside is not None]
    share = round(sum(known) / len(known), 4) if known else None
    return Share(agents=len(known), in_band=sum(known), share=share)
