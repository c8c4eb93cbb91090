"""The attributes of people that targets use, from the copy of the directory."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from uuid import UUID

from contracts.directory import OrgUnitChanged, PersonChanged
from servicekit import directory
from storage import Session

from kpi_engine.model.targets import PersonAttributes, PersonOnDay


class People:
    """Some people of one tenant, with their attributes on any day."""

    def __init__(self, people: Mapping[UUID, PersonChanged], units: Mapping[UUID, OrgUnitChanged]) -> None:
        self._people = people
        self._units = units

    @classmethod
    async def load(cls, session: Session, ids: Iterable[UUID]) -> "People":
        """Loads these people and the tenant's org units."""
        return cls(await directory.load_people(session, ids), await directory.load_org_units(session))

    def on_day(self, person_id: UUID, day: date) -> PersonAttributes:
        """The person's attributes on a day. A person the directory does not know has none; the model's own edges apply."""
        person = self._people.get(person_id)
        return PersonOnDay(day=day) if person is None else _DirectoryPerson(person, self._units, day)


@dataclass(frozen=True)
class _DirectoryPerson:
    """Computes each attribute on use: a batch evaluates thousands of windows, and few targets use all attributes."""

    person: PersonChanged
    units: Mapping[UUID, OrgUnitChanged]
    day: date

    @property
    def tenure_days(self) -> int | None:
        for text in reversed(self._attribute_values("hire_date")):
            with suppress(ValueError):
                return (self.day - date.fromisoformat(text)).days
        return None

    @property
    def skills(self) -> frozenset[str]:
        return frozenset(self._attribute_values("skill"))

    @property
    def org_units(self) -> frozenset[str]:
        own = [each.org_unit_id for each in self.person.memberships if each.holds_on(self.day)]
        above = [unit for own_unit in own if own_unit in self.units for unit in self.units[own_unit].path]
        return frozenset(self.units[unit].slug for unit in above if unit in self.units)

    @property
    def roles(self) -> frozenset[str]:
        return frozenset(grant.role for grant in self.person.roles if grant.holds_on(self.day))

    @property
    def employment(self) -> str | None:
        return next(iter(reversed(self._attribute_values("employment"))), None)

    def _attribute_values(self, name: str) -> list[str]:
        return [each.value for each in self.person.attributes if each.name == name and each.holds_on(self.day)]


NO_PEOPLE = People({}, {})
