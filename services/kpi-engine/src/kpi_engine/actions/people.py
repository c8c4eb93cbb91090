"""What targets may ask of a person, from the copy of the directory."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import date
from uuid import UUID

from contracts.directory import OrgUnitChanged, PersonChanged
from servicekit import directory
from storage import Session

from kpi_engine.model.targets import PersonOnDay


class People:
    """Some people of one tenant, as they were on any day."""

    def __init__(self, people: Mapping[UUID, PersonChanged], units: Mapping[UUID, OrgUnitChanged]) -> None:
        self._people = people
        self._units = units
        self._seen: dict[tuple[UUID, date], PersonOnDay] = {}

    @classmethod
    async def load(cls, session: Session, ids: Iterable[UUID]) -> "People":
        return cls(await directory.people(session, ids), await directory.org_units(session))

    def on(self, person_id: UUID, day: date) -> PersonOnDay:
        """A person the directory does not know has no attributes, and so falls under the model's own edges."""
        place = (person_id, day)
        if place not in self._seen:
            person = self._people.get(person_id)
            self._seen[place] = PersonOnDay(day=day) if person is None else self._describe(person, day)
        return self._seen[place]

    def _describe(self, person: PersonChanged, day: date) -> PersonOnDay:
        held: dict[str, list[str]] = {}
        for attribute in person.attributes:
            if attribute.holds_on(day):
                held.setdefault(attribute.name, []).append(attribute.value)
        hired = None
        with suppress(ValueError):
            hired = date.fromisoformat(held.get("hire_date", [""])[-1])
        paths = [
            self._units[membership.org_unit_id].path
            for membership in person.memberships
            if membership.holds_on(day) and membership.org_unit_id in self._units
        ]
        slugs = {self._units[unit].slug for path in paths for unit in path if unit in self._units}
        return PersonOnDay(
            hire_date=hired,
            skills=frozenset(held.get("skill", ())),
            org_units=frozenset(slugs),
            roles=frozenset(grant.role for grant in person.roles if grant.holds_on(day)),
            employment=held.get("employment", [None])[-1],
            day=day,
        )


NO_PEOPLE = People({}, {})
