"""Whom a rule means, from what the directory says."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from contracts.directory import PersonChanged

from notification.model.rules import Rule


@dataclass(frozen=True)
class Membership:
    """A membership: from `first` until before `end`, in the last unit of `path` and so in all above it."""

    first: date
    end: date
    path: Sequence[UUID]


def find_role(rule: Rule) -> str | None:
    """The role whose holders a rule means; None: it means the agent."""
    if rule.to == "agent":
        return None
    return "team_lead" if rule.to == "leads" else rule.to.partition(":")[2]


class Audience:
    """`people`: the agents, and the active holders of every role the rules name, by id; `places`: the agents'."""

    def __init__(self, people: Mapping[UUID, PersonChanged], places: Mapping[UUID, Sequence[Membership]]) -> None:
        self._people = people
        self._places = places
        self._granted: dict[str, list[PersonChanged]] = {}
        for person in people.values():
            for role in {each.role for each in person.roles}:
                self._granted.setdefault(role, []).append(person)
        self._found: dict[tuple[str, UUID | None, date], list[PersonChanged]] = {}

    def find_person(self, id: UUID | None) -> PersonChanged | None:
        """The person with this id, or None."""
        return None if id is None else self._people.get(id)

    def find_recipients(self, rule: Rule, agent: PersonChanged | None, today: date) -> list[PersonChanged]:
        """Active people, each once, in one order always."""
        key = (rule.to, agent.id if agent else None, today)
        if key not in self._found:
            means = (
                each for each in self._find_role_holders(rule, agent, today) if each.active and each.kind == "person"
            )
            self._found[key] = sorted(means, key=lambda each: each.id)
        return self._found[key]

    def _find_role_holders(self, rule: Rule, agent: PersonChanged | None, today: date) -> list[PersonChanged]:
        role = find_role(rule)
        if role is None:
            return [agent] if agent else []
        granted = self._granted.get(role, [])
        units = self._units_above(agent.id, today) if agent else None
        if rule.to != "leads":
            return [each for each in granted if _has_role(each, role, today, units, everywhere=True)]
        if agent is None or units is None:
            return []
        return [
            each for each in granted if each.id != agent.id and _has_role(each, role, today, units, everywhere=False)
        ]

    def _units_above(self, person_id: UUID, day: date) -> set[UUID]:
        """The org units a person belongs to on that day, and all above them."""
        places = self._places.get(person_id, ())
        return {unit for each in places if each.first <= day < each.end for unit in each.path}


def _has_role(person: PersonChanged, role: str, day: date, units: set[UUID] | None, *, everywhere: bool) -> bool:
    """Whether the role is granted over one of the units (None: any), or, with `everywhere`, over no unit in
    particular."""
    return any(
        each.role == role
        and each.holds_on(day)
        and (everywhere if each.org_unit_id is None else units is None or each.org_unit_id in units)
        for each in person.roles
    )
