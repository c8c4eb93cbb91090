"""What this service has heard of agents' stays in bands."""

from collections.abc import Collection, Iterable
from dataclasses import asdict
from datetime import date
from typing import Any
from uuid import UUID

from storage import Session, insert_rows, or_update, rows_of

from training.model.effect import Stay
from training.model.stays import HeardStay
from training.store.tables import band_stay


async def heard(session: Session, band_event_ids: Collection[UUID]) -> dict[UUID, HeardStay]:
    """Those of these stays that were heard of. Nobody else may hear of their agents meanwhile."""
    found = await session.execute(
        "SELECT band_event_id, agent_id, kpi, band, model_version, entered_on, left_on, retracted, heard FROM band_stay "
        "WHERE tenant = :tenant AND band_event_id = ANY(cast(:ids AS uuid[]))",
        {"tenant": session.tenant, "ids": list(band_event_ids)},
    )
    return {row[0]: HeardStay(*row) for row in found}


async def keep(session: Session, told: Iterable[HeardStay]) -> None:
    await session.run(_KEEP, rows_of(map(asdict, told), tenant=session.tenant))


_KEEP = insert_rows(band_stay, then=or_update(band_stay, ["entered_on", "left_on", "retracted", "heard"]))


async def stays_of(session: Session, kpis: Collection[str], agents: Collection[UUID] | None) -> list[Stay]:
    """Every stay that holds, in whatever band of these KPIs."""
    rows = await session.rows(
        "SELECT agent_id, kpi, band, entered_on, left_on FROM band_stay WHERE tenant = :tenant "
        "AND kpi = ANY(:kpis) AND NOT retracted AND entered_on IS NOT NULL "
        "AND (cast(:agents AS uuid[]) IS NULL OR agent_id = ANY(cast(:agents AS uuid[])))",
        {"tenant": session.tenant, "kpis": list(kpis), "agents": None if agents is None else list(agents)},
    )
    return [Stay(row["agent_id"], row["kpi"], row["band"], _day(row["entered_on"]), row["left_on"]) for row in rows]


def _day(value: Any) -> date:
    assert isinstance(value, date)
    return value
