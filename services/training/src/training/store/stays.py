"""What this service has heard of agents' stays in bands."""

from collections.abc import Collection
from datetime import date
from typing import Any
from uuid import UUID

from contracts.scores import BandCorrected, BandEntered, BandLeft
from sqlalchemy import func as sql
from sqlalchemy import not_
from sqlalchemy.dialects.postgresql import insert
from storage import Session

from training.model.effect import Stay
from training.store.tables import band_stay


async def hear(
    session: Session, event_id: UUID, body: BandEntered | BandLeft | BandCorrected, **changes: Any
) -> dict[str, Any] | None:
    """Notes what an event says of a stay. Returns the stay as it now is; None when the event was heard before, so
    that one that comes again has no second effect, even after later ones."""
    statement = insert(band_stay).values(
        tenant=session.tenant,
        band_event_id=body.band_event_id,
        agent_id=body.agent_id,
        kpi=body.kpi,
        band=body.band,
        model_version=body.model_version,
        heard=[event_id],
        **changes,
    )
    statement = statement.on_conflict_do_update(
        index_elements=["tenant", "band_event_id"],
        set_={**changes, "heard": sql.array_append(band_stay.c.heard, event_id)},
        where=not_(band_stay.c.heard.any(event_id)),
    )
    return await session.row(statement.returning(band_stay))


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
