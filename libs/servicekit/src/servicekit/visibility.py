"""Which agents a caller may see, and on which days.

Visibility follows membership by day. A workday's data is visible to callers with a role over an org unit that the agent
was a member of on that day. After a move, the old lead still sees the days before it, and the new lead does not.
Callers see themselves on every day. Data that spans several days, such as a stay in a band, is visible to whoever sees
the agent on one of these days.
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
    """What a caller may see, restricted to the agent or team of the request, as conditions of a query.

    `everyone`: the caller sees all agents on all days. `units`: the caller sees their members. `agent`, `team` (with the
    units below it): what the request is restricted to. `candidates`: the only agents whose rows can match, so that other
    rows are not read; None: any agent.
    """

    viewer: UUID
    everyone: bool
    units: frozenset[UUID] = frozenset()
    agent: UUID | None = None
    team: frozenset[UUID] | None = None
    candidates: frozenset[UUID] | None = None

    @property
    def is_unrestricted(self) -> bool:
        """Whether the caller sees all that the request asks for, on all days. If not, a result may be incomplete:
        `hidden_sql` finds out."""
        if self.everyone or self.agent == self.viewer:
            return True
        return self.agent is None and self.team is not None and self.team <= self.units

    def filter_sql(self, agent: str, day: str, until: str | None = None) -> str:
        """An SQL condition for the rows that are requested and visible. `agent` and `day` are SQL expressions; for data that
        spans several days, `day` is the first day and `until` the last. Needs `parameters` and `tenant`."""
        found = [] if self.candidates is None else [f"{agent} = ANY(cast(:candidates AS uuid[]))"]
        if self.team is not None:
            found.append(_member_sql(agent, day, until, "requested_units"))
        if not self.is_unrestricted:
            found.append(self.visible_sql(agent, day, until))
        return f"({' AND '.join(found) or 'true'})"

    def hidden_sql(self, agent: str, day: str) -> str:
        """An SQL condition for the rows that are requested and not visible."""
        return (
            "false"
            if self.is_unrestricted
            else f"({self.requested_sql(agent, day)} AND NOT {self.visible_sql(agent, day)})"
        )

    def requested_sql(self, agent: str, day: str, until: str | None = None) -> str:
        """An SQL condition for the rows that are requested, visible or not."""
        found = [] if self.agent is None else [f"{agent} = :requested_agent"]
        if self.team is not None:
            found.append(_member_sql(agent, day, until, "requested_units"))
        return f"({' AND '.join(found) or 'true'})"

    def visible_sql(self, agent: str, day: str, until: str | None = None) -> str:
        """An SQL condition for the rows that are visible, requested or not."""
        if self.everyone:
            return "true"
        return f"({agent} IS NOT DISTINCT FROM :viewer OR {_member_sql(agent, day, until, 'visible_units')})"

    def visible_days_sql(self) -> str:
        """An SQL FROM item `v` (agent_id, first, until) with the visible days of each agent, `until` excluded. An agent may
        have several rows. For callers who do not see everyone. Needs `parameters` and `tenant`."""
        return (
            "(SELECT person_id AS agent_id, valid_from AS first, valid_to AS until FROM directory_membership "
            "WHERE tenant = :tenant AND org_unit_id = ANY(cast(:visible_units AS uuid[])) "
            "UNION ALL SELECT cast(:viewer AS uuid), date '0001-01-01', date '9999-12-31') AS v"
        )

    @property
    def parameters(self) -> dict[str, Any]:
        """The query parameters of the conditions, apart from `tenant`."""
        return {
            "viewer": self.viewer,
            "visible_units": list(self.units),
            "requested_agent": self.agent,
            "requested_units": list(self.team or ()),
            "candidates": list(self.candidates or ()),
        }

    async def is_visible(self, session: Session, agent_id: UUID | None, first: date, last: date | None = None) -> bool:
        """Whether the caller sees this agent on one of the days from `first` to `last`, both included."""
        return bool(await self.filter_visible_spans(session, [(agent_id, first, last or first)]))

    async def filter_visible_spans(
        self, session: Session, spans: Collection[tuple[UUID | None, date, date]]
    ) -> set[tuple[UUID | None, date, date]]:
        """The spans (agent, first day, last day) in which the caller sees the agent on at least one day."""
        if self.everyone:
            return set(spans)
        found = {span for span in spans if span[0] == self.viewer}
        others = [span for span in {*spans} - found if span[0] is not None]
        if not others or not self.units:
            return found
        member = _member_sql("s.agent_id", "s.first", "s.last", "visible_units")
        rows = await session.tuples(
            "SELECT s.agent_id, s.first, s.last FROM unnest(cast(:agents AS uuid[]), cast(:firsts AS date[]), "  # noqa: S608
            f"cast(:lasts AS date[])) AS s (agent_id, first, last) WHERE {member}",
            {
                "tenant": session.tenant,
                "agents": [agent_id for agent_id, _, _ in others],
                "firsts": [first for _, first, _ in others],
                "lasts": [last for _, _, last in others],
                "visible_units": list(self.units),
            },
        )
        return found | {(row[0], row[1], row[2]) for row in rows}

    async def filter_visible_windows(
        self, session: Session, spans: Collection[tuple[UUID, str]]
    ) -> set[tuple[UUID, str]]:
        """The windows (agent, window name) that the caller may see: those where the caller sees the agent on the first and
        on the last day. A window without days, such as the last 50 legs, is visible to callers who see everyone and to the
        agent."""
        if self.everyone:
            return set(spans)
        days = {span: window_days(span[1]) for span in spans}
        ends = {(span[0], day, day) for span, found in days.items() if found for day in found}
        visible = await self.filter_visible_spans(session, ends)
        return {
            span
            for span, found in days.items()
            if (span[0] == self.viewer if found is None else all((span[0], day, day) in visible for day in found))
        }


def _member_sql(agent: str, day: str, until: str | None, units: str) -> str:
    return (
        "EXISTS (SELECT FROM directory_membership vm WHERE vm.tenant = :tenant "
        f"AND vm.person_id = {agent} AND vm.org_unit_id = ANY(cast(:{units} AS uuid[])) "
        f"AND vm.valid_from <= {until or day} AND {day} < vm.valid_to)"
    )


def sees_everyone(caller: Caller) -> bool:
    """Whether the caller may see everybody in the tenant."""
    return any(role.role in _SEES_ALL and role.org_unit_id is None for role in caller.roles)


def can_see_others(caller: Caller) -> bool:
    """Whether the caller may see anybody else, and so also numbers that name nobody, such as a queue's."""
    return any(role.role in _SEES_UNIT for role in caller.roles)


async def load_visibility(
    session: Session, caller: Caller, *, agent: str | None = None, team: str | None = None, refuse: bool = True
) -> VisibilityFilter:
    """What the caller may see, restricted to `agent`, and to the members of `team` on each day (each by id or slug), if given.

    Raises NotFound for an unknown agent or team. With `refuse`, raises Forbidden for an agent whom the caller sees on no day.
    """
    found = VisibilityFilter(caller.person_id, sees_everyone(caller))
    if not found.everyone:
        units = await _load_subtree(
            session, {each.org_unit_id for each in caller.roles if each.org_unit_id and each.role in _SEES_UNIT}
        )
        candidates = await _load_all_members(session, units) | {caller.person_id}
        found = replace(found, units=units, candidates=candidates)
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
    """Ids of the people whom the caller may see on each person's current workday; None: everyone in the tenant."""
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
    """Raises Forbidden unless the caller may see this agent on a day from `first` to `last`. Defaults: `last` is `first`,
    and `first` is the agent's current workday."""
    first = first or await today_of(session, agent_id)
    if not await (await load_visibility(session, caller)).is_visible(session, agent_id, first, last):
        raise agent_forbidden()


def agent_forbidden() -> Forbidden:
    """The error for an agent whom the caller may not see."""
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
