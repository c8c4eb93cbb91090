"""Queries of the stays in bands that this service knows from events."""

from collections.abc import Collection, Iterable
from dataclasses import asdict
from datetime import date
from typing import Any
from uuid import UUID

from servicekit.cooperative import iterate_cooperatively
from servicekit.visibility import VisibilityFilter
from storage import InsertSpec, Session, on_conflict_update

from training.model.effect import Stay
from training.model.stays import BandStay
from training.store.tables import band_stay

LastEntered = tuple[date, int]
"""The day of entering, and the version of the newest event of the stay."""


async def load_stays(session: Session, band_event_ids: Collection[UUID]) -> dict[UUID, BandStay]:
    """The known ones of these stays. The caller has locked their agents."""
    found = await session.execute(
        "SELECT band_event_id, agent_id, kpi, band, model_version, entered_on, left_on, retracted, heard, version, windows "
        "FROM band_stay "
        "WHERE tenant = :tenant AND band_event_id = ANY(cast(:ids AS uuid[]))",
        {"tenant": session.tenant, "ids": list(band_event_ids)},
    )
    return {row[0]: BandStay(*row) for row in found}


async def load_newest_entered(
    session: Session, agent_kpis: Collection[tuple[UUID, str]]
) -> dict[tuple[UUID, str], LastEntered]:
    """By agent and KPI: the last stay entered that is not retracted."""
    found = await session.tuples(
        "SELECT DISTINCT ON (agent_id, kpi) agent_id, kpi, entered_on, version FROM band_stay "
        "JOIN unnest(cast(:agents AS uuid[]), cast(:kpis AS text[])) AS w (agent_id, kpi) USING (agent_id, kpi) "
        "WHERE tenant = :tenant AND NOT retracted AND entered_on IS NOT NULL ORDER BY agent_id, kpi, entered_on DESC",
        {
            "tenant": session.tenant,
            "agents": [agent for agent, _ in agent_kpis],
            "kpis": [kpi for _, kpi in agent_kpis],
        },
    )
    return {(agent_id, kpi): (entered_on, version) for agent_id, kpi, entered_on, version in found}


async def upsert_stays(session: Session, known: Iterable[BandStay]) -> None:
    """Inserts new stays and updates those that are there."""
    await session.insert_rows(_UPSERT, map(asdict, known))


_UPSERT = InsertSpec(
    band_stay,
    constant_columns=("tenant",),
    suffix_sql=on_conflict_update(band_stay, ["entered_on", "left_on", "retracted", "heard", "version", "windows"]),
)


_END = "coalesce(b.left_on, 'infinity')"


async def load_visible_stays(session: Session, kpis: Collection[str], visible: VisibilityFilter) -> list[Stay]:
    """Stays in any band of these KPIs that are not retracted, cut to the days on which the caller may see the person."""
    columns, join = "b.entered_on, b.left_on", ""
    if not visible.everyone:
        columns = "greatest(b.entered_on, v.first) AS entered_on, least(b.left_on, v.until) AS left_on"
        join = f"JOIN {visible.visible_days_sql()} ON v.agent_id = b.agent_id AND v.first < {_END} AND b.entered_on < v.until"
    rows = await session.tuples(
        f"SELECT b.agent_id, b.kpi, b.band, {columns} FROM band_stay b {join} WHERE b.tenant = :tenant "  # noqa: S608
        "AND b.kpi = ANY(:kpis) AND NOT b.retracted AND b.entered_on IS NOT NULL",
        {"tenant": session.tenant, "kpis": list(kpis), **visible.parameters},
    )
    return [
        Stay(agent, kpi, band, _day(entered), left)
        async for agent, kpi, band, entered, left in iterate_cooperatively(rows)
    ]


def _day(value: Any) -> date:
    assert isinstance(value, date)
    return value
