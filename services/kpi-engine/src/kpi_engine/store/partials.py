"""Partials: the components of every KPI per agent and workday, kept up by retract and add, or recomputed from facts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from storage import Session

from kpi_engine.model.functions import render_literal
from kpi_engine.model.plan import Plan
from kpi_engine.store.facts import NO_AGENT_ID
from kpi_engine.store.models import Catalogue, PublishedModel

Components = Sequence[Decimal | None]


# Facts `f` of a kind that count somewhere. A submission about a call that is not known yet waits; a leg whose agent is not
# known yet counts wherever no agent is needed.
COUNTING_FACTS_SQL = (
    "f.tenant = :tenant AND f.kind = :kind AND NOT f.void AND (f.held IS NULL OR f.kind <> 'submissions')"
)


PartialContents = tuple[int, Components]
"""Of a partial: its sample and its components."""


@dataclass(frozen=True)
class PartialChange:
    """A partial as it now is; `before`: as it was, None when there was none; `changed`: it has another sample or other
    components."""

    kpi: str
    agent_id: UUID
    workday: date
    sample: int
    components: Components
    before: PartialContents | None = None
    changed: bool = True


async def apply_changes(session: Session, tenant: str, kind: str, catalogue: Catalogue) -> list[PartialChange]:
    """Retracts and adds what stands in `change_fact`, for all models of one kind of facts, in one statement. Returns
    the partials that facts came to or left, also those that read as before."""
    published = catalogue.models_of_kind(kind)
    if not published:
        return []
    name = f"apply {kind}"
    if name not in catalogue.statement_cache:
        catalogue.statement_cache[name] = _apply_statement(published)
    found = await session.tuples(
        catalogue.statement_cache[name], {"tenant": tenant, "kind": kind, "nobody": NO_AGENT_ID}
    )
    # The greatest and the least of what is left cannot be told from what was taken back.
    extremes = {each.kpi: each for each in published if not each.model.plan.retractable}
    changes: list[PartialChange] = []
    again: dict[tuple[str, bool], dict[tuple[UUID, date], PartialContents | None]] = {}
    for kpi, agent_id, workday, sample, components, sample_before, components_before, changed, retracted in found:
        before = None if sample_before is None else (sample_before, components_before)
        if retracted and kpi in extremes:
            again.setdefault((kpi, agent_id == NO_AGENT_ID), {})[agent_id, workday] = before
        else:
            changes.append(PartialChange(kpi, agent_id, workday, sample, components, before, changed))
    for (kpi, nobody), buckets in again.items():
        changes += await _recompute_buckets(session, tenant, extremes[kpi], buckets, nobody=nobody)
    return changes


async def recompute_partials(session: Session, published: PublishedModel) -> list[PartialChange]:
    """Makes a model's partials anew from the facts of the session's tenant. Returns those that have changed."""
    key = {"tenant": session.tenant, "kpi": published.kpi}
    before = {
        (row["agent_id"], row["workday"]): (row["sample"], row["components"])
        for row in await session.rows("DELETE FROM partial WHERE tenant = :tenant AND kpi = :kpi RETURNING *", key)
    }
    rows = await session.rows(
        "INSERT INTO partial (tenant, kpi, agent_id, workday, version, sample, components) "  # noqa: S608
        "SELECT :tenant, :kpi, agent_id, workday, :version, sample, components "
        f"FROM ({partials_from_facts_sql(published.model.plan)}) AS made RETURNING *",
        {**key, "version": published.version, "kind": published.model.source, "nobody": NO_AGENT_ID},
    )
    now = {
        (row["agent_id"], row["workday"]): PartialChange(
            row["kpi"], row["agent_id"], row["workday"], row["sample"], row["components"],
            before.get((row["agent_id"], row["workday"])),
        )
        for row in rows
    }  # fmt: skip
    nothing = [Decimal(0) if each.retractable else None for each in published.model.plan.components]
    gone = [
        PartialChange(published.kpi, *place, 0, nothing, old)
        for place, old in before.items()
        if place not in now and old[0]
    ]
    return gone + [each for each in now.values() if each.before != (each.sample, each.components)]


async def find_differences(session: Session, published: PublishedModel, *, most: int = 1000) -> list[dict[str, Any]]:
    """Partials that are not what the facts give: `stored_…` against `facts_…`; none are expected. At most so many, each with
    how many there are, `of_all`."""
    return await session.rows(
        "SELECT coalesce(p.agent_id, made.agent_id) AS agent_id, coalesce(p.workday, made.workday) AS workday, "  # noqa: S608
        "p.sample AS stored_sample, p.components AS stored_components, "
        "made.sample AS facts_sample, made.components AS facts_components, count(*) OVER () AS of_all "
        "FROM (SELECT * FROM partial WHERE tenant = :tenant AND kpi = :kpi) AS p "
        f"FULL JOIN ({partials_from_facts_sql(published.model.plan)}) AS made "
        "ON p.agent_id = made.agent_id AND p.workday = made.workday "
        "WHERE p.sample IS DISTINCT FROM made.sample AND coalesce(p.sample, 0) + coalesce(made.sample, 0) <> 0 "
        "OR p.components IS DISTINCT FROM made.components AND made.sample IS NOT NULL "
        "OR made.sample IS NULL AND NOT (0 = ALL(array_remove(p.components, NULL))) "
        "OR p.version <> :version ORDER BY 2, 1 LIMIT :most",
        {
            "tenant": session.tenant,
            "kpi": published.kpi,
            "kind": published.model.source,
            "version": published.version,
            "nobody": NO_AGENT_ID,
            "most": most,
        },
    )


@dataclass(frozen=True)
class SeriesQuery:
    """A KPI of an agent from the day `first` on, with the `back` days before it that have a sample. `weekly`: whole
    weeks of them."""

    kpi: str
    agent_id: UUID
    first: date
    days_before: int
    weekly: bool = False


DailySeries = tuple[list[tuple[date, int, Components]], bool]
"""Day, sample and components in order of workday, and whether there is nothing before them."""

_LOAD_SERIES = """
SELECT w.kpi, w.agent_id, p.workday, p.sample, p.components, b.whole
FROM unnest(cast(:kpis AS text[]), cast(:agents AS uuid[]), cast(:firsts AS date[]), cast(:backs AS int[]),
            cast(:weekly AS bool[])) AS w (kpi, agent_id, first, back, weekly)
CROSS JOIN LATERAL (
    SELECT CASE WHEN w.weekly THEN date_trunc('week', min(workday))::date ELSE min(workday) END AS since,
           count(*) < w.back AS whole
    FROM (SELECT workday FROM partial WHERE tenant = :tenant AND kpi = w.kpi AND agent_id = w.agent_id
          AND workday < w.first AND sample <> 0 ORDER BY workday DESC LIMIT w.back) AS days) AS b
CROSS JOIN LATERAL (
    SELECT workday, sample, components FROM partial WHERE tenant = :tenant AND kpi = w.kpi
    AND agent_id = w.agent_id AND workday >= coalesce(b.since, w.first) AND sample <> 0 OFFSET 0) AS p
ORDER BY w.kpi, w.agent_id, p.workday
"""


async def load_series(
    session: Session, tenant: str, wanted: Sequence[SeriesQuery]
) -> dict[tuple[str, UUID], DailySeries]:
    """By KPI and agent; those without partials are left out."""
    if not wanted:
        return {}
    found = await session.tuples(
        _LOAD_SERIES,
        {
            "tenant": tenant,
            "kpis": [each.kpi for each in wanted],
            "agents": [each.agent_id for each in wanted],
            "firsts": [each.first for each in wanted],
            "backs": [each.days_before for each in wanted],
            "weekly": [each.weekly for each in wanted],
        },
    )
    series: dict[tuple[str, UUID], DailySeries] = {}
    for kpi, agent_id, workday, sample, components, whole in found:
        series.setdefault((kpi, agent_id), ([], whole))[0].append((workday, sample, components))
    return series


def partials_from_facts_sql(plan: Plan) -> str:
    """SELECT of agent_id, workday, sample, components over the tenant's facts of `:kind`; `:nobody` for no agent."""
    return (
        f"SELECT coalesce(f.agent_id, :nobody) AS agent_id, f.workday, count(*) AS sample, "  # noqa: S608
        f"{components_sql(plan)} AS components FROM fact f "
        f"WHERE {COUNTING_FACTS_SQL} AND {plan.where_sql} GROUP BY 1, 2"
    )


def components_sql(plan: Plan) -> str:
    """The components over facts `f`, as an array."""
    return _array_sql(each.partial.total_sql(each.contribution_sql) for each in plan.components)


def contributions_sql(plan: Plan) -> str:
    """What each fact `f` gives to each component, as columns `k0`, `k1`, …"""
    return ", ".join(f"({each.contribution_sql})::numeric AS k{n}" for n, each in enumerate(plan.components))


def windowed_components_sql(plan: Plan, window: str) -> str:
    """The components over rows of `contributions`, as window functions."""
    return _array_sql(each.partial.total_sql(f"k{n}", window) for n, each in enumerate(plan.components))


def merged_components_sql(plan: Plan, array: str) -> str:
    """The components of several partials together."""
    return _array_sql(f"{each.partial.sql}({array}[{place}])" for place, each in enumerate(plan.components, 1))


def _array_sql(columns: Iterable[str]) -> str:
    return f"ARRAY[{', '.join(columns)}]::numeric[]"


def _apply_statement(published: list[PublishedModel]) -> str:
    """One pass over the changed facts for all models: each has a flag (counts or not) and its signed components."""
    flags, sums, values = [], [], []
    for number, each in enumerate(published):
        plan = each.model.plan
        counts = f"w{number}"
        flags.append(f"coalesce({plan.where_sql}, false) AS {counts}")
        sums += [
            f"coalesce(sum(f.sign) FILTER (WHERE {counts}), 0) AS {counts}_n",
            f"count(*) FILTER (WHERE {counts}) AS {counts}_t",
        ]
        columns = []
        for place, component in enumerate(plan.components):
            column = f"{counts}_{place}"
            value, which = component.contribution_sql, f" FILTER (WHERE {counts} AND f.sign = 1)"
            if component.retractable:
                value, which = f"f.sign * {value}", f" FILTER (WHERE {counts})"
            sums.append(f"{component.partial.total_sql(value, which)} AS {column}")
            columns.append(column)
        row = [
            render_literal(each.kpi),
            str(each.version),
            f"{counts}_n",
            f"{counts}_t",
            f"ARRAY[{', '.join(columns)}]::numeric[]",
        ]
        values.append(f"({', '.join(row)})")
    longest = max(len(each.model.plan.components) for each in published)
    together = ", ".join(_combine_sql(published, place) for place in range(longest))
    return f"""
    WITH delta AS (
        SELECT coalesce(f.agent_id, :nobody) AS agent_id, f.workday, {", ".join(sums)}
        FROM (SELECT f.*, {", ".join(flags)} FROM change_fact f WHERE {COUNTING_FACTS_SQL}) AS f
        GROUP BY 1, 2
    ), added AS (
        INSERT INTO partial AS p (tenant, kpi, agent_id, workday, version, sample, components)
        SELECT :tenant, m.kpi, d.agent_id, d.workday, m.version, m.sample, m.components
        FROM delta d CROSS JOIN LATERAL (VALUES {", ".join(values)}) AS m (kpi, version, sample, touched, components)
        WHERE m.touched > 0 ORDER BY 2, 3, 4
        ON CONFLICT (tenant, kpi, agent_id, workday) DO UPDATE SET
            sample = p.sample + excluded.sample,
            components = (ARRAY[{together}])[1:cardinality(p.components)]
        RETURNING p.kpi, p.agent_id, p.workday, new.sample, new.components,
                  old.sample AS sample_before, old.components AS components_before
    )
    SELECT kpi, agent_id, workday, sample, components, sample_before, components_before,
           (sample, components) IS DISTINCT FROM (coalesce(sample_before, 0), components_before) AS changed,
           (agent_id, workday) IN (
               SELECT coalesce(agent_id, :nobody), workday FROM change_fact
               WHERE tenant = :tenant AND kind = :kind AND sign = -1 AND NOT void) AS retracted
    FROM added
    """  # noqa: S608


def _combine_sql(published: list[PublishedModel], place: int) -> str:
    """What a partial had and what is added to it, at one place of the components of all models."""
    had, added = f"p.components[{place + 1}]", f"excluded.components[{place + 1}]"
    total = f"{had} + {added}"
    others: dict[str, list[str]] = {}
    for each in published:
        if place < len(each.model.plan.components):
            together = each.model.plan.components[place].partial.combined_sql(had, added)
            if together != total:
                others.setdefault(together, []).append(render_literal(each.kpi))
    cases = [f"WHEN p.kpi IN ({', '.join(kpis)}) THEN {together}" for together, kpis in others.items()]
    return f"CASE {' '.join(cases)} ELSE {total} END" if cases else total


async def _recompute_buckets(
    session: Session,
    tenant: str,
    published: PublishedModel,
    before: dict[tuple[UUID, date], PartialContents | None],
    *,
    nobody: bool,
) -> list[PartialChange]:
    """`nobody`: all of these buckets are of facts without agent; else none."""
    plan = published.model.plan
    of_agent = "f.agent_id IS NULL" if nobody else "f.agent_id = b.agent_id"
    found = await session.execute(
        "UPDATE partial p SET sample = made.sample, components = made.components "  # noqa: S608
        "FROM unnest(cast(:agents AS uuid[]), cast(:days AS date[])) AS b (agent_id, workday) "
        f"CROSS JOIN LATERAL (SELECT count(*) AS sample, {components_sql(plan)} AS components FROM fact f "
        f"WHERE {COUNTING_FACTS_SQL} AND f.workday = b.workday AND {of_agent} AND {plan.where_sql}) AS made "
        "WHERE p.tenant = :tenant AND p.kpi = :kpi AND p.agent_id = b.agent_id AND p.workday = b.workday "
        "RETURNING p.agent_id, p.workday, p.sample, p.components",
        {
            "tenant": tenant,
            "kpi": published.kpi,
            "kind": published.model.source,
            "agents": [agent for agent, _ in before],
            "days": [day for _, day in before],
        },
    )
    changes = []
    for agent_id, workday, sample, components in found:
        old = before[agent_id, workday]
        changed = (sample, components) != (old or (0, None))
        changes.append(PartialChange(published.kpi, agent_id, workday, sample, components, old, changed))
    return changes
