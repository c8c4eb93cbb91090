"""A service's own copy of the directory: tenants, org units, people, and their memberships and roles.

It is filled from the `directory` topic, whose events hold complete states with a version. An event that comes twice or
late does not overwrite a newer state, and does not bring back what was erased.
"""

from collections.abc import Iterable
from datetime import date, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from contracts.directory import OrgUnitChanged, PersonChanged, SessionEnded, TenantChanged
from pydantic_core import from_json
from sqlalchemy import Table
from storage import InsertSpec, Session, on_conflict_update
from storage.tables import (
    directory_external_id,
    directory_login,
    directory_membership,
    directory_org_unit,
    directory_person,
    directory_tenant,
    ended_session,
    tenant_clock,
)

from servicekit.cooperative import iterate_cooperatively
from servicekit.errors import NotFound
from servicekit.workdays import (
    FIRST_DAY,
    LAST_DAY,
    Membership,
    Workdays,
    build_zone_periods,
    workday_in_periods_sql,
    workday_sql,
    zone_of,
    zones_of,
)


async def record_version(session: Session, key: str, version: int | None, *, erased: bool) -> bool:
    """Stores the version of a key's state or erasure, unless a newer one was stored before. Returns whether it is to be
    applied. An erasure without a `version`, as older releases sent, always is."""
    values = {
        "tenant": session.tenant,
        "key": key,
        "version": version or 0,
        "erased": erased,
        "newest": version is None,
    }
    return await session.scalar(_UPSERT_VERSION, values) is not None


_UPSERT_VERSION = """
INSERT INTO directory_version AS v (tenant, key, version, erased) VALUES (:tenant, :key, :version, :erased)
ON CONFLICT (tenant, key) DO UPDATE SET version = greatest(v.version, excluded.version), erased = excluded.erased
WHERE v.version < excluded.version OR v.version = excluded.version AND (excluded.erased OR NOT v.erased) OR :newest
RETURNING version
"""


async def apply_tenant(session: Session, body: TenantChanged) -> None:
    """Stores the tenant's new state, with the clock of a simulated tenant."""
    session.clear_cache()
    await _upsert(session, directory_tenant, {"tenant": session.tenant, "body": body.model_dump(mode="json")})
    if body.simulated and body.clock:
        await _upsert(session, tenant_clock, {"tenant": session.tenant, "now": body.clock})
    else:
        await session.execute(tenant_clock.delete().where(tenant_clock.c.tenant == session.tenant))


async def apply_org_unit(session: Session, body: OrgUnitChanged) -> None:
    """Stores an org unit's new state."""
    session.clear_cache()
    values = {"id": body.id, "slug": body.slug, "path": body.path, "body": body.model_dump(mode="json")}
    await _upsert(session, directory_org_unit, {"tenant": session.tenant, **values})


async def apply_person(session: Session, body: PersonChanged) -> None:
    """Stores a person's new state. Replaces the person's logins, memberships and external ids."""
    session.clear_cache()
    tenant = session.tenant
    values = {"id": body.id, "slug": body.slug, "active": body.active, "body": body.model_dump(mode="json")}
    await _upsert(session, directory_person, {"tenant": tenant, **values})
    await _delete_person_parts(session, body.id)
    # When a login moves to another person, the event of its new owner may come before the one of its old owner.
    logins = [login.model_dump() for login in dict.fromkeys(body.logins)]
    memberships = [
        {"org_unit_id": each.org_unit_id, **_dates(each.valid_from, each.valid_until)} for each in body.memberships
    ]
    external_ids = [
        {"source": each.source, "external_id": each.external_id, **_dates(each.valid_from, each.valid_until)}
        for each in body.external_ids
    ]
    for spec, rows in (
        (_UPSERT_LOGINS, logins),
        (_INSERT_MEMBERSHIPS, memberships),
        (_INSERT_EXTERNAL_IDS, external_ids),
    ):
        if rows:
            await session.insert_rows(spec, rows, tenant=tenant, person_id=body.id)


async def apply_session_ended(session: Session, body: SessionEnded) -> None:
    """Stores that a login session has ended, so that its access tokens are refused."""
    values = {"iss": body.iss, "ref": body.id_in_key(), "ended_at": body.ended_at, "until": body.until}
    await _upsert(session, ended_session, values)


async def apply_tombstone(session: Session, key: str, version: int | None) -> None:
    """Erases the tenant's object that `key` names (`type/tenant/id`). `version`: its last version."""
    session.clear_cache()
    kind, _, identifier = key.split("/", 2)
    if kind == "person":
        await _delete_person_parts(session, UUID(identifier))
        await session.execute(
            directory_person.delete().where(
                directory_person.c.tenant == session.tenant, directory_person.c.id == UUID(identifier)
            )
        )
    elif kind == "org_unit":
        await session.execute(
            directory_org_unit.delete().where(
                directory_org_unit.c.tenant == session.tenant, directory_org_unit.c.id == UUID(identifier)
            )
        )
    elif kind == "session":
        await session.execute(ended_session.delete().where(ended_session.c.ref == identifier))
        # There are thousands of sessions. Versions of sessions that ended long ago are not needed: their tokens expired.
        await session.run(
            _DELETE_OLD_VERSIONS, {"tenant": session.tenant, "before": (version or 0) - _VERSION_RETENTION_MICROSECONDS}
        )


_VERSION_RETENTION_MICROSECONDS = 90 * 86_400_000_000
_DELETE_OLD_VERSIONS = (
    "DELETE FROM directory_version WHERE tenant = :tenant AND key LIKE 'session/%' AND erased AND version < :before"
)


def _upsert_spec(table: Table, constant_columns: tuple[str, ...] = ()) -> InsertSpec:
    columns = [each.name for each in table.columns if not each.primary_key]
    return InsertSpec(table, None, constant_columns, on_conflict_update(table, columns))


_UPSERT = {
    table: _upsert_spec(table)
    for table in (directory_tenant, directory_org_unit, directory_person, tenant_clock, ended_session)
}
_OF_PERSON = ("tenant", "person_id")
_UPSERT_LOGINS = _upsert_spec(directory_login, _OF_PERSON)
_INSERT_MEMBERSHIPS = InsertSpec(directory_membership, None, _OF_PERSON, "ON CONFLICT DO NOTHING")
_INSERT_EXTERNAL_IDS = InsertSpec(directory_external_id, None, _OF_PERSON, "ON CONFLICT DO NOTHING")


async def _upsert(session: Session, table: Table, values: dict[str, Any]) -> None:
    await session.insert_rows(_UPSERT[table], [values])


async def _delete_person_parts(session: Session, person_id: UUID) -> None:
    for table in (directory_login, directory_membership, directory_external_id):
        await session.execute(table.delete().where(table.c.tenant == session.tenant, table.c.person_id == person_id))


def _dates(valid_from: date | None, valid_to: date | None) -> dict[str, date]:
    return {"valid_from": valid_from or FIRST_DAY, "valid_to": valid_to or LAST_DAY}


async def load_tenant(session: Session) -> TenantChanged:
    """The session's tenant. Raises NotFound while the directory copy does not have it."""

    async def load() -> TenantChanged:
        body = await session.scalar(
            "SELECT body::text FROM directory_tenant WHERE tenant = :tenant", {"tenant": session.tenant}
        )
        if body is None:
            raise NotFound("unknown-tenant", f"The directory does not know a tenant `{session.tenant}`.")
        return _parse_tenant(body)

    return await session.cached(("tenant",), load)


@lru_cache(maxsize=1024)
def _parse_tenant(body: str) -> TenantChanged:
    return TenantChanged.model_validate_json(body)


async def load_people(session: Session, ids: Iterable[UUID] | None = None) -> dict[UUID, PersonChanged]:
    """Id → person of the session's tenant; all people, or those of `ids` that exist."""
    condition = "" if ids is None else "AND id = ANY(cast(:ids AS uuid[]))"
    rows = await session.rows(
        f"SELECT id, body::text FROM directory_person WHERE tenant = :tenant {condition}",  # noqa: S608
        {"tenant": session.tenant} | ({} if ids is None else {"ids": list(ids)}),
    )
    return {row["id"]: PersonChanged.model_validate_json(row["body"]) async for row in iterate_cooperatively(rows)}


async def load_org_units(session: Session) -> dict[UUID, OrgUnitChanged]:
    """Id → org unit of the session's tenant."""
    rows = await session.rows(
        "SELECT id, body::text FROM directory_org_unit WHERE tenant = :tenant", {"tenant": session.tenant}
    )
    return {row["id"]: OrgUnitChanged.model_validate_json(row["body"]) async for row in iterate_cooperatively(rows)}


async def find_person(session: Session, ref: str) -> PersonChanged:
    """The person with this id or slug. Raises NotFound."""
    body = await _find(session, "directory_person", ref)
    if body is None:
        raise NotFound("unknown-person", f"There is no person `{ref}`.")
    return PersonChanged.model_validate(body)


async def find_org_unit(session: Session, ref: str) -> OrgUnitChanged:
    """The org unit with this id or slug. Raises NotFound."""
    body = await _find(session, "directory_org_unit", ref)
    if body is None:
        raise NotFound("unknown-org-unit", f"There is no org unit `{ref}`.")
    return OrgUnitChanged.model_validate(body)


async def _find(session: Session, table: str, ref: str) -> Any:
    try:
        column, value = "id", UUID(ref)
    except ValueError:
        column, value = "slug", ref
    return await session.scalar(
        f"SELECT body FROM {table} WHERE tenant = :tenant AND {column} = :value",  # noqa: S608
        {"tenant": session.tenant, "value": value},
    )


async def find_members(session: Session, org_unit_id: UUID, day: date | None = None) -> set[UUID]:
    """Ids of the people who are members of the org unit, or of a unit below it, on `day`; None: on each person's current
    workday."""
    on = "cast(:day AS date)" if day else workday("m.person_id", "cast(:now AS timestamptz)")
    found = await session.execute(
        "SELECT person_id FROM (SELECT m.person_id, m.valid_from, m.valid_to, "  # noqa: S608
        f"CASE WHEN m.valid_from = '0001-01-01' AND m.valid_to = '9999-12-31' THEN m.valid_from ELSE {on} END AS day "
        "FROM directory_membership m JOIN directory_org_unit u ON u.tenant = m.tenant AND u.id = m.org_unit_id "
        "WHERE m.tenant = :tenant AND :unit = ANY(u.path)) AS held WHERE valid_from <= day AND day < valid_to",
        {"tenant": session.tenant, "unit": org_unit_id, "day": day, "now": session.now},
    )
    return set(found.scalars())


async def find_team_leads(session: Session, person_id: UUID, day: date) -> set[UUID]:
    """Ids of the active team leads of the org units, at any level, that this person belongs to on `day`."""
    units = await session.execute(
        "SELECT unnest(u.path) FROM directory_membership m "
        "JOIN directory_org_unit u ON u.tenant = m.tenant AND u.id = m.org_unit_id "
        "WHERE m.tenant = :tenant AND m.person_id = :person AND m.valid_from <= :day AND :day < m.valid_to",
        {"tenant": session.tenant, "person": person_id, "day": day},
    )
    above = set(units.scalars())
    rows = await session.rows(
        "SELECT id, body::text FROM directory_person WHERE tenant = :tenant AND active "
        """AND body @> '{"roles": [{"role": "team_lead"}]}'""",
        {"tenant": session.tenant},
    )
    leads = [PersonChanged.model_validate_json(row["body"]) for row in rows]
    return {
        lead.id
        for lead in leads
        if lead.id != person_id
        and any(r.role == "team_lead" and r.org_unit_id in above and r.holds_on(day) for r in lead.roles)
    }


async def load_now(session: Session, wall: datetime) -> datetime:
    """The current time of the session's tenant: its own clock if it is simulated, else `wall`."""
    now = await session.scalar("SELECT now FROM tenant_clock WHERE tenant = :tenant", {"tenant": session.tenant})
    return now or wall


async def load_workdays(session: Session, people: Iterable[UUID] | None = None) -> Workdays:
    """The workdays of these people, or of everybody, in the session's tenant."""
    if people is None:
        found = await session.scalar(
            f"SELECT {build_workdays_sql('SELECT id FROM directory_person WHERE tenant = :tenant')}",  # noqa: S608
            {"tenant": session.tenant},
        )
    else:
        found = await session.scalar(
            f"SELECT {build_workdays_sql('SELECT unnest(cast(:people AS uuid[]))')}",
            {"tenant": session.tenant, "people": list(people)},
        )
    return parse_workdays(found)


async def today_of(session: Session, person_id: UUID | None) -> date:
    """The current workday of a person, in the time zone of their site; None: the current workday of the tenant."""
    return (await load_workdays(session, [person_id] if person_id else [])).workday_of(person_id, session.now)


def workday(person: str, instant: str) -> str:
    """An SQL expression for the workday of an instant for a person, the same as `Workdays.workday_of`; null for a null
    instant. `person` and `instant`: SQL expressions of the query around it. Needs the parameter `tenant`."""
    of_tenant = "coalesce(wt.body->>'time_zone', 'UTC')"
    of_person = f"(SELECT first, following, coalesce(zone, {of_tenant}) AS zone FROM periods) AS period"  # noqa: S608
    return f"""(
    SELECT CASE WHEN EXISTS (SELECT FROM directory_org_unit wz WHERE wz.tenant = :tenant AND wz.body->>'time_zone' IS NOT NULL)
    THEN (
        WITH zoned AS (
            SELECT wm.org_unit_id, wm.valid_from, wm.valid_to, wz.zone FROM directory_membership wm
            JOIN directory_org_unit wu ON wu.tenant = wm.tenant AND wu.id = wm.org_unit_id
            CROSS JOIN LATERAL (
                SELECT wa.body->>'time_zone' AS zone FROM unnest(wu.path) WITH ORDINALITY AS above (id, depth)
                JOIN directory_org_unit wa ON wa.tenant = wm.tenant AND wa.id = above.id
                WHERE wa.body->>'time_zone' IS NOT NULL ORDER BY above.depth DESC LIMIT 1) wz
            WHERE wm.tenant = :tenant AND wm.person_id = {person} AND wm.valid_from < wm.valid_to),
        bounds AS (
            SELECT date '0001-01-01' AS first UNION SELECT valid_from FROM zoned UNION SELECT valid_to FROM zoned),
        periods AS (
            SELECT first, lead(first) OVER (ORDER BY first) AS following, (
                SELECT zone FROM zoned WHERE valid_from <= first AND first < valid_to
                ORDER BY valid_from DESC, org_unit_id LIMIT 1) AS zone
            FROM bounds)
        SELECT {workday_in_periods_sql(instant, of_person, "wt.start")})
    ELSE {workday_sql(instant, of_tenant, "wt.start")} END
    FROM (SELECT body, make_interval(mins => coalesce((body->>'day_start_minutes')::integer, 0)) AS start
        FROM directory_tenant WHERE tenant = :tenant) AS wt)"""  # noqa: S608


def build_workdays_sql(people: str) -> str:
    """An SQL expression whose value `parse_workdays` parses, so that a larger statement can include it. `people`: a
    sub-select of person ids. Memberships are included only if an org unit has its own time zone. Needs the parameter
    `tenant`."""
    return f"""(
    WITH units AS MATERIALIZED (
        SELECT id, path, body ->> 'time_zone' AS zone FROM directory_org_unit WHERE tenant = :tenant)
    SELECT json_build_array(
        (SELECT json_build_array(body ->> 'time_zone', body -> 'day_start_minutes') FROM directory_tenant
            WHERE tenant = :tenant),
        (SELECT json_agg(json_build_array(id, path, zone) ORDER BY id)::text FROM units
            WHERE EXISTS (SELECT FROM units WHERE zone IS NOT NULL)),
        (SELECT json_agg(json_build_array(person_id, org_unit_id, valid_from, valid_to)) FROM directory_membership
            WHERE tenant = :tenant AND person_id IN ({people})
            AND EXISTS (SELECT FROM units WHERE zone IS NOT NULL)))::text)"""  # noqa: S608


def parse_workdays(found: str) -> Workdays:
    """Parses the value of `build_workdays_sql`. The time zone is UTC while the directory copy does not have the tenant."""
    of_tenant, units, memberships = from_json(found)
    zone_name, day_start_minutes = of_tenant or (None, 0)
    zone = zone_of(zone_name) or ZoneInfo("UTC")
    zones = _zones(units) if units else {}
    by_person: dict[UUID, list[Membership]] = {}
    for person_id, unit_id, since, until in memberships or ():
        membership = (UUID(unit_id), date.fromisoformat(since), date.fromisoformat(until))
        by_person.setdefault(UUID(person_id), []).append(membership)
    periods = {person_id: build_zone_periods(held, zones, zone) for person_id, held in by_person.items()}
    in_other_zones = {person_id: each for person_id, each in periods.items() if any(other != zone for _, other in each)}
    return Workdays(zone, day_start_minutes or 0, in_other_zones)


@lru_cache(maxsize=256)
def _zones(units: str) -> dict[UUID, ZoneInfo]:
    return zones_of((UUID(unit), [UUID(each) for each in path], zone) for unit, path, zone in from_json(units))
