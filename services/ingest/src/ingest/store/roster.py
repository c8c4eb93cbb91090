"""The part of the directory's copy that a batch needs, and what the directory last said of a person's ids."""

from collections.abc import Iterable
from datetime import date
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from contracts.directory import TenantChanged
from sqlalchemy.dialects.postgresql import insert
from storage import Session

from ingest.model.canonical import Site
from ingest.model.roster import Dated, Roster
from ingest.store.bulk import array
from ingest.store.tables import known_person


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return ZoneInfo(name) if name else None
    except (KeyError, ValueError, OSError):
        return None  # the directory's event was taken before its zone was checked; the tenant's zone stands in


class _Dated(msgspec.Struct):
    valid_from: date
    valid_to: date


class _Name(_Dated):
    external_id: str
    person_id: UUID


class _Membership(_Dated):
    person_id: UUID
    org_unit_id: UUID


class _Unit(msgspec.Struct):
    id: UUID
    path: list[UUID]
    zone: str | None


_NAMES_OF = msgspec.json.Decoder(list[_Name]).decode
_MEMBERSHIPS_OF = msgspec.json.Decoder(list[_Membership]).decode
_UNITS_OF = msgspec.json.Decoder(list[_Unit]).decode
# Memberships matter only where some org unit has a zone of its own.
_ROSTER = """
WITH named AS MATERIALIZED (
    SELECT external_id, person_id, valid_from, valid_to FROM directory_external_id
    WHERE tenant = :tenant AND source = :source AND external_id = ANY(cast(:names AS text[]))),
units AS MATERIALIZED (
    SELECT id, path, body->>'time_zone' AS zone FROM directory_org_unit WHERE tenant = :tenant)
SELECT
    (SELECT body FROM directory_tenant WHERE tenant = :tenant) AS site,
    (SELECT coalesce(json_agg(n ORDER BY external_id, valid_from DESC, person_id), '[]')::text FROM named AS n) AS names,
    (SELECT coalesce(json_agg(u), '[]')::text FROM units AS u
        WHERE EXISTS (SELECT FROM units WHERE zone IS NOT NULL)) AS units,
    (SELECT coalesce(json_agg(m ORDER BY person_id, valid_from DESC, org_unit_id), '[]')::text FROM (
        SELECT person_id, org_unit_id, valid_from, valid_to FROM directory_membership
        WHERE tenant = :tenant AND person_id IN (SELECT person_id FROM named)
        AND EXISTS (SELECT FROM units WHERE zone IS NOT NULL)) AS m) AS memberships
"""


async def load(session: Session, source: str, names: Iterable[str]) -> Roster:
    wanted = {"tenant": session.tenant, "source": source, "names": array(set(names))}
    (found,) = await session.rows(_ROSTER, wanted)
    site = Site(ZoneInfo("UTC"))
    if found["site"] is not None:
        tenant = TenantChanged.model_validate(found["site"])
        site = Site(_zone(tenant.time_zone) or ZoneInfo("UTC"), tenant.day_start_minutes)
    by_name: dict[str, list[Dated]] = {}
    for name in _NAMES_OF(found["names"]):
        by_name.setdefault(name.external_id, []).append((name.person_id, name.valid_from, name.valid_to))
    by_person: dict[UUID, list[Dated]] = {}
    for each in _MEMBERSHIPS_OF(found["memberships"]):
        by_person.setdefault(each.person_id, []).append((each.org_unit_id, each.valid_from, each.valid_to))
    return Roster(site, by_name, by_person, _zones(_UNITS_OF(found["units"])))


def _zones(units: list[_Unit]) -> dict[UUID, ZoneInfo]:
    """Org unit → the zone that it or the nearest unit above it declares."""
    declared = {unit.id: zone for unit in units if (zone := _zone(unit.zone))}
    nearest = {unit.id: next((above for above in reversed(unit.path) if above in declared), None) for unit in units}
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
