"""Partials: the components of each KPI per agent and workday, updated by retracting and adding, or recomputed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple
from uuid import UUID

from storage import Session

from kpi_engine.model.functions import render_literal
from kpi_engine.model.plan import Plan
from kpi_engine.store.facts import NO_AGENT_ID
from kpi_engine.store.models import Catalogue, PublishedModel

Components = Sequence[Decimal | None]


# Facts `f` of a kind that count. A submission whose call is not known yet does not; a leg whose agent is not known yet does
# where no agent is needed.
COUNTING_FACTS_SQL = (
    "f.tenant = :tenant AND f.kind = :kind AND NOT f.void AND (f.held IS NULL OR f.kind <> 'submissions')"
)


PartialContents = tuple[int, Components]
"""Sample and components of a partial."""


@dataclass(frozen=True)
class PartialChange:
    """A partial after a batch. `before`: its contents before it, None when there was no partial. `changed`: whether sample or
    components differ."""

    kpi: str
    agent_id: UUID
    workday: date
    sample: int
    components: Components
    before: PartialContents | None = None
    changed: bool = True


async def apply_changes(session: Session, tenant: str, kind: str, catalogue: Catalogue) -> list[PartialChange]:
    """Retracts and adds the facts in `change_fact`, for all models of one kind of facts, in one statement. Returns the
    partials that facts were added to or retracted from, also those whose contents did not change."""
    published = catalogue.models_of_kind(kind)
    if not published:
        return []
    name = f"apply {kind}"
    if name not in catalogue.statement_cache:
        catalogue.statement_cache[name] = _apply_statement(published)
    found = await session.tuples(
        catalogue.statement_cache[name], {"tenant": tenant, "kind": kind, "no_agent": NO_AGENT_ID}
    )
    # Minimum and maximum cannot be updated by a retraction: they are recomputed from the facts.
    extremes = {each.kpi: each for each in published if not each.model.plan.retractable}
    changes: list[PartialChange] = []
    to_recompute: dict[tuple[str, bool], dict[tuple[UUID, date], PartialContents | None]] = {}
    for kpi, agent_id, workday, sample, components, sample_before, components_before, changed, retracted in found:
        before = None if sample_before is None else (sample_before, components_before)
        if retracted and kpi in extremes:
            to_recompute.setdefault((kpi, agent_id == NO_AGENT_ID), {})[agent_id, workday] = before
        else:
            changes.append(PartialChange(kpi, agent_id, workday, sample, components, before, changed))
    for (kpi, no_agent), buckets in to_recompute.items():
        changes += await _recompute_buckets(session, tenant, extremes[kpi], buckets, no_agent=no_agent)
    return changes


async def recompute_partials(session: Session, published: PublishedModel) -> list[PartialChange]:
    """Recomputes all partials of a model for the session's tenant. Returns those that changed."""
    key = {"tenant": session.tenant, "kpi": published.kpi}
    before = {
        (row["agent_id"], row["workday"]): (row["sample"], row["components"])
        for row in await session.rows("DELETE FROM partial WHERE tenant = :tenant AND kpi = :kpi RETURNING *", key)
    }
    rows = await session.rows(
        "INSERT INTO partial (tenant, kpi, agent_id, workday, version, sample, components) "  # noqa: S608
        "SELECT :tenant, :kpi, agent_id, workday, :version, sample, components "
        f"FROM ({partials_from_facts_sql(published.model.plan)}) AS made RETURNING *",
        {**key, "version": published.version, "kind": published.model.source, "no_agent": NO_AGENT_ID},
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


class DifferenceRow(NamedTuple):
    """A stored partial beside the same one recomputed; None where there is none. `of_all`: how many differ in all."""

    agent_id: UUID
    workday: date
    stored_sample: int | None
    stored_components: Components | None
    facts_sample: int | None
    facts_components: Components | None
    of_all: int


async def find_differences(session: Session, published: PublishedModel, *, limit: int = 1000) -> list[DifferenceRow]:
    """Partials that differ from a recomputation, by workday and agent; none are expected."""
    rows = await session.tuples(
        "SELECT coalesce(p.agent_id, made.agent_id) AS agent_id, coalesce(p.workday, made.workday) AS workday, "  # noqa: S608
        "p.sample AS stored_sample, p.components AS stored_components, "
        "made.sample AS facts_sample, made.components AS facts_components, count(*) OVER () AS of_all "
        "FROM (SELECT * FROM partial WHERE tenant = :tenant AND kpi = :kpi) AS p "
        f"FULL JOIN ({partials_from_facts_sql(published.model.plan)}) AS made "
        "ON p.agent_id = made.agent_id AND p.workday = made.workday "
        "WHERE p.sample IS DISTINCT FROM made.sample AND coalesce(p.sample, 0) + coalesce(made.sample, 0) <> 0 "
        "OR p.components IS DISTINCT FROM made.components AND made.sample IS NOT NULL "
        "OR made.sample IS NULL AND NOT (0 = ALL(array_remove(p.components, NULL))) "
        "OR p.version <> :version ORDER BY 2, 1 LIMIT :limit",
        {
            "tenant": session.tenant,
            "kpi": published.kpi,
            "kind": published.model.source,
            "version": published.version,
            "no_agent": NO_AGENT_ID,
            "limit": limit,
        },
    )
    return [DifferenceRow(*row) for row in rows]


@dataclass(frozen=True)
class SeriesQuery:
    """A KPI of an agent from the day `first` on, and before it as many days with a sample as `days_before` says. `weekly`:
    extended to whole weeks."""

    kpi: str
    agent_id: UUID
    first: date
    days_before: int
    weekly: bool = False


DailySeries = tuple[list[tuple[date, int, Components]], bool]
"""(workday, sample, components) in order of time, and whether there are none before them."""

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
    session: Session, tenant: str, queries: Sequence[SeriesQuery]
) -> dict[tuple[str, UUID], DailySeries]:
    """The series by KPI and agent; those without partials are left out."""
    if not queries:
        return {}
    found = await session.tuples(
        _LOAD_SERIES,
        {
            "tenant": tenant,
            "kpis": [each.kpi for each in queries],
            "agents": [each.agent_id for each in queries],
            "firsts": [each.first for each in queries],
            "backs": [each.days_before for each in queries],
            "weekly": [each.weekly for each in queries],
        },
    )
    series: dict[tuple[str, UUID], DailySeries] = {}
    for kpi, agent_id, workday, sample, components, whole in found:
        series.setdefault((kpi, agent_id), ([], whole))[0].append((workday, sample, components))
    return series


def partials_from_facts_sql(plan: Plan) -> str:
    """SELECT of agent_id, workday, sample and components over the tenant's facts of `:kind`; agent_id is `:no_agent` for none."""
    return (
        f"SELECT coalesce(f.agent_id, :no_agent) AS agent_id, f.workday, count(*) AS sample, "  # noqa: S608
        f"{components_sql(plan)} AS components FROM fact f "
        f"WHERE {COUNTING_FACTS_SQL} AND {plan.where_sql} GROUP BY 1, 2"
    )


def components_sql(plan: Plan) -> str:
    """The components over facts `f`, as an array."""
    return _array_sql(each.partial.total_sql(each.contribution_sql) for each in plan.components)


def contributions_sql(plan: Plan) -> str:
    """The contributions of each fact `f` to the components, as columns `k0`, `k1`, …"""
    return ", ".join(f"({each.contribution_sql})::numeric AS k{n}" for n, each in enumerate(plan.components))


def windowed_components_sql(plan: Plan, window: str) -> str:
    """The components over rows of `contributions_sql`, as window functions."""
    return _array_sql(each.partial.total_sql(f"k{n}", window) for n, each in enumerate(plan.components))


def merged_components_sql(plan: Plan, array: str) -> str:
    """The merged components of several partials."""
    return _array_sql(f"{each.partial.sql}({array}[{place}])" for place, each in enumerate(plan.components, 1))


def _array_sql(columns: Iterable[str]) -> str:
    return f"ARRAY[{', '.join(columns)}]::numeric[]"


def _apply_statement(published: list[PublishedModel]) -> str:
    """One pass over the changed facts for all models; each model has a flag (counts or not) and signed components."""
    flags: list[str] = []
    sums: list[str] = []
    values: list[str] = []
    for number, each in enumerate(published):
        plan = each.model.plan
        counts = f"w{number}"
        flags.append(f"coalesce({plan.where_sql}, false) AS {counts}")
        sums += [
            f"coalesce(sum(f.sign) FILTER (WHERE {counts}), 0) AS {counts}_n",
            f"count(*) FILTER (WHERE {counts}) AS {counts}_t",
        ]
        columns: list[str] = []
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
    combined = ", ".join(_combine_sql(published, place) for place in range(longest))
    return f"""
    WITH delta AS (
        SELECT coalesce(f.agent_id, :no_agent) AS agent_id, f.workday, {", ".join(sums)}
        FROM (SELECT f.*, {", ".join(flags)} FROM change_fact f WHERE {COUNTING_FACTS_SQL}) AS f
        GROUP BY 1, 2
    ), added AS (
        INSERT INTO partial AS p (tenant, kpi, agent_id, workday, version, sample, components)
        SELECT :tenant, m.kpi, d.agent_id, d.workday, m.version, m.sample, m.components
        FROM delta d CROSS JOIN LATERAL (VALUES {", ".join(values)}) AS m (kpi, version, sample, touched, components)
        WHERE m.touched > 0 ORDER BY 2, 3, 4
        ON CONFLICT (tenant, kpi, agent_id, workday) DO UPDATE SET
            sample = p.sample + excluded.sample,
            components = (ARRAY[{combined}])[1:cardinality(p.components)]
        RETURNING p.kpi, p.agent_id, p.workday, new.sample, new.components,
                  old.sample AS sample_before, old.components AS components_before
    )
    SELECT kpi, agent_id, workday, sample, components, sample_before, components_before,
           (sample, components) IS DISTINCT FROM (coalesce(sample_before, 0), components_before) AS changed,
           (agent_id, workday) IN (
               SELECT coalesce(agent_id, :no_agent), workday FROM change_fact
               WHERE tenant = :tenant AND kind = :kind AND sign = -1 AND NOT void) AS retracted
    FROM added
    """  # noqa: S608


def _combine_sql(published: list[PublishedModel], place: int) -> str:
    """The new component at one place, from that of the partial and that of the change, for all models."""
    current, added = f"p.components[{place + 1}]", f"excluded.components[{place + 1}]"
    total = f"{current} + {added}"
    others: dict[str, list[str]] = {}
    for each in published:
        if place < len(each.model.plan.components):
            combined = each.model.plan.components[place].partial.combined_sql(current, added)
            if combined != total:
                others.setdefault(combined, []).append(render_literal(each.kpi))
    cases = [f"WHEN p.kpi IN ({', '.join(kpis)}) THEN {combined}" for combined, kpis in others.items()]
    return f"CASE {' '.join(cases)} ELSE {total} END" if cases else total


async def _recompute_buckets(
    session: Session,
    tenant: str,
    published: PublishedModel,
    before: dict[tuple[UUID, date], PartialContents | None],
    *,
    no_agent: bool,
) -> list[PartialChange]:
    """Recomputes partials from the facts. `no_agent`: all of them are of facts without an agent; else none is."""
    plan = published.model.plan
    of_agent = "f.agent_id IS NULL" if no_agent else "f.agent_id = b.agent_id"
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
    changes: list[PartialChange] = []
    for agent_id, workday, sample, components in found:
        old = before[agent_id, workday]
        changed = (sample, components) != (old or (0, None))
        changes.append(PartialChange(published.kpi, agent_id, workday, sample, components, old, changed))
    return changes
