"""Resolves the recipients of a rule, from people and memberships of the directory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from contracts.directory import PersonChanged

from notification.model.rules import Rule


@dataclass(frozen=True)
class Membership:
    """A person's membership on the days `valid_from` <= day < `valid_to`. `path`: the org unit, last, and all units above it."""

    valid_from: date
    valid_to: date
    path: Sequence[UUID]


def find_role(rule: Rule) -> str | None:
    """The role whose holders receive a rule's notices; None: the agent receives them."""
    if rule.to == "agent":
        return None
    return "team_lead" if rule.to == "leads" else rule.to.partition(":")[2]


class Audience:
    """Finds recipients. `people`: the agents, and the active holders of every role that the rules name, by id;
    `memberships`: those of the agents."""

    def __init__(self, people: Mapping[UUID, PersonChanged], memberships: Mapping[UUID, Sequence[Membership]]) -> None:
        self._people = people
        self._memberships = memberships
        self._granted: dict[str, list[PersonChanged]] = {}
        for person in people.values():
            for role in {each.role for each in person.roles}:
                self._granted.setdefault(role, []).append(person)
        self._found: dict[tuple[str, UUID | None, date], list[PersonChanged]] = {}

    def find_person(self, id: UUID | None) -> PersonChanged | None:
        """The person with this id, or None."""
        return None if id is None else self._people.get(id)

    def find_recipients(self, rule: Rule, agent: PersonChanged | None, today: date) -> list[PersonChanged]:
        """The active people who receive the rule's notices about an agent, by id; service accounts are left out."""
        key = (rule.to, agent.id if agent else None, today)
        if key not in self._found:
            holders = self._find_role_holders(rule, agent, today)
            active = (each for each in holders if each.active and each.kind == "person")
            self._found[key] = sorted(active, key=lambda each: each.id)
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
        """The org units that a person belongs to on a day, and all units above them."""
        memberships = self._memberships.get(person_id, ())
        return {unit for each in memberships if each.valid_from <= day < each.valid_to for unit in each.path}


def _has_role(person: PersonChanged, role: str, day: date, units: set[UUID] | None, *, everywhere: bool) -> bool:
    """Whether the person holds the role on the day over one of `units` (None: over any unit). `everywhere`: a grant without
    an org unit counts too."""
    return any(
        each.role == role
        and each.holds_on(day)
        and (everywhere if each.org_unit_id is None else units is None or each.org_unit_id in units)
        for each in person.roles
    )
