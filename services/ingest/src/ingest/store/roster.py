"""The part of the directory's copy that a batch needs, and what the directory last said of a person's ids."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from servicekit import directory
from servicekit.errors import NotFound
from sqlalchemy.dialects.postgresql import insert
from storage import Session

from ingest.model.canonical import Site
from ingest.model.roster import Dated, Roster
from ingest.store.tables import known_person


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        return None  # the directory's event was taken before its zone was checked; the tenant's zone stands in


async def load(session: Session, source: str, names: Iterable[str]) -> Roster:
    try:
        tenant = await directory.tenant(session)
        site = Site(_zone(tenant.time_zone) or ZoneInfo("UTC"), tenant.day_start_minutes)
    except NotFound:
        site = Site(ZoneInfo("UTC"))
    rows = await session.rows(
        "SELECT external_id, person_id, valid_from, valid_to FROM directory_external_id "
        "WHERE tenant = :tenant AND source = :source AND external_id = ANY(cast(:names AS text[])) "
        "ORDER BY external_id, valid_from DESC, person_id",
        {"tenant": session.tenant, "source": source, "names": sorted(set(names))},
    )
    by_name: dict[str, list[Dated]] = {}
    for row in rows:
        by_name.setdefault(row["external_id"], []).append((row["person_id"], row["valid_from"], row["valid_to"]))
    zones = await _zones(session) if rows else {}
    memberships: dict[UUID, list[Dated]] = {}
    if zones:
        found = await session.rows(
            "SELECT person_id, org_unit_id, valid_from, valid_to FROM directory_membership "
            "WHERE tenant = :tenant AND person_id = ANY(cast(:people AS uuid[])) "
            "ORDER BY person_id, valid_from DESC, org_unit_id",
            {"tenant": session.tenant, "people": list({row["person_id"] for row in rows})},
        )
        for row in found:
            memberships.setdefault(row["person_id"], []).append(
                (row["org_unit_id"], row["valid_from"], row["valid_to"])
            )
    return Roster(site, by_name, memberships, zones)


async def _zones(session: Session) -> dict[UUID, ZoneInfo]:
    """Org unit → the zone that it or the nearest unit above it declares."""
    rows = await session.rows(
        "SELECT id, path, body->>'time_zone' AS zone FROM directory_org_unit WHERE tenant = :tenant",
        {"tenant": session.tenant},
    )
    declared = {row["id"]: zone for row in rows if (zone := _zone(row["zone"]))}
    nearest = {row["id"]: next((unit for unit in reversed(row["path"]) if unit in declared), None) for row in rows}
    return {unit: declared[above] for unit, above in nearest.items() if above is not None}


async def remember_ids(session: Session, person: UUID, ids: list[dict[str, Any]]) -> list[dict[str, Any]] | None:
    """Files a person's external ids, and returns those that were filed before."""
    before = await session.row(
        "SELECT external_ids FROM known_person WHERE tenant = :tenant AND person_id = :id FOR UPDATE",
        {"tenant": session.tenant, "id": person},
    )
    await session.execute(
        insert(known_person)
        .values({"tenant": session.tenant, "person_id": person, "external_ids": ids})
        .on_conflict_do_update(index_elements=["tenant", "person_id"], set_={"external_ids": ids})
    )
    return before["external_ids"] if before else None
