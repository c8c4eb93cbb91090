"""Whom a vendor's name of an agent means at an instant, and which workday that is for this person."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from uuid import UUID

from servicekit.workdays import Workdays

from ingest.model.canonical import Agent

DatedPerson = tuple[UUID, date, date]


class Roster:
    """Part of the directory as one source sees it.

    `names`: external id → people who bear it, from a day up to another, the newest first. These are days of the person,
    as all dates of the directory are. The first name that means anybody decides.
    """

    def __init__(self, workdays: Workdays, names: Mapping[str, Sequence[DatedPerson]]) -> None:
        self.workdays = workdays
        self._names = names

    def day_of(self, at: int) -> date:
        """The tenant's own workday, for what nobody took."""
        return self.workdays.workday_of(None, at)

    def workday_end_ms(self, agent: Agent | None, at: int) -> int:
        """When the workday ends that `at` belongs to for the agent, or for nobody: in milliseconds since 1970, after `at`."""
        person, day = (agent.id, agent.workday) if agent else (None, self.day_of(at))
        begins = self.workdays.start_of_workday(person, day + timedelta(days=1))
        return max(int(begins.timestamp() * 1000), at + 1)

    def agent_of(self, names: list[str], at: int) -> Agent | None:
        """`at`: milliseconds since 1970."""
        for name in names:
            for person, since, until in self._names.get(name, ()):
                day = self.workdays.workday_of(person, at)
                if since <= day < until:
                    return Agent(person, day)
        return None
