"""Queries of values by any dimension: from partials where these have the dimension, else from the facts."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from servicekit.visibility import VisibilityFilter
from storage import Session

from kpi_engine.model.functions import render_literal, to_sql
from kpi_engine.model.plan import Plan
from kpi_engine.store.facts import NO_AGENT_ID
from kpi_engine.store.models import PublishedModel
from kpi_engine.store.partials import (
    COUNTING_FACTS_SQL,
    Components,
    components_sql,
    contributions_sql,
    merged_components_sql,
)

Grain = Literal["workday", "week", "month", "total"]
_WINDOW = {"workday": "{day}", "week": "date_trunc('week', {day})::date", "month": "date_trunc('month', {day})::date"}


PEOPLE_DIMENSIONS = ("agent", "team", "org_unit", "site")
"""Dimensions by which people are grouped."""


@dataclass(frozen=True)
class ValueQuery:
    """`by`: agent, team, org_unit, site, queue, hour, attributes.X or "" for one total. Facts without an agent count for
    callers who see everyone and ask for no agent or team: under the key null where people are grouped, or under `only_site`,
    the tenant's only one. `first` and `last` are inclusive."""

    by: str
    grain: Grain
    first: date
    last: date
    visible: VisibilityFilter
    only_site: UUID | None = None

    @property
    def of_people(self) -> bool:
        """Whether facts without an agent are left out."""
        filtered = self.visible.agent is not None or self.visible.team is not None
        return (
            not self.visible.everyone
            or filtered
            or (self.by in PEOPLE_DIMENSIONS and not (self.by == "site" and self.only_site))
        )


class ValueRow(NamedTuple):
    """The components of a KPI over one group and window. `window`: its first day."""

    key: str | None
    window: date
    sample: int
    components: Components


async def load_values(
    session: Session, published: PublishedModel, query: ValueQuery, *, after: tuple[Any, ...] | None, limit: int
) -> list[ValueRow]:
    """Ordered by key, null first, and window. `after`: key and window of the last row of the page before."""
    from_facts = query.by in ("queue", "hour") or query.by.startswith("attributes.")
    inner = _facts_query(published.model.plan, query) if from_facts else _partials_query(published.model.plan, query)
    parameters: dict[str, Any] = {
        "tenant": session.tenant,
        "kpi": published.kpi,
        "kind": published.model.source,
        "first": query.first,
        "last": query.last,
        "no_agent": NO_AGENT_ID,
        "only_site": None if query.only_site is None else str(query.only_site),
        "limit": limit,
        **query.visible.parameters,
    }
    position = ""
    if after is not None:
        position = "WHERE (coalesce(key, ''), \"window\") > (:after_key, cast(:after_window AS date))"
        parameters |= {"after_key": after[0], "after_window": after[1]}
    statement = f'SELECT key, "window", sample, components FROM ({inner}) AS cut {position} ORDER BY coalesce(key, \'\'), "window" LIMIT :limit'  # noqa: S608
    used = {name: value for name, value in parameters.items() if f":{name}" in statement}
    return [ValueRow(*row) for row in await session.tuples(statement, used)]


def _window(cut: ValueQuery, day: str) -> str:
    return "cast(:first AS date)" if cut.grain == "total" else _WINDOW[cut.grain].format(day=day)


_UNITS = {
    "team": "(SELECT m.org_unit_id)",
    "org_unit": "(SELECT unnest(u.path))",
    "site": "(SELECT id FROM directory_org_unit WHERE tenant = :tenant AND id = ANY(u.path) AND body ->> 'kind' = 'site')",
}


def _partials_query(plan: Plan, cut: ValueQuery) -> str:
    join, key = "", "NULL::text"
    if cut.by == "agent":
        key = "nullif(p.agent_id, :no_agent)::text"
    elif cut.by in _UNITS:
        # People without a unit on the day, and facts without an agent, have the key null: the groups add up to the total.
        key = "unit.id::text"
        if cut.by == "site":
            key = "CASE WHEN p.agent_id = :no_agent THEN cast(:only_site AS text) ELSE unit.id::text END"
        join = (
            "LEFT JOIN LATERAL (SELECT unit.id FROM directory_membership m "  # noqa: S608
            "JOIN directory_org_unit u ON u.tenant = m.tenant AND u.id = m.org_unit_id "
            f"CROSS JOIN LATERAL {_UNITS[cut.by]} AS unit (id) WHERE m.tenant = p.tenant AND m.person_id = p.agent_id "
            "AND m.valid_from <= p.workday AND p.workday < m.valid_to) AS unit ON true"
        )
    condition = f"AND {cut.visible.filter_sql('p.agent_id', 'p.workday')}"
    rows = (
        f'SELECT DISTINCT {key} AS key, {_window(cut, "p.workday")} AS "window", '  # noqa: S608
        "p.agent_id, p.workday, p.sample, p.components "
        f"FROM partial p {join} WHERE p.tenant = :tenant AND p.kpi = :kpi "
        f"AND p.workday BETWEEN :first AND :last AND p.sample <> 0 {condition}"
    )
    return (
        f'SELECT key, "window", sum(r.sample) AS sample, {merged_components_sql(plan, "r.components")} AS components '  # noqa: S608
        f"FROM ({rows}) AS r GROUP BY 1, 2"
    )


# The hour on the tenant's wall, for all agents alike; `f.workday` alone follows the agent's site and the start of the day.
_HOUR = (
    "to_char(f.started_at AT TIME ZONE coalesce((SELECT body ->> 'time_zone' FROM directory_tenant "
    "WHERE tenant = :tenant), 'UTC'), 'HH24')"
)


def _facts_query(plan: Plan, cut: ValueQuery) -> str:
    key = {"queue": "f.queue", "hour": _HOUR}.get(
        cut.by, f"(f.attributes ->> {render_literal(cut.by.partition('.')[2])})"
    )
    condition = f"AND {cut.visible.filter_sql('f.agent_id', 'f.workday')}"
    return (
        f'SELECT {key} AS key, {_window(cut, "f.workday")} AS "window", count(*) AS sample, {components_sql(plan)} AS components '  # noqa: S608
        f"FROM fact f WHERE {COUNTING_FACTS_SQL} AND {plan.where_sql} "
        f"AND f.workday BETWEEN :first AND :last {condition} GROUP BY 1, 2"
    )


async def find_only_site(session: Session) -> UUID | None:
    """The tenant's only site, when it has one."""
    found = await session.scalars(
        "SELECT id FROM directory_org_unit WHERE tenant = :tenant AND body ->> 'kind' = 'site' LIMIT 2",
        {"tenant": session.tenant},
    )
    return found[0] if len(found) == 1 else None


class LeftOutCounts(NamedTuple):
    """Facts that would count and belong to no group: those whose agent or call is not known yet, and those that no agent
    took."""

    held: int
    without_agent: int


async def count_left_out(session: Session, published: PublishedModel, query: ValueQuery) -> LeftOutCounts:
    """Counts the facts of these days that the query leaves out."""
    place = {"tenant": session.tenant, "kind": published.model.source, "first": query.first, "last": query.last}
    waiting = "f.agent_id IS NULL" if published.model.source == "legs" else "f.held IS NOT NULL"
    ((held, without_agent),) = await session.tuples(
        "SELECT count(f.held) AS held, count(*) FILTER (WHERE f.held IS NULL) AS without_agent FROM fact f "  # noqa: S608
        f"WHERE f.tenant = :tenant AND f.kind = :kind AND NOT f.void AND {published.model.plan.where_sql} "
        f"AND {waiting} AND f.workday BETWEEN :first AND :last",
        place,
    )
    if query.of_people:
        return LeftOutCounts(held, without_agent)
    return LeftOutCounts(held if published.model.source == "submissions" else 0, 0)


async def find_hidden_windows(
    session: Session, published: PublishedModel, query: ValueQuery, agents: Iterable[UUID]
) -> set[tuple[UUID, date]]:
    """(agent, first day) of the windows with days that the caller may not see."""
    if query.visible.is_unrestricted:
        return set()
    found = await session.tuples(
        f'SELECT DISTINCT p.agent_id, {_window(query, "p.workday")} AS "window" FROM partial p '  # noqa: S608
        "WHERE p.tenant = :tenant AND p.kpi = :kpi AND p.agent_id = ANY(cast(:agents AS uuid[])) "
        "AND p.workday BETWEEN cast(:first AS date) AND :last AND p.sample <> 0 "
        f"AND {query.visible.hidden_sql('p.agent_id', 'p.workday')}",
        {
            "tenant": session.tenant,
            "kpi": published.kpi,
            "agents": list(agents),
            "first": query.first,
            "last": query.last,
            **query.visible.parameters,
        },
    )
    return {(agent_id, window) for agent_id, window in found}


@dataclass(frozen=True)
class ExplainedFactRow:
    """A fact with the result of each condition of the model's `where`, in order (None: unknown), whether it `counts`, and
    what it contributes to each component."""

    id: UUID
    leg: int
    version: int
    void: bool
    held: str | None
    source: str | None
    external_id: str | None
    queue: str | None
    workday: date
    started_at: datetime
    conditions: tuple[bool | None, ...]
    counts: bool
    contributions: Components


async def load_explained_facts(
    session: Session,
    published: PublishedModel,
    query: ValueQuery,
    *,
    after: tuple[Any, ...] | None,
    limit: int,
) -> list[ExplainedFactRow]:
    """The facts of the query's agent on the days that the caller may see, by start. `after`: start, id and leg of the last
    row of the page before."""
    plan = published.model.plan
    columns = [f"({to_sql(condition)}) AS c{n}" for n, condition in enumerate(plan.conditions)]
    columns.append(f"coalesce({plan.where_sql}, false) AS counts")
    columns.append(contributions_sql(plan))
    parameters: dict[str, Any] = {
        "tenant": session.tenant,
        "kind": published.model.source,
        "first": query.first,
        "last": query.last,
        "limit": limit,
        **query.visible.parameters,
    }
    position = ""
    if after is not None:
        position = "AND (f.started_at, f.id, f.leg) > (cast(:at AS timestamptz), cast(:id AS uuid), cast(:leg AS int))"
        parameters |= {"at": after[0], "id": after[1], "leg": after[2]}
    rows = await session.tuples(
        "SELECT f.id, f.leg, f.version, f.void, f.held, f.source, f.external_id, f.queue, f.workday, f.started_at, "  # noqa: S608
        f"{', '.join(columns)} FROM fact f WHERE f.tenant = :tenant AND f.kind = :kind "
        f"AND {query.visible.filter_sql('f.agent_id', 'f.workday')} AND f.workday BETWEEN :first AND :last {position} ORDER BY f.started_at, f.id, f.leg LIMIT :limit",
        parameters,
    )
    end = _FACT_COLUMNS + len(plan.conditions)
    return [
        ExplainedFactRow(
            *row[:_FACT_COLUMNS], conditions=row[_FACT_COLUMNS:end], counts=row[end], contributions=row[end + 1 :]
        )
        for row in rows
    ]


_FACT_COLUMNS = 10
"""Columns of an explained fact before those of the conditions."""


class SampleRow(NamedTuple):
    """The components over some facts: `sample` of the `examined` ones count."""

    sample: int
    examined: int
    components: Components


async def compute_sample(session: Session, plan: Plan, kind: str, most: int) -> SampleRow:
    """Computes a plan that is not published over the newest `most` facts of a kind."""
    (row,) = await session.tuples(
        f"SELECT count(*) FILTER (WHERE counts) AS sample, count(*) AS examined, {_filtered(plan)} AS components "  # noqa: S608
        f"FROM (SELECT f.*, coalesce({plan.where_sql}, false) AS counts FROM (SELECT * FROM fact "
        "WHERE tenant = :tenant AND kind = :kind AND NOT void ORDER BY workday DESC LIMIT :most) AS f) AS f",
        {"tenant": session.tenant, "kind": kind, "most": most},
    )
    return SampleRow(*row)


def _filtered(plan: Plan) -> str:
    filtered = " FILTER (WHERE counts)"
    columns = [each.partial.total_sql(each.contribution_sql, filtered) for each in plan.components]
    return f"ARRAY[{', '.join(columns)}]::numeric[]"


async def load_names(session: Session, by: str, keys: Iterable[str]) -> dict[str, dict[str, str]]:
    """`name` and `slug` of agents or org units, by id as text."""
    table, field = ("directory_person", "display_name") if by == "agent" else ("directory_org_unit", "name")
    rows = await session.rows(
        f"SELECT id, slug, body ->> '{field}' AS name FROM {table} "  # noqa: S608
        "WHERE tenant = :tenant AND id = ANY(cast(:ids AS uuid[]))",
        {"tenant": session.tenant, "ids": list(keys)},
    )
    return {str(row["id"]): {"name": row["name"], "slug": row["slug"]} for row in rows}
