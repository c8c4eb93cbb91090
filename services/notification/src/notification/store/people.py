"""People and their memberships, from this service's copy of the directory."""

import json
from collections.abc import Collection
from uuid import UUID

from contracts.directory import PersonChanged
from servicekit.cooperative import iterate_cooperatively
from storage import Session

from notification.model.audience import Membership


async def load_people(session: Session, ids: Collection[UUID], roles: Collection[str]) -> dict[UUID, PersonChanged]:
    """By id: these people, and active people with a grant of one of the roles. The caller checks on which days a grant
    holds."""
    granted = [json.dumps({"roles": [{"role": role}]}) for role in sorted(roles)]
    rows = await session.tuples(
        "SELECT id, body::text FROM directory_person WHERE tenant = :tenant "
        "AND (id = ANY(cast(:ids AS uuid[])) OR (active AND body @> ANY(cast(:granted AS jsonb[])))) ORDER BY id",
        {"tenant": session.tenant, "ids": list(ids), "granted": granted},
    )
    return {id: PersonChanged.model_validate_json(body) async for id, body in iterate_cooperatively(rows)}


async def load_memberships(session: Session, ids: Collection[UUID]) -> dict[UUID, list[Membership]]:
    """Memberships by person."""
    found: dict[UUID, list[Membership]] = {}
    for person_id, *values in await session.execute(
        "SELECT m.person_id, m.valid_from, m.valid_to, u.path FROM directory_membership m "
        "JOIN directory_org_unit u ON u.tenant = m.tenant AND u.id = m.org_unit_id "
        "WHERE m.tenant = :tenant AND m.person_id = ANY(cast(:ids AS uuid[]))",
        {"tenant": session.tenant, "ids": list(ids)},
    ):
        found.setdefault(person_id, []).append(Membership(*values))
    return found
