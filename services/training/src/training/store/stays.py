"""What this service has heard of agents' stays in bands."""

from collections.abc import Collection, Iterable
from dataclasses import asdict
from datetime import date
from typing import Any
from uuid import UUID

from servicekit.visibility import Visible
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


_END = "coalesce(b.left_on, 'infinity')"


async def stays_of(session: Session, kpis: Collection[str], visible: Visible) -> list[Stay]:
    """Every stay that holds, in whatever band of these KPIs: as much of it as the caller sees."""
    part, seen = "b.entered_on, b.left_on", ""
    if not visible.everyone:
        part = "greatest(b.entered_on, v.first) AS entered_on, least(b.left_on, v.until) AS left_on"
        seen = f"JOIN {visible.spans()} ON v.agent_id = b.agent_id AND v.first < {_END} AND b.entered_on < v.until"
    rows = await session.rows(
        f"SELECT b.agent_id, b.kpi, b.band, {part} FROM band_stay b {seen} WHERE b.tenant = :tenant "  # noqa: S608
        "AND b.kpi = ANY(:kpis) AND NOT b.retracted AND b.entered_on IS NOT NULL",
        {"tenant": session.tenant, "kpis": list(kpis), **visible.parameters},
    )
    return [Stay(row["agent_id"], row["kpi"], row["band"], _day(row["entered_on"]), row["left_on"]) for row in rows]


def _day(value: Any) -> date:
    assert isinstance(value, date)
    return value
