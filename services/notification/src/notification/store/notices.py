"""What people have been told, and whether they have read it."""

from datetime import date
from typing import Any
from uuid import UUID

from contracts.directory import PersonChanged
from sqlalchemy.dialects.postgresql import insert
from storage import Session

from notification.store import tables

CHANNEL = "uplift_notice"


async def take_turns(session: Session) -> None:
    """Held until the commit: the sequence then rises in the order of commits, so that a reader who has seen number n
    has seen all before it. One lock for all tenants cannot lock anybody in with a second one."""
    await session.execute("SELECT pg_advisory_xact_lock(hashtextextended('notification notices', 0))")


async def add(session: Session, values: dict[str, Any]) -> bool:
    """Needs `take_turns`. False when this rule has told this person of this event before."""
    added = await session.scalar(
        insert(tables.notice)
        .values(tenant=session.tenant, **values)
        .on_conflict_do_nothing(index_elements=["tenant", "rule", "event_id", "person_id"])
        .returning(tables.notice.c.id)
    )
    if added is None:
        return False
    if values["in_app"]:
        await wake(session, values["person_id"])
    return True


async def wake(session: Session, person_id: UUID) -> None:
    """After the commit, the person's streams look for what is new."""
    await session.execute(
        "SELECT pg_notify(:channel, :who)", {"channel": CHANNEL, "who": f"{session.tenant}/{person_id}"}
    )


async def inbox(
    session: Session, person_id: UUID, *, unread: bool | None, before: int | None, limit: int
) -> list[dict[str, Any]]:
    """Newest first."""
    return await session.rows(
        "SELECT * FROM notice WHERE tenant = :tenant AND person_id = :person AND in_app "
        "AND (cast(:unread AS boolean) IS NULL OR (read_at IS NULL) = :unread) "
        "AND (cast(:before AS bigint) IS NULL OR seq < :before) ORDER BY seq DESC LIMIT :limit",
        {"tenant": session.tenant, "person": person_id, "unread": unread, "before": before, "limit": limit},
    )


async def after(session: Session, person_id: UUID, seq: int, *, limit: int) -> list[dict[str, Any]]:
    """Oldest first."""
    return await session.rows(
        "SELECT * FROM notice WHERE tenant = :tenant AND person_id = :person AND in_app AND seq > :seq "
        "ORDER BY seq LIMIT :limit",
        {"tenant": session.tenant, "person": person_id, "seq": seq, "limit": limit},
    )


async def counts(session: Session, person_id: UUID) -> dict[str, int]:
    """`unread`, and `last`: the sequence of the newest notice, 0 when there is none."""
    row = await session.row(
        "SELECT count(*) FILTER (WHERE read_at IS NULL) AS unread, coalesce(max(seq), 0) AS last FROM notice "
        "WHERE tenant = :tenant AND person_id = :person AND in_app",
        {"tenant": session.tenant, "person": person_id},
    )
    return row or {"unread": 0, "last": 0}


async def find(session: Session, id: UUID) -> dict[str, Any] | None:
    return await session.row(
        "SELECT * FROM notice WHERE tenant = :tenant AND id = :id", {"tenant": session.tenant, "id": id}
    )


async def mark_read(session: Session, person_id: UUID, *, id: UUID | None) -> int:
    """One notice, or all. Returns how many were unread."""
    marked = await session.execute(
        "UPDATE notice SET read_at = :now WHERE tenant = :tenant AND person_id = :person AND in_app AND read_at IS NULL "
        "AND (cast(:id AS uuid) IS NULL OR id = :id)",
        {"tenant": session.tenant, "person": person_id, "id": id, "now": session.now},
    )
    return marked.rowcount


async def is_active(session: Session, person_id: UUID) -> bool:
    """Whether the person and the tenant are switched on."""
    return bool(
        await session.scalar(
            "SELECT p.active AND coalesce(cast(t.body->>'active' AS boolean), true) FROM directory_person p "
            "JOIN directory_tenant t ON t.tenant = p.tenant WHERE p.tenant = :tenant AND p.id = :person",
            {"tenant": session.tenant, "person": person_id},
        )
    )


async def people_with_role(session: Session, role: str) -> list[PersonChanged]:
    """Active people to whom the role was ever granted; whether it holds is for the caller to see."""
    rows = await session.rows(
        "SELECT body FROM directory_person WHERE tenant = :tenant AND active "
        "AND body @> jsonb_build_object('roles', jsonb_build_array(jsonb_build_object('role', cast(:role AS text)))) "
        "ORDER BY id",
        {"tenant": session.tenant, "role": role},
    )
    return [PersonChanged.model_validate(row["body"]) for row in rows]


async def units_above(session: Session, person_id: UUID, day: date) -> set[UUID]:
    """The org units a person belongs to on that day, and all above them."""
    found = await session.execute(
        "SELECT DISTINCT unnest(u.path) FROM directory_membership m "
        "JOIN directory_org_unit u ON u.tenant = m.tenant AND u.id = m.org_unit_id "
        "WHERE m.tenant = :tenant AND m.person_id = :person AND m.valid_from <= :day AND :day < m.valid_to",
        {"tenant": session.tenant, "person": person_id, "day": day},
    )
    return set(found.scalars())
