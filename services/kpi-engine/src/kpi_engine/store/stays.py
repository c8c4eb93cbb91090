"""Stays in bands as they were announced, and the windows that cannot be had from partials."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from storage import Session

from kpi_engine.model.bands import Announced, LastLegs, Stay, Transition
from kpi_engine.model.plan import Plan
from kpi_engine.store.models import Published
from kpi_engine.store.partials import contributions, total_of_contributions
from kpi_engine.store.tables import band_stay

Key = tuple[str, UUID]


async def announced(
    session: Session, tenant: str, kpis: Iterable[str], agents: Iterable[UUID]
) -> tuple[dict[Key, list[Announced]], dict[tuple[str, UUID, str, str], int]]:
    """Stays that stand, by KPI and agent; and how often a stay at a place (KPI, agent, band, window) was taken back."""
    found = await session.execute(
        'SELECT id, kpi, agent_id, band, entered, "left", to_band, retracted_at IS NOT NULL FROM band_stay '
        "WHERE tenant = :tenant AND kpi = ANY(cast(:kpis AS text[])) AND agent_id = ANY(cast(:agents AS uuid[])) "
        "ORDER BY entered",
        {"tenant": tenant, "kpis": list(kpis), "agents": list(agents)},
    )
    standing: dict[Key, list[Announced]] = {}
    taken_back: dict[tuple[str, UUID, str, str], int] = {}
    for stay_id, kpi, agent_id, band, entered, left, to_band, retracted in found:
        if retracted:
            place = (kpi, agent_id, band, entered)
            taken_back[place] = taken_back.get(place, 0) + 1
        else:
            standing.setdefault((kpi, agent_id), []).append(Announced(stay_id, band, entered, left, to_band))
    return standing, taken_back


Told = tuple[Published, UUID, Transition]


async def save(session: Session, tenant: str, told: Sequence[Told]) -> None:
    """Keeps what is being told: transitions of agents under models, in order."""
    entered = [
        {
            "tenant": tenant,
            "id": change.id,
            "kpi": published.kpi,
            "agent_id": agent_id,
            "band": change.band,
            "entered": change.at,
            "from_band": change.stay.from_band,
            "model_version": published.version,
            "entry": [asdict(window) for window in change.stay.entry],
            "announced_at": session.now,
            **_exit(change.stay),
        }
        for published, agent_id, change in told
        if change.kind == "entered" and change.stay
    ]
    made = {row["id"] for row in entered}
    for _, _, change in told:
        match change.kind:
            case "retract_entered":
                values: dict[str, Any] = {"retracted_at": session.now}
            case "retract_left":
                values = {"left": None, "to_band": None, "exit": []}
            case "left" if change.id not in made and change.stay:
                values = _exit(change.stay)
            case _:
                continue
        place = (band_stay.c.tenant == tenant, band_stay.c.id == change.id)
        await session.execute(band_stay.update().where(*place).values(**values))
    if entered:
        await session.execute(insert(band_stay), entered)


def _exit(stay: Stay) -> dict[str, Any]:
    return {"left": stay.left, "to_band": stay.to_band, "exit": [asdict(window) for window in stay.exit]}


async def agents_with_bands(session: Session, kpi: str) -> set[UUID]:
    """Agents of the session's tenant of whom a stay stands, or who have values of the KPI."""
    found = await session.execute(
        "SELECT agent_id FROM band_stay WHERE tenant = :tenant AND kpi = :kpi AND retracted_at IS NULL "
        "UNION SELECT agent_id FROM partial WHERE tenant = :tenant AND kpi = :kpi",
        {"tenant": session.tenant, "kpi": kpi},
    )
    return set(found.scalars())


async def last_legs(
    session: Session, tenant: str, plan: Plan, window: LastLegs, agents: Iterable[UUID]
) -> dict[UUID, list[tuple[date, int, list[Decimal | None]]]]:
    """For each workday on which an agent has legs that count: the newest legs up to its end, together."""
    over = " OVER latest"
    # What a leg gives is found once: inside of the window it would be reckoned again for each of its `legs` frames.
    found = await session.execute(
        f"WITH counted AS MATERIALIZED (SELECT f.agent_id, f.workday, f.started_at, f.id, f.leg, {contributions(plan)} "  # noqa: S608
        "FROM fact f WHERE f.tenant = :tenant AND f.kind = 'legs' AND NOT f.void "
        f"AND f.agent_id = ANY(cast(:agents AS uuid[])) AND {plan.where_sql}) "
        "SELECT agent_id, workday, sample, components FROM ("
        f"SELECT agent_id, workday, count(*){over} AS sample, {total_of_contributions(plan, over)} AS components, "
        "lead(workday) OVER in_order AS following FROM counted "
        "WINDOW in_order AS (PARTITION BY agent_id ORDER BY workday, started_at, id, leg), "
        f"latest AS (in_order ROWS {window.legs - 1} PRECEDING)) AS legs "
        "WHERE following IS DISTINCT FROM workday ORDER BY agent_id, workday",
        {"tenant": tenant, "agents": list(agents)},
    )
    series: dict[UUID, list[tuple[date, int, list[Decimal | None]]]] = {}
    for agent_id, workday, sample, components in found:
        series.setdefault(agent_id, []).append((workday, sample, components))
    return series


async def stays_page(
    session: Session, *, kpis: Iterable[str], agents: set[UUID] | None, after: tuple[Any, ...] | None, limit: int
) -> list[dict[str, Any]]:
    """Stays in bands of these KPIs that stand and are not left, of the session's tenant."""
    conditions = ["tenant = :tenant", "kpi = ANY(cast(:kpis AS text[]))", "retracted_at IS NULL", '"left" IS NULL']
    parameters: dict[str, Any] = {"tenant": session.tenant, "kpis": list(kpis), "limit": limit}
    if agents is not None:
        conditions.append("agent_id = ANY(cast(:agents AS uuid[]))")
        parameters["agents"] = list(agents)
    if after is not None:
        conditions.append("(kpi, agent_id) > (:after_kpi, cast(:after_agent AS uuid))")
        parameters |= {"after_kpi": after[0], "after_agent": after[1]}
    return await session.rows(
        f"SELECT * FROM band_stay WHERE {' AND '.join(conditions)} ORDER BY kpi, agent_id LIMIT :limit",  # noqa: S608
        parameters,
    )
