"""A crowd of agents whose fate can be worked out beside the system: each behaves like one of the flow test's six."""

import itertools
from collections import Counter
from dataclasses import dataclass
from typing import Any

from tests.flow.scenario import (
    CALLS_A_DAY,
    KPI_MODEL,
    TEAMS,
    blueprint,
    records_of,
    silence_percent,
    workday,
)

DAYS = 10


@dataclass(frozen=True)
class Crowd:
    """`calls` a day and agent, over ten workdays."""

    agents: tuple[str, ...]
    calls: int

    @property
    def interactions(self) -> int:
        return len(self.agents) * self.calls * DAYS

    def team_of(self, agent: str) -> str:
        return TEAMS[agent.partition("-")[0]]

    def blueprint(self) -> dict[str, Any]:
        """Nobody but the tenant's administrator signs in."""
        whole = blueprint(teams={agent: self.team_of(agent) for agent in self.agents})
        for person in whole["sections"]["identity"]["people"]:
            if person["slug"] != "boss":
                del person["login"]
        return whole

    def records(self, day: int, agents: tuple[str, ...]) -> list[dict[str, Any]]:
        return records_of(day, agents, self.calls)


def create_crowd(interactions: int) -> Crowd:
    """At least that many interactions: up to 120 agents with the usual calls a day, then more calls a day."""
    agents = min(120, max(6, interactions // (CALLS_A_DAY * DAYS)))
    names = tuple(f"{kind}-{number:03d}" for number, kind in zip(range(agents), itertools.cycle(TEAMS), strict=False))
    return Crowd(names, max(CALLS_A_DAY, -(-interactions // (agents * DAYS))))


def band_of(percent: int) -> str:
    return [edge["name"] for edge in KPI_MODEL["bands"]["edges"] if percent >= edge["from"]][-1]


def stays_of(agent: str) -> list[str]:
    """The bands the agent enters, in order: the one that three of the last five days lie in, when it is another."""
    entered: list[str] = []
    days = [band_of(silence_percent(agent, day)) for day in range(DAYS)]
    for day in range(DAYS):
        window = Counter(days[max(0, day - 4) : day + 1])
        entered += [band for band, count in window.items() if count >= 3 and entered[-1:] != [band]]
    return entered


def compute_expected(crowd: Crowd) -> dict[str, Any]:
    """What the rules of the blueprint make of the calls, recomputed without the system."""
    values, assignments, points, notices = [], [], [], Counter[tuple[str, str]]()
    for agent in crowd.agents:
        stays = stays_of(agent)
        values += [(agent, workday(day).isoformat(), silence_percent(agent, day), crowd.calls) for day in range(DAYS)]
        notices[{"team-a": "lea", "team-b": "leo"}[crowd.team_of(agent)], "entered"] += len(stays)
        if "coach" in stays:
            left = stays[-1] != "coach"
            assignments.append((agent, "silence-basics", "withdrawn" if left else "open"))
            notices[agent, "assigned"] += 1
            if left:
                points.append((agent, "left-coach", 100))
                notices[agent, "points"] += 1
    return {
        "values": sorted(values),
        "assignments": sorted(assignments),
        "points": sorted(points),
        "notices": dict(sorted(notices.items())),
    }
