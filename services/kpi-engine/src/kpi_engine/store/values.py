"""Values over any cut: rolled up from partials where their grain allows, else from the facts."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal
from uuid import UUID

from servicekit.visibility import VisibilityFilter
from storage import Session

from kpi_engine.model.functions import render_literal, to_sql
from kpi_engine.model.plan import Plan
from kpi_engine.store.facts import NO_AGENT_ID
from kpi_engine.store.models import PublishedModel
from kpi_engine.store.partials import COUNTING_FACTS_SQL, components_sql, contributions_sql, merged_components_sql

Grain = Literal["workday", "week", "month", "total"]
_WINDOW = {"workday": "{day}", "week": "date_trunc('week', {day})::date", "month": "date_trunc('month', {day})::date"}


PEOPLE_DIMENSIONS = ("agent", "team", "org_unit", "site")
"""Cuts that tell people apart."""


@dataclass(frozen=True)
class ValueQuery:
    """`by`: agent, team, org_unit, site, queue, hour, attributes.X or "" for all together. Facts that no agent took are
    there for those who see everyone, unless an agent or a team was asked for: under the key null where people are told
    apart, or under `only_site`, the tenant's only one. Days are inclusive."""

    by: str
    grain: Grain
    first: date
    last: date
    visible: VisibilityFilter
    only_site: UUID | None = None

    @property
    def of_people(self) -> bool:
        """Whether facts without an agent have no place in it."""
        asked = self.visible.agent is not None or self.visible.team is not None
        return (
            not self.visible.everyone
            or asked
            or (self.by in PEOPLE_DIMENSIONS and not (self.by == "site" and self.only_site))
        )


async def load_values(
    session: Session, published: PublishedModel, query: ValueQuery, *, after: tuple[Any, ...] | None, limit: int
) -> list[dict[str, Any]]:
    """Rows of key, window, sample, components, ordered by key and window; key null where there is none."""
    from_facts = query.by in ("queue", "hour") or query.by.startswith("attributes.")
    inner = _facts_query(published.model.plan, query) if from_facts else _partials_query(published.model.plan, query)
    parameters: dict[str, Any] = {
        "tenant": session.tenant,
        "kpi": published.kpi,
        "kind": published.model.source,
        "first": query.first,
        "last": query.last,
        "nobody": NO_AGENT_ID,
        "only_site": None if query.only_site is None else str(query.only_site),
        "limit": limit,
        **query.visible.parameters,
    }
    position = ""
    if after is not None:
        position = "WHERE (coalesce(key, ''), \"window\") > (:after_key, cast(:after_window AS date))"
        parameters |= {"after_key": after[0], "after_window": after[1]}
    statement = f"SELECT * FROM ({inner}) AS cut {position} ORDER BY coalesce(key, ''), \"window\" LIMIT :limit"  # noqa: S608
    used = {name: value for name, value in parameters.items() if f":{name}" in statement}
    return await session.rows(statement, used)


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
        key = "nullif(p.agent_id, :nobody)::text"
    elif cut.by in _UNITS:
        # Whoever is in no unit on the day, and what nobody took, stands under no key: the groups make up the total.
        key = "unit.id::text"
        if cut.by == "site":
            key = "CASE WHEN p.agent_id = :nobody THEN cast(:only_site AS text) ELSE unit.id::text END"
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


async def count_left_out(session: Session, published: PublishedModel, query: ValueQuery) -> dict[str, int]:
    """Facts of these days that would count and have no place in the cut: `held`, whose agent or call is not known yet, and
    `without_agent`, which nobody took."""
    place = {"tenant": session.tenant, "kind": published.model.source, "first": query.first, "last": query.last}
    waiting = "f.agent_id IS NULL" if published.model.source == "legs" else "f.held IS NOT NULL"
    row = await session.row(
        "SELECT count(f.held) AS held, count(*) FILTER (WHERE f.held IS NULL) AS without_agent FROM fact f "  # noqa: S608
        f"WHERE f.tenant = :tenant AND f.kind = :kind AND NOT f.void AND {published.model.plan.where_sql} "
        f"AND {waiting} AND f.workday BETWEEN :first AND :last",
        place,
    )
    assert row is not None
    if query.of_people:
        return row
    return {"held": row["held"] if published.model.source == "submissions" else 0, "without_agent": 0}


async def find_hidden_windows(
    session: Session, published: PublishedModel, query: ValueQuery, agents: Iterable[UUID]
) -> set[tuple[UUID, date]]:
    """Of these agents, which windows have days that were asked for and that the caller may not see."""
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


async def load_explained_facts(
    session: Session,
    published: PublishedModel,
    query: ValueQuery,
    *,
    after: tuple[Any, ...] | None,
    limit: int,
) -> list[dict[str, Any]]:
    """The facts of the agent asked for, of the days that the caller sees: whether each counts, which conditions hold (`c0`…), and what it gives to each component."""
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
    return await session.rows(
        "SELECT f.id, f.leg, f.version, f.void, f.held, f.source, f.external_id, f.queue, f.workday, f.started_at, "  # noqa: S608
        f"{', '.join(columns)} FROM fact f WHERE f.tenant = :tenant AND f.kind = :kind "
        f"AND {query.visible.filter_sql('f.agent_id', 'f.workday')} AND f.workday BETWEEN :first AND :last {position} ORDER BY f.started_at, f.id, f.leg LIMIT :limit",
        parameters,
    )


async def compute_sample(session: Session, plan: Plan, kind: str, most: int) -> dict[str, Any]:
    """The components over the newest `most` facts of a kind, for a model that is not published."""
    row = await session.row(
        f"SELECT count(*) FILTER (WHERE counts) AS sample, count(*) AS examined, {_filtered(plan)} AS components "  # noqa: S608
        f"FROM (SELECT f.*, coalesce({plan.where_sql}, false) AS counts FROM (SELECT * FROM fact "
        "WHERE tenant = :tenant AND kind = :kind AND NOT void ORDER BY workday DESC LIMIT :most) AS f) AS f",
        {"tenant": session.tenant, "kind": kind, "most": most},
    )
    assert row is not None
    return row


def _filtered(plan: Plan) -> str:
    filtered = " FILTER (WHERE counts)"
    columns = [each.partial.total_sql(each.contribution_sql, filtered) for each in plan.components]
    return f"ARRAY[{', '.join(columns)}]::numeric[]"


async def load_names(session: Session, by: str, keys: Iterable[str]) -> dict[str, dict[str, str]]:
    """`name` and `slug` of agents or org units by id."""
    table, field = ("directory_person", "display_name") if by == "agent" else ("directory_org_unit", "name")
    rows = await session.rows(
        f"SELECT id, slug, body ->> '{field}' AS name FROM {table} "  # noqa: S608
        "WHERE tenant = :tenant AND id = ANY(cast(:ids AS uuid[]))",
        {"tenant": session.tenant, "ids": list(keys)},
    )
    return {str(row["id"]): {"name": row["name"], "slug": row["slug"]} for row in rows}
