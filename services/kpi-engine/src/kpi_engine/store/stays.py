"""Published stays in bands, and the windows that partials do not hold: those of the last legs."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from servicekit.directory import workday
from servicekit.visibility import VisibilityFilter
from sqlalchemy import insert
from storage import Session

from kpi_engine.model.bands import EvaluatedWindow, LastLegs, PublishedStay, Stay, Transition
from kpi_engine.store.models import PublishedModel
from kpi_engine.store.partials import DailySeries, contributions_sql, windowed_components_sql
from kpi_engine.store.tables import band_stay

KpiAgent = tuple[str, UUID]


# OFFSET 0 makes it one look-up per agent and KPI: without statistics the planner reads all of the tenant's stays.
_PUBLISHED_STAYS = """
SELECT b.id, w.kpi, w.agent_id, b.band, b.entered, b."left", b.to_band, b.held,
    b.retracted_at IS NOT NULL
FROM unnest(cast(:kpis AS text[]), cast(:agents AS uuid[]), cast(:begins AS text[])) AS w (kpi, agent_id, begin)
CROSS JOIN LATERAL (
    SELECT * FROM band_stay
    WHERE tenant = :tenant AND agent_id = w.agent_id AND kpi = w.kpi AND (entered COLLATE "C" >= w.begin
       OR retracted_at IS NULL AND ("left" IS NULL OR "left" COLLATE "C" >= w.begin)) OFFSET 0) AS b
ORDER BY b.entered COLLATE "C"
"""


async def load_published_stays(
    session: Session, tenant: str, first_windows: Mapping[KpiAgent, str]
) -> tuple[dict[KpiAgent, list[PublishedStay]], dict[tuple[str, UUID, str, str], int]]:
    """The published stays that are not retracted and have not ended before the window `first_windows[KPI, agent]`, by KPI and
    agent; and from that window on how often a stay was retracted, by KPI, agent, band and window of entering."""
    found = await session.tuples(
        _PUBLISHED_STAYS,
        {
            "tenant": tenant,
            "kpis": [kpi for kpi, _ in first_windows],
            "agents": [agent_id for _, agent_id in first_windows],
            "begins": list(first_windows.values()),
        },
    )
    standing: dict[KpiAgent, list[PublishedStay]] = {}
    retraction_counts: dict[tuple[str, UUID, str, str], int] = {}
    for stay_id, kpi, agent_id, band, entered, left, to_band, held, retracted in found:
        if retracted:
            place = (kpi, agent_id, band, entered)
            retraction_counts[place] = retraction_counts.get(place, 0) + 1
        else:
            standing.setdefault((kpi, agent_id), []).append(
                PublishedStay(stay_id, band, entered, left, to_band, tuple(held))
            )
    return standing, retraction_counts


PublishedTransition = tuple[PublishedModel, UUID, Transition]


_UPDATE_EXIT = """
UPDATE band_stay b SET "left" = c."left", to_band = c.to_band, exit = c.exit, retracted_at = c.retracted_at
FROM jsonb_to_recordset(cast(:changes AS jsonb))
    AS c (id uuid, "left" text, to_band text, exit jsonb, retracted_at timestamptz)
WHERE b.tenant = :tenant AND b.id = c.id AND b.id = ANY(cast(:ids AS uuid[]))
"""


_UPDATE_WINDOWS = """
UPDATE band_stay b SET held = c.held FROM jsonb_to_recordset(cast(:rows AS jsonb)) AS c (id uuid, held text[])
WHERE b.tenant = :tenant AND b.id = c.id AND b.id = ANY(cast(:ids AS uuid[]))
"""


async def save_transitions(session: Session, tenant: str, transitions: Sequence[PublishedTransition]) -> None:
    """Writes the transitions that are being published, in order."""
    entered: list[dict[str, Any]] = []
    changed: dict[UUID, dict[str, Any]] = {}
    windows: dict[UUID, tuple[str, ...]] = {}
    for published, agent_id, change in transitions:
        stay = change.stay
        if change.kind == "entered":
            assert stay is not None, "a stay that was entered is part of its transition"
            entered.append(
                {
                    "tenant": tenant,
                    "id": change.stay_id,
                    "kpi": published.kpi,
                    "agent_id": agent_id,
                    "band": change.band,
                    "entered": change.at_window,
                    "from_band": stay.from_band,
                    "model_version": published.version,
                    "entry": _to_stored_windows(stay.entry),
                    "announced_at": session.now,
                    **_exit_columns(stay),
                }
            )
        elif change.kind == "stayed":
            windows[change.stay_id] = change.stayed_windows
        elif change.kind == "left":
            assert stay is not None, "a stay that was left is part of its transition"
            changed[change.stay_id] = {"id": change.stay_id, "retracted_at": None, **_exit_columns(stay)}
        else:  # a retraction
            retracted_at = session.now if change.kind == "retract_entered" else None
            changed[change.stay_id] = {"id": change.stay_id, "retracted_at": retracted_at, **_exit_columns(None)}
    inserted = {row["id"] for row in entered}
    for row in entered:
        row["held"] = list(windows.pop(row["id"], ()))
    changes = [row for stay_id, row in changed.items() if stay_id not in inserted]
    if changes:
        exits = {"ids": [row["id"] for row in changes], "changes": msgspec.json.encode(changes).decode()}
        await session.run(_UPDATE_EXIT, {"tenant": tenant, **exits})
    if windows:
        rows = [{"id": stay_id, "held": names} for stay_id, names in windows.items()]
        stayed = {"ids": list(windows), "rows": msgspec.json.encode(rows).decode()}
        await session.run(_UPDATE_WINDOWS, {"tenant": tenant, **stayed})
    if entered:
        await session.execute(insert(band_stay), entered)


def _exit_columns(stay: Stay | None) -> dict[str, Any]:
    """The columns that say how a stay ended; None: it has not ended or was retracted."""
    if stay is None:
        return {"left": None, "to_band": None, "exit": []}
    return {"left": stay.left, "to_band": stay.to_band, "exit": _to_stored_windows(stay.exit)}


def _to_stored_windows(windows: Iterable[EvaluatedWindow]) -> list[dict[str, Any]]:
    return [{"window": each.window, "value": each.value, "sample": each.sample, "band": each.band} for each in windows]


async def next_event_versions(session: Session, count: int) -> list[int]:
    """Rising version numbers for events about agents whom the caller has locked."""
    if not count:
        return []
    return await session.scalars("SELECT nextval('told_version') FROM generate_series(1, :count)", {"count": count})


async def find_agents_with_bands(session: Session, kpi: str) -> set[UUID]:
    """Agents of the session's tenant who have a stay that is not retracted, or values of the KPI."""
    found = await session.execute(
        "SELECT agent_id FROM band_stay WHERE tenant = :tenant AND kpi = :kpi AND retracted_at IS NULL "
        "UNION SELECT agent_id FROM partial WHERE tenant = :tenant AND kpi = :kpi",
        {"tenant": session.tenant, "kpi": kpi},
    )
    return set(found.scalars())


async def find_members_with_bands(session: Session, unit_id: UUID) -> set[UUID]:
    """People with a stay that is not retracted who belong, at any time, to the org unit or to one below it."""
    found = await session.execute(
        "SELECT DISTINCT m.person_id FROM directory_membership m "
        "JOIN directory_org_unit u ON u.tenant = m.tenant AND u.id = m.org_unit_id "
        "JOIN band_stay b ON b.tenant = m.tenant AND b.agent_id = m.person_id AND b.retracted_at IS NULL "
        "WHERE m.tenant = :tenant AND :unit = ANY(u.path)",
        {"tenant": session.tenant, "unit": unit_id},
    )
    return set(found.scalars())


async def load_last_legs(
    session: Session,
    tenant: str,
    published: PublishedModel,
    window: LastLegs,
    first_days: Mapping[UUID, date],
    days_before: int,
) -> dict[UUID, DailySeries]:
    """For each workday with legs that count, from `first_days[agent]` on and `days_before` such days before it: sample and
    components of the newest `window.legs` legs up to its end."""
    plan, over = published.model.plan, " OVER latest"
    # The samples of the partials tell how far back these legs reach, so that older facts are not read. Contributions are
    # computed once per leg: inside the window function they would be computed again for each of its frames.
    found = await session.execute(
        "WITH spans AS MATERIALIZED (SELECT w.agent_id, coalesce(s.shown, w.first) AS shown, "  # noqa: S608
        "coalesce(s.since, w.first) AS since, s.whole "
        "FROM unnest(cast(:agents AS uuid[]), cast(:firsts AS date[])) AS w (agent_id, first) CROSS JOIN LATERAL ("
        "SELECT min(workday) FILTER (WHERE n <= :back) AS shown, count(*) <= :back AS whole, "
        "min(workday) FILTER (WHERE n <= :back OR legs - sample < enough + :legs) AS since "
        "FROM (SELECT *, coalesce(max(legs) FILTER (WHERE n <= :back) OVER (), 0) AS enough FROM ("
        "SELECT *, row_number() OVER newest AS n, sum(sample) OVER newest AS legs FROM ("
        "SELECT workday, sample FROM partial WHERE tenant = :tenant AND kpi = :kpi AND agent_id = w.agent_id "
        "AND workday < w.first AND sample <> 0 ORDER BY workday DESC LIMIT :most) AS d "
        "WINDOW newest AS (ORDER BY workday DESC)) AS d) AS d) AS s), "
        "counted AS MATERIALIZED (SELECT s.shown, s.whole, c.* FROM spans s CROSS JOIN LATERAL ("
        f"SELECT f.agent_id, f.workday, f.started_at, f.id, f.leg, {contributions_sql(plan)} "
        "FROM fact f WHERE f.tenant = :tenant AND f.kind = 'legs' AND NOT f.void "
        f"AND f.agent_id = s.agent_id AND f.workday >= s.since AND {plan.where_sql} OFFSET 0) AS c) "
        "SELECT agent_id, workday, sample, components, whole FROM ("
        f"SELECT agent_id, workday, shown, whole, count(*){over} AS sample, "
        f"{windowed_components_sql(plan, over)} AS components, lead(workday) OVER in_order AS following FROM counted "
        "WINDOW in_order AS (PARTITION BY agent_id ORDER BY workday, started_at, id, leg), "
        f"latest AS (in_order ROWS {window.legs - 1} PRECEDING)) AS legs "
        "WHERE following IS DISTINCT FROM workday AND workday >= shown ORDER BY agent_id, workday",
        {
            "tenant": tenant,
            "kpi": published.kpi,
            "agents": list(first_days),
            "firsts": list(first_days.values()),
            "back": days_before,
            "legs": window.legs,
            "most": days_before + window.legs,
        },
    )
    series: dict[UUID, DailySeries] = {}
    for agent_id, day, sample, components, whole in found:
        series.setdefault(agent_id, ([], whole))[0].append((day, sample, components))
    return series


_FIRST_DAY = (
    """(CASE WHEN entered LIKE '%-W%' THEN to_date(entered, 'IYYY-"W"IW') ELSE to_date(entered, 'YYYY-MM-DD') END)"""
)


_TODAY = workday("agent_id", "cast(:now AS timestamptz)")


class StayRow(NamedTuple):
    """A current stay. `entry`: the windows by which it was entered, each with `window`, `value`, `sample` and `band`."""

    id: UUID
    kpi: str
    agent_id: UUID
    band: str
    entered: str
    from_band: str | None
    model_version: int
    entry: list[dict[str, Any]]


async def load_stays_page(
    session: Session, *, kpis: Iterable[str], visible: VisibilityFilter, after: tuple[Any, ...] | None, limit: int
) -> list[StayRow]:
    """Current stays in bands of these KPIs, by KPI and agent: of the agent or team in the query (its people of today), where
    the caller may see the person on a day of the stay. `after`: KPI and agent of the last row of the page before."""
    conditions = ["tenant = :tenant", "kpi = ANY(cast(:kpis AS text[]))", "retracted_at IS NULL", '"left" IS NULL']
    parameters: dict[str, Any] = {"tenant": session.tenant, "kpis": list(kpis), "limit": limit}
    if visible.candidates is not None:
        conditions.append("agent_id = ANY(cast(:candidates AS uuid[]))")
    conditions += [
        visible.requested_sql("agent_id", _TODAY),
        visible.visible_sql("agent_id", f"least({_FIRST_DAY}, {_TODAY})", _TODAY),
    ]
    parameters |= {"now": session.now, **visible.parameters}
    if after is not None:
        conditions.append("(kpi, agent_id) > (:after_kpi, cast(:after_agent AS uuid))")
        parameters |= {"after_kpi": after[0], "after_agent": after[1]}
    rows = await session.tuples(
        "SELECT id, kpi, agent_id, band, entered, from_band, model_version, entry "  # noqa: S608
        f"FROM band_stay WHERE {' AND '.join(conditions)} ORDER BY kpi, agent_id LIMIT :limit",
        parameters,
    )
    return [StayRow(*row) for row in rows]
