"""Whom a vendor's name of an agent means on a day, and in which zone that person works."""

from collections.abc import Mapping, Sequence
from datetime import date, tzinfo
from uuid import UUID

from ingest.model.canonical import Agent, Site, workday

Dated = tuple[UUID, date, date]


class Roster:
    """Part of the directory as one source sees it.

    `names`: external id → people who bear it, from a day up to another; `memberships`: person → org units likewise;
    `zones`: org unit → the zone of its site, where it declares one. The first name that means anybody decides.
    """

    def __init__(
        self,
        site: Site,
        names: Mapping[str, Sequence[Dated]],
        memberships: Mapping[UUID, Sequence[Dated]],
        zones: Mapping[UUID, tzinfo],
    ) -> None:
        self.site = site
        self._names = names
        self._memberships = memberships
        self._zones = zones
        self._seen: dict[tuple[str, date], Agent | None] = {}

    def agent_of(self, names: list[str], at: int) -> Agent | None:
        """`at`: milliseconds since 1970."""
        day = workday(at, self.site.zone)
        for name in names:
            key = (name, day)
            if key not in self._seen:
                self._seen[key] = self._find(name, day)
            if agent := self._seen[key]:
                return agent
        return None

    def _find(self, name: str, day: date) -> Agent | None:
        for person, since, until in self._names.get(name, ()):
            if since <= day < until:
                return Agent(person, self._zone(person, day), self.site.day_start_minutes)
        return None

    def _zone(self, person: UUID, day: date) -> tzinfo:
        for unit, since, until in self._memberships.get(person, ()):
            if since <= day < until and unit in self._zones:
                return self._zones[unit]
        return self.site.zone
