"""The agents of a blueprint, with habits drawn at random from a seed."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random
from typing import Any

TRAINING_EFFECT_SHARE = 0.6
REMAINING_SHARE_PER_WORKDAY = 0.7

# Agents of every fifteen, and the lowest and the highest habit of these: percent of silence in a conversation.
HABITS = ((8, 25.0, 55.0), (5, 62.0, 68.5), (2, 71.5, 77.0))
IN_COACHING_BAND = 1


@dataclass(frozen=True)
class Agent:
    """A simulated agent. `username` is the name in the phone system, `login` the account.

    `habit` is the percent of silence before any training, `goal` the lowest percent that training can reach. `diligence` is
    the average number of hours until the person opens a training, None for never. `pace` scales after-call work. An agent
    with `known` False is not in the directory.
    """

    slug: str
    username: str
    login: str
    team: str
    queue: str
    habit: float
    goal: float
    diligence: float | None = None
    pace: float = 1.0
    calls_a_day: float = 25
    known: bool = True

    def habit_on(self, day: date, finished: Iterable[date]) -> float:
        """Percent of silence on `day`, after trainings on the days `finished`.

        Each earlier training removes `TRAINING_EFFECT_SHARE` of the remaining distance to the goal. It takes effect
        exponentially: after `n` workdays, `1 - REMAINING_SHARE_PER_WORKDAY ** n` of that share.
        """
        distance = 1.0
        for finished_on in finished:
            if finished_on < day:
                workdays = workdays_between(finished_on, day)
                distance *= 1 - TRAINING_EFFECT_SHARE * (1 - REMAINING_SHARE_PER_WORKDAY**workdays)
        return self.goal + (self.habit - self.goal) * distance


def workdays_between(first: date, last: date) -> int:
    """Mondays to Fridays after `first` up to and including `last`."""
    return _weekdays_until(last) - _weekdays_until(first)


def is_workday(day: date) -> bool:
    """Whether the day is a Monday to Friday; there are no holidays."""
    return day.weekday() < 5


def _weekdays_until(day: date) -> int:
    weeks, rest = divmod(day.toordinal() - 1, 7)  # day 1 of the calendar was a Monday
    return weeks * 5 + min(rest + 1, 5)


def build_roster(identity: Mapping[str, Any], *, source: str, seed: int, featured: str) -> tuple[Agent, ...]:
    """The agents of a blueprint's identity section that have an id in `source`, with habits drawn from `seed`.

    The person with the login `featured` has a habit inside the coaching band and completes what is assigned. Two more
    agents, who are not in the directory, take a few calls a day.
    """
    people = [person for person in identity["people"] if _external_id(person, source) and _team(person)]
    rng = Random(f"{seed}/roster")  # noqa: S311
    groups = _groups(len(people), rng)
    for index, person in enumerate(people):
        if _login(person) == featured and groups[index] != IN_COACHING_BAND:
            other = groups.index(IN_COACHING_BAND)
            groups[index], groups[other] = groups[other], groups[index]
    known = [
        _agent(person, HABITS[group][1:], source=source, seed=seed, willing=_login(person) == featured)
        for person, group in zip(people, groups, strict=True)
    ]
    queues = list(dict.fromkeys(agent.queue for agent in known))
    unknown = [
        Agent(
            slug=name,
            username=name,
            login="",
            team="",
            queue=queues[index % len(queues)],
            habit=44,
            goal=44,
            calls_a_day=6,
            known=False,
        )
        for index, name in enumerate(("temp.01", "temp.02"))
    ]
    return tuple(known + unknown)


def _groups(count: int, rng: Random) -> list[int]:
    """The index into HABITS for each of `count` agents."""
    total = sum(share for share, _, _ in HABITS)
    bounds: list[float] = []
    for share, _, _ in HABITS:
        bounds.append((bounds[-1] if bounds else 0) + share / total)
    groups = [min(bisect_left(bounds, (index + 0.5) / count), len(HABITS) - 1) for index in range(count)]
    rng.shuffle(groups)
    return groups


def _agent(person: Mapping[str, Any], habits: tuple[float, float], *, source: str, seed: int, willing: bool) -> Agent:
    rng = Random(f"{seed}/agent/{person['slug']}")  # noqa: S311
    habit = round(rng.uniform(*habits), 1)
    gain = rng.uniform(3, 6) if rng.random() < 0.15 and not willing else rng.uniform(13, 24)
    never = rng.random() < 0.12
    hours = rng.choice((3.0, 8.0, 24.0, 30.0, 60.0, 150.0))
    return Agent(
        slug=person["slug"],
        username=_external_id(person, source) or "",
        login=_login(person),
        team=_team(person) or "",
        queue=_queue(person),
        habit=habit,
        goal=round(max(habit - gain, 20.0), 1) if habit > 55 else round(habit * 0.9, 1),
        diligence=min(hours, 24.0) if willing else None if never else hours,
        pace=round(rng.uniform(0.85, 1.25), 2),
    )


def _external_id(person: Mapping[str, Any], source: str) -> str | None:
    return next((each["external_id"] for each in person.get("external_ids", []) if each["source"] == source), None)


def _team(person: Mapping[str, Any]) -> str | None:
    return next((each["org_unit"] for each in person.get("roles", []) if each["role"] == "agent"), None)


def _login(person: Mapping[str, Any]) -> str:
    logins: Sequence[Any] = [person["login"]] if "login" in person else person.get("logins", [])
    return next((each if isinstance(each, str) else each["sub"] for each in logins), "")


def _queue(person: Mapping[str, Any]) -> str:
    """The queue of the person's first skill: `technical-support` becomes `Technical Support`."""
    skill = next((each["value"] for each in person.get("attributes", []) if each["name"] == "skill"), "general")
    return skill.replace("-", " ").title()


def next_workday(day: date) -> date:
    """The first workday after `day`."""
    following = day + timedelta(days=1)
    while not is_workday(following):
        following += timedelta(days=1)
    return following
