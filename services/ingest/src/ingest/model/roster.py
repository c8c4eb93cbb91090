"""The person whom a vendor's name of an agent means at an instant, and the person's workday."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from uuid import UUID

from servicekit.workdays import Workdays

from ingest.model.canonical import Agent

DatedPerson = tuple[UUID, date, date]


class Roster:
    """The people of the directory who have certain names in a source, and their workdays.

    `names`: external id → people who have it, each from a day until before another, the newest first. These are workdays of
    the person, as are all dates of the directory.
    """

    def __init__(self, workdays: Workdays, names: Mapping[str, Sequence[DatedPerson]]) -> None:
        self.workdays = workdays
        self._names = names

    def day_of(self, at: int) -> date:
        """The tenant's workday of an instant, for contacts that nobody took. `at`: milliseconds since 1970."""
        return self.workdays.workday_of(None, at)

    def workday_end_ms(self, agent: Agent | None, at: int) -> int:
        """The end of the workday of `at`, for the agent or for nobody. Both in milliseconds since 1970; it is after `at`."""
        person, day = (agent.id, agent.workday) if agent else (None, self.day_of(at))
        begins = self.workdays.start_of_workday(person, day + timedelta(days=1))
        return max(int(begins.timestamp() * 1000), at + 1)

    def agent_of(self, names: list[str], at: int) -> Agent | None:
        """The person whom the first of these names that has a meaning means at this instant; None: nobody. `at`: milliseconds
        since 1970."""
        for name in names:
            for person, since, until in self._names.get(name, ()):
                day = self.workdays.workday_of(person, at)
                if since <= day < until:
                    return Agent(person, day)
        return None
