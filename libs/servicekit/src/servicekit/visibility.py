"""Whom a caller may see, and on which days.

Visibility follows the membership of the day. What happened on a workday is seen by whoever has a role over a unit that
the agent was a member of on that day: a move takes nothing from the old lead and opens nothing of the past to the new
one. Oneself one sees on every day. What lasts, such as a stay in a band, belongs to each of its days.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date
from typing import Any
from uuid import UUID

from contracts.windows import window_days
from storage import Session

from servicekit.caller import Caller
from servicekit.directory import find_members, find_org_unit, find_person, today_of
from servicekit.errors import Forbidden

_SEES_ALL = frozenset({"tenant_admin", "trainer", "quality_analyst", "integration"})
_SEES_UNIT = _SEES_ALL | {"team_lead"}


@dataclass(frozen=True)
class VisibilityFilter:
    """What a caller sees of agents day by day, or the part of it that was asked for, as a condition of a query.

    `units`: all whose members the caller sees. `agent`, `team` (all of its units): nothing but these was asked for.
    `among`: of whom there may be anything, so that nobody else's rows are looked at; None: everyone.
    """

    viewer: UUID
    everyone: bool
    units: frozenset[UUID] = frozenset()
    agent: UUID | None = None
    team: frozenset[UUID] | None = None
    candidates: frozenset[UUID] | None = None

    @property
    def is_unrestricted(self) -> bool:
        """Whether whoever sees everyone gets no more of what was asked for, whatever the days. Otherwise that is so only
        where no row is `hidden`."""
        if self.everyone or self.agent == self.viewer:
            return True
        return self.agent is None and self.team is not None and self.team <= self.units

    def filter_sql(self, agent: str, day: str, until: str | None = None) -> str:
        """SQL, true for the rows that were asked for and may be seen. `agent` and `day` are its expressions; of what
        lasts, `day` is the first day and `until` the last one. Needs `parameters`."""
        found = [] if self.candidates is None else [f"{agent} = ANY(cast(:among AS uuid[]))"]
        if self.team is not None:
            found.append(_member_sql(agent, day, until, "asked_units"))
        if not self.is_unrestricted:
            found.append(self.visible_sql(agent, day, until))
        return f"({' AND '.join(found) or 'true'})"

    def hidden_sql(self, agent: str, day: str) -> str:
        """SQL, true for the rows that were asked for and may not be seen."""
        return (
            "false"
            if self.is_unrestricted
            else f"({self.requested_sql(agent, day)} AND NOT {self.visible_sql(agent, day)})"
        )

    def requested_sql(self, agent: str, day: str, until: str | None = None) -> str:
        """SQL, true for the rows that were asked for, whether they may be seen or not."""
        found = [] if self.agent is None else [f"{agent} = :asked_agent"]
        if self.team is not None:
            found.append(_member_sql(agent, day, until, "asked_units"))
        return f"({' AND '.join(found) or 'true'})"

    def visible_sql(self, agent: str, day: str, until: str | None = None) -> str:
        """SQL, true for the rows that may be seen, whether they were asked for or not."""
        if self.everyone:
            return "true"
        return f"({agent} IS NOT DISTINCT FROM :viewer OR {_member_sql(agent, day, until, 'seen_units')})"

    def visible_days_sql(self) -> str:
        """SQL, the relation `v` (agent_id, first, until) of the days that a caller who does not see everyone sees; an
        agent may be there several times. Needs `parameters`."""
        return (
            "(SELECT person_id AS agent_id, valid_from AS first, valid_to AS until FROM directory_membership "
            "WHERE tenant = :tenant AND org_unit_id = ANY(cast(:seen_units AS uuid[])) "
            "UNION ALL SELECT cast(:viewer AS uuid), date '0001-01-01', date '9999-12-31') AS v"
        )

    @property
    def parameters(self) -> dict[str, Any]:
        """What the conditions need beside `tenant`."""
        return {
            "viewer": self.viewer,
            "seen_units": list(self.units),
            "asked_agent": self.agent,
            "asked_units": list(self.team or ()),
            "among": list(self.candidates or ()),
        }

    async def is_visible(self, session: Session, agent_id: UUID | None, first: date, last: date | None = None) -> bool:
        """Whether the caller sees this agent on one of the days from `first` to `last`, both included."""
        return bool(await self.filter_visible_spans(session, [(agent_id, first, last or first)]))

    async def filter_visible_spans(
        self, session: Session, spans: Collection[tuple[UUID | None, date, date]]
    ) -> set[tuple[UUID | None, date, date]]:
        """Those of the spans (agent, first and last day) on one day of which the caller sees the agent."""
        if self.everyone:
            return set(spans)
        found = {span for span in spans if span[0] == self.viewer}
        wanted = [span for span in {*spans} - found if span[0] is not None]
        if not wanted or not self.units:
            return found
        member = _member_sql("s.agent_id", "s.first", "s.last", "seen_units")
        rows = await session.tuples(
            "SELECT s.agent_id, s.first, s.last FROM unnest(cast(:agents AS uuid[]), cast(:firsts AS date[]), "  # noqa: S608
            f"cast(:lasts AS date[])) AS s (agent_id, first, last) WHERE {member}",
            {
                "tenant": session.tenant,
                "agents": [agent_id for agent_id, _, _ in wanted],
                "firsts": [first for _, first, _ in wanted],
                "lasts": [last for _, _, last in wanted],
                "seen_units": list(self.units),
            },
        )
        return found | {(row[0], row[1], row[2]) for row in rows}

    async def filter_visible_windows(
        self, session: Session, spans: Collection[tuple[UUID, str]]
    ) -> set[tuple[UUID, str]]:
        """Those of these windows (agent, name) on all days of which the caller sees the agent, as far as their first and
        last ones tell; a window without days of its own is seen by whoever sees everyone, and by the agent."""
        if self.everyone:
            return set(spans)
        days = {span: window_days(span[1]) for span in spans}
        ends = {(span[0], day, day) for span, found in days.items() if found for day in found}
        seen = await self.filter_visible_spans(session, ends)
        return {
            span
            for span, found in days.items()
            if (span[0] == self.viewer if found is None else all((span[0], day, day) in seen for day in found))
        }


def _member_sql(agent: str, day: str, until: str | None, units: str) -> str:
    return (
        "EXISTS (SELECT FROM directory_membership vm WHERE vm.tenant = :tenant "
        f"AND vm.person_id = {agent} AND vm.org_unit_id = ANY(cast(:{units} AS uuid[])) "
        f"AND vm.valid_from <= {until or day} AND {day} < vm.valid_to)"
    )


def sees_everyone(caller: Caller) -> bool:
    """Whether there is nobody in the tenant whom the caller may not see."""
    return any(role.role in _SEES_ALL and role.org_unit_id is None for role in caller.roles)


def can_see_others(caller: Caller) -> bool:
    """Whether the caller sees other people at all, and so what belongs to nobody: a queue's numbers name no one."""
    return any(role.role in _SEES_UNIT for role in caller.roles)


async def load_visibility(
    session: Session, caller: Caller, *, agent: str | None = None, team: str | None = None, refuse: bool = True
) -> VisibilityFilter:
    """What the caller sees, of `agent` and of the people that `team` had on the day (each by id or slug), if given.

    Raises NotFound for unknown ones and, with `refuse`, Forbidden for an agent of whom the caller sees no day at all.
    """
    found = VisibilityFilter(caller.person_id, sees_everyone(caller))
    if not found.everyone:
        units = await _load_subtree(
            session, {each.org_unit_id for each in caller.roles if each.org_unit_id and each.role in _SEES_UNIT}
        )
        among = await _load_all_members(session, units) | {caller.person_id}
        found = replace(found, units=units, candidates=among)
    if agent is not None:
        person = await find_person(session, agent)
        if refuse and found.candidates is not None and person.id not in found.candidates:
            raise agent_forbidden()
        found = replace(found, agent=person.id, candidates=frozenset({person.id}))
    if team is not None:
        units = await _load_subtree(session, {(await find_org_unit(session, team)).id})
        members = await _load_all_members(session, units)
        found = replace(
            found, team=units, candidates=members if found.candidates is None else found.candidates & members
        )
    return found


async def load_visible_agents(session: Session, caller: Caller) -> set[UUID] | None:
    """Whom the caller may see on the day that it is for each of them; None: everyone in the tenant."""
    if sees_everyone(caller):
        return None
    visible = {caller.person_id}
    for role in caller.roles:
        if role.org_unit_id is not None and role.role in _SEES_UNIT:
            visible |= await find_members(session, role.org_unit_id)
    return visible


async def require_agent(
    session: Session, caller: Caller, agent_id: UUID, first: date | None = None, last: date | None = None
) -> None:
    """Raises Forbidden unless the caller may see this agent on `first`, or a day from then to `last`; by default
    the agent's today."""
    first = first or await today_of(session, agent_id)
    if not await (await load_visibility(session, caller)).is_visible(session, agent_id, first, last):
        raise agent_forbidden()


def agent_forbidden() -> Forbidden:
    return Forbidden("not-your-agent", "You may see yourself and the people of your own teams only.")


async def _load_subtree(session: Session, units: set[UUID]) -> frozenset[UUID]:
    if not units:
        return frozenset()
    found = await session.scalars(
        "SELECT id FROM directory_org_unit WHERE tenant = :tenant AND path && cast(:units AS uuid[])",
        {"tenant": session.tenant, "units": list(units)},
    )
    return frozenset(found)


async def _load_all_members(session: Session, units: frozenset[UUID]) -> frozenset[UUID]:
    if not units:
        return frozenset()
    found = await session.scalars(
        "SELECT DISTINCT person_id FROM directory_membership WHERE tenant = :tenant "
        "AND org_unit_id = ANY(cast(:units AS uuid[]))",
        {"tenant": session.tenant, "units": list(units)},
    )
    return frozenset(found)
