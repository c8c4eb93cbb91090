"""Tenants, org units and people."""

import json
from collections.abc import Collection, Iterable, Sequence
from datetime import date
from typing import Any
from uuid import UUID

from contracts.directory import PLATFORM_TENANT, OrgUnitChanged, PersonChanged, TenantChanged
from servicekit.cooperative import iterate_cooperatively
from storage import Session

from identity.model.fields import is_uuid

# Logins, external ids and memberships are derived from the state in SQL, so that they cannot differ from it.
_INSERT_PARTS = {
    "login": """
        INSERT INTO login (tenant, person_id, iss, sub)
        SELECT p.tenant, p.id, e->>'iss', e->>'sub' FROM person p, jsonb_array_elements(p.state->'logins') e
        WHERE p.tenant = :tenant AND p.id = ANY(cast(:ids AS uuid[]))""",
    "external_id": """
        INSERT INTO external_id (tenant, person_id, source, external_id, valid_from, valid_to)
        SELECT p.tenant, p.id, e->>'source', e->>'external_id',
               coalesce((e->>'valid_from')::date, '0001-01-01'), coalesce((e->>'valid_to')::date, '9999-12-31')
        FROM person p, jsonb_array_elements(p.state->'external_ids') e
        WHERE p.tenant = :tenant AND p.id = ANY(cast(:ids AS uuid[]))""",
    "membership": """
        INSERT INTO membership (tenant, person_id, org_unit_id, valid_from, valid_to)
        SELECT p.tenant, p.id, (e->>'org_unit_id')::uuid,
               coalesce((e->>'valid_from')::date, '0001-01-01'), coalesce((e->>'valid_to')::date, '9999-12-31')
        FROM person p, jsonb_array_elements(p.state->'memberships') e
        WHERE p.tenant = :tenant AND p.id = ANY(cast(:ids AS uuid[]))""",
}
_TENANT = "SELECT state FROM tenant WHERE tenant = :tenant"
_TENANT_LOCKED = "SELECT state FROM tenant WHERE tenant = :tenant FOR UPDATE"


async def load_tenant(session: Session, *, lock: bool = False) -> TenantChanged | None:
    """The session's tenant; None when it does not exist. With `lock` its row stays locked until the transaction ends: changes of
    a tenant's directory are serialised, so that no edit is lost and what is unique across people stays unique."""
    state = await session.scalar(_TENANT_LOCKED if lock else _TENANT, {"tenant": session.tenant})
    return None if state is None else TenantChanged.model_validate(state)


async def insert_tenant(session: Session, tenant: TenantChanged) -> bool:
    """Inserts the tenant as version 1. Returns False when the slug exists already."""
    done = await session.execute(
        "INSERT INTO tenant (tenant, state, version, created_at) VALUES (:tenant, cast(:state AS jsonb), 1, :now) "
        "ON CONFLICT DO NOTHING",
        {"tenant": tenant.slug, "state": tenant.model_dump_json(), "now": session.now},
    )
    return done.rowcount == 1


async def update_tenant(session: Session, tenant: TenantChanged) -> TenantChanged:
    """Replaces the tenant's state. Returns it with its new version."""
    version = await session.scalar(
        "UPDATE tenant SET state = cast(:state AS jsonb), version = version + 1 WHERE tenant = :tenant "
        "RETURNING version",
        {"tenant": tenant.slug, "state": tenant.model_dump_json()},
    )
    return tenant.model_copy(update={"version": version})


async def add_customer(session: Session, slug: str) -> bool:
    """Adds the slug to the installation's list of tenants. Returns False when it is there already. The session is the platform
    tenant's."""
    done = await session.execute(
        "INSERT INTO customer (tenant, slug, created_at) VALUES (:tenant, :slug, :now) ON CONFLICT DO NOTHING",
        {"tenant": PLATFORM_TENANT, "slug": slug, "now": session.now},
    )
    return done.rowcount == 1


async def list_customer_slugs(session: Session, after: str, limit: int) -> list[str]:
    """Up to `limit` slugs of tenants in order, those greater than `after`. The session is the platform tenant's."""
    rows = await session.rows(
        "SELECT slug FROM customer WHERE tenant = :tenant AND slug > :after ORDER BY slug LIMIT :limit",
        {"tenant": PLATFORM_TENANT, "after": after, "limit": limit},
    )
    return [row["slug"] for row in rows]


async def load_tenants(session: Session, slugs: Sequence[str]) -> list[TenantChanged]:
    """The tenants of these slugs, by slug; the session must be narrowed to them."""
    rows = await session.rows(
        "SELECT state FROM tenant WHERE tenant = ANY(cast(:slugs AS text[])) ORDER BY tenant", {"slugs": list(slugs)}
    )
    return [TenantChanged.model_validate(row["state"]) for row in rows]


async def load_units(session: Session) -> list[OrgUnitChanged]:
    """All org units of the session's tenant, in no order."""
    rows = await session.rows("SELECT state::text FROM org_unit WHERE tenant = :tenant", {"tenant": session.tenant})
    return [OrgUnitChanged.model_validate_json(row["state"]) async for row in iterate_cooperatively(rows)]


async def save_units(session: Session, units: Sequence[OrgUnitChanged]) -> list[OrgUnitChanged]:
    """Inserts or replaces the units. Returns them with their new versions."""
    if not units:
        return []
    written = await session.tuples(
        "INSERT INTO org_unit AS u (tenant, id, slug, path, state, version) SELECT :tenant, (s->>'id')::uuid, s->>'slug', "
        "ARRAY(SELECT jsonb_array_elements_text(s->'path'))::uuid[], s, 1 "
        "FROM (SELECT jsonb_array_elements(cast(:states AS jsonb)) AS s) AS given "
        "ON CONFLICT (tenant, id) DO UPDATE SET slug = excluded.slug, path = excluded.path, state = excluded.state, "
        "version = u.version + 1 RETURNING id, version",
        {"tenant": session.tenant, "states": await _dump_states(units)},
    )
    versions = {unit_id: version async for unit_id, version in iterate_cooperatively(written)}
    return [unit.model_copy(update={"version": versions[unit.id]}) async for unit in iterate_cooperatively(units)]


async def count_memberships_from(session: Session, unit_ids: Collection[UUID], day: date) -> int:
    """The number of memberships in these units that hold on `day` or later."""
    return int(
        await session.scalar(
            "SELECT count(*) FROM membership WHERE tenant = :tenant AND org_unit_id = ANY(cast(:units AS uuid[])) "
            "AND valid_to > :day",
            {"tenant": session.tenant, "units": list(unit_ids), "day": day},
        )
    )


async def load_people(session: Session) -> dict[UUID, PersonChanged]:
    """All people of the session's tenant, by id."""
    return await _by_id(
        await session.rows("SELECT state::text FROM person WHERE tenant = :tenant", {"tenant": session.tenant})
    )


async def find_person(session: Session, ref: str) -> PersonChanged | None:
    """The person of this id or slug; None when there is none."""
    if "\x00" in ref:
        return None
    by_id, by_slug = "id = cast(:ref AS uuid)", "slug = :ref"
    rows = await session.rows(
        f"SELECT state::text FROM person WHERE tenant = :tenant AND {by_id if is_uuid(ref) else by_slug}",  # noqa: S608
        {"tenant": session.tenant, "ref": ref},
    )
    return next(iter((await _by_id(rows)).values()), None)


async def load_admins(session: Session, role: str) -> dict[UUID, PersonChanged]:
    """Everybody to whom the role is, was or will be granted, by id."""
    rows = await session.rows(
        "SELECT state::text FROM person WHERE tenant = :tenant AND state->'roles' @> cast(:grants AS jsonb)",
        {"tenant": session.tenant, "grants": json.dumps([{"role": role}])},
    )
    return await _by_id(rows)


async def find_related_people(
    session: Session, *, logins: Iterable[tuple[str, str]], external_ids: Iterable[tuple[str, str]], slug: str
) -> dict[UUID, PersonChanged]:
    """The people who have one of these logins (iss, sub) or external ids (source, id), at any time, or this slug; by id."""
    logins, external_ids = list(logins), list(external_ids)
    rows = await session.rows(
        "SELECT state::text FROM person WHERE tenant = :tenant AND (slug = :slug OR id IN ("
        "SELECT person_id FROM login WHERE tenant = :tenant AND (iss, sub) IN "
        "(SELECT * FROM unnest(cast(:iss AS text[]), cast(:sub AS text[]))) "
        "UNION SELECT person_id FROM external_id WHERE tenant = :tenant AND (source, external_id) IN "
        "(SELECT * FROM unnest(cast(:source AS text[]), cast(:external AS text[])))))",
        {
            "tenant": session.tenant,
            "slug": slug,
            "iss": [iss for iss, _ in logins],
            "sub": [sub for _, sub in logins],
            "source": [source for source, _ in external_ids],
            "external": [external for _, external in external_ids],
        },
    )
    return await _by_id(rows)


async def find_members(session: Session, unit_ids: Collection[UUID]) -> dict[UUID, PersonChanged]:
    """The people who are, were or will be members of these units, by id."""
    rows = await session.rows(
        "SELECT state::text FROM person WHERE tenant = :tenant AND id IN (SELECT person_id FROM membership "
        "WHERE tenant = :tenant AND org_unit_id = ANY(cast(:units AS uuid[])))",
        {"tenant": session.tenant, "units": list(unit_ids)},
    )
    return await _by_id(rows)


async def save_people(session: Session, people: Sequence[PersonChanged]) -> list[PersonChanged]:
    """Inserts or replaces the people, in a fixed number of statements. Returns them with their new versions."""
    if not people:
        return []
    parameters: dict[str, Any] = {"tenant": session.tenant}
    states = await _dump_states(people)
    written = await session.tuples(
        "INSERT INTO person AS p (tenant, id, slug, active, state, version) "
        "SELECT :tenant, (s->>'id')::uuid, s->>'slug', (s->>'active')::boolean, s, 1 "
        "FROM (SELECT jsonb_array_elements(cast(:states AS jsonb)) AS s) AS given "
        "ON CONFLICT (tenant, id) DO UPDATE SET slug = excluded.slug, active = excluded.active, state = excluded.state, "
        "version = p.version + 1 RETURNING id, version",
        parameters | {"states": states},
    )
    versions = {person_id: version async for person_id, version in iterate_cooperatively(written)}
    # One text: the driver dumps an array item by item, while the loop waits.
    parameters["ids"] = "{" + ",".join([str(person.id) async for person in iterate_cooperatively(people)]) + "}"
    for table in _INSERT_PARTS:
        await session.execute(
            f"DELETE FROM {table} WHERE tenant = :tenant AND person_id = ANY(cast(:ids AS uuid[]))",  # noqa: S608
            parameters,
        )
    for insert in _INSERT_PARTS.values():
        await session.execute(insert, parameters)
    return [
        person.model_copy(update={"version": versions[person.id]}) async for person in iterate_cooperatively(people)
    ]


async def list_people(
    session: Session,
    *,
    visible: Collection[UUID] | None,
    day: date,
    after: str,
    limit: int,
    unit_id: UUID | None = None,
    role: str | None = None,
    active: bool | None = None,
    text: str | None = None,
) -> list[PersonChanged]:
    """Up to `limit` people by slug, those with a slug greater than `after`. Filters that are None do not apply: `visible` are ids;
    `unit_id` includes the units below it; membership and `role` are those of `day`; `text` is part of a name, slug or email, or
    an entire external id."""
    conditions = ["p.tenant = :tenant", "p.slug > :after"]
    parameters: dict[str, Any] = {"tenant": session.tenant, "after": after, "limit": limit, "day": day}
    if visible is not None:
        conditions.append("p.id = ANY(cast(:visible AS uuid[]))")
        parameters["visible"] = list(visible)
    if unit_id is not None:
        conditions.append(
            "p.id IN (SELECT m.person_id FROM membership m JOIN org_unit u ON u.tenant = m.tenant "
            "AND u.id = m.org_unit_id WHERE m.tenant = :tenant AND :unit = ANY(u.path) "
            "AND m.valid_from <= :day AND :day < m.valid_to)"
        )
        parameters["unit"] = unit_id
    if role is not None:
        conditions.append(
            "EXISTS (SELECT 1 FROM jsonb_array_elements(p.state->'roles') e WHERE e->>'role' = :role "
            "AND coalesce((e->>'valid_from')::date, '0001-01-01') <= :day "
            "AND :day < coalesce((e->>'valid_to')::date, '9999-12-31'))"
        )
        parameters["role"] = role
    if active is not None:
        conditions.append("p.active = :active")
        parameters["active"] = active
    if text:
        conditions.append(
            "(strpos(lower(concat_ws(' ', p.slug, p.state->>'display_name', p.state->>'email')), lower(:text)) > 0 "
            "OR EXISTS (SELECT 1 FROM external_id x WHERE x.tenant = p.tenant AND x.person_id = p.id "
            "AND x.external_id = :text))"
        )
        parameters["text"] = text
    rows = await session.rows(
        f"SELECT p.state::text FROM person p WHERE {' AND '.join(conditions)} ORDER BY p.slug LIMIT :limit",  # noqa: S608
        parameters,
    )
    return [PersonChanged.model_validate_json(row["state"]) async for row in iterate_cooperatively(rows)]


async def _dump_states(states: Iterable[OrgUnitChanged | PersonChanged]) -> str:
    """The states as a JSON array: one text, since the driver escapes each quote of an array of texts."""
    return f"[{','.join([each.model_dump_json() async for each in iterate_cooperatively(states)])}]"


async def _by_id(rows: list[dict[str, Any]]) -> dict[UUID, PersonChanged]:
    people = [PersonChanged.model_validate_json(row["state"]) async for row in iterate_cooperatively(rows)]
    return {person.id: person for person in people}
