"""What people have been told, and whether they have read it."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from storage import InsertSpec, Session, lock_sql

from notification.model.notice_composer import Notice
from notification.store.tables import heard, notice

CHANNEL = "uplift_notice"


async def insert_notices(session: Session, notices: Iterable[Notice]) -> set[UUID]:
    """Returns the ids of those that are new: a rule tells a person of an event once. After the commit, the streams of
    those who are told in the app look for what is new."""
    parameters = {**_INSERT.parameters(map(vars, notices), {}), "channel": CHANNEL}
    return set(await session.scalars(_ADD, parameters))


# The turn is held until the commit: the sequence then rises in the order of commits, so that a reader who has seen number
# n has seen all before it. One lock for all tenants cannot lock anybody in with a second one.
_INSERT = InsertSpec(
    notice,
    tuple(column.name for column in notice.columns if column.name not in ("seq", "read_at")),
    where_sql="WHERE EXISTS (SELECT FROM turn)",
    suffix_sql="ON CONFLICT (tenant, rule, event_id, person_id) DO NOTHING RETURNING tenant, id, person_id, in_app",
)
_ADD = f"""
WITH turn AS MATERIALIZED (
    SELECT {lock_sql("'notification notices'")}
), added AS ({_INSERT.sql})
SELECT id, CASE WHEN in_app THEN pg_notify(:channel, tenant || '/' || person_id) END FROM added
"""  # noqa: S608


async def record_versions(session: Session, told: Sequence[tuple[str, int]]) -> list[bool]:
    """Of what is told in this order (subject and version), whether it is as new as what was heard of the subject before;
    remembers it."""
    last: dict[str, int] = {}
    for subject, version in told:
        last[subject] = max(version, last.get(subject, version))
    rows = [{"subject": subject, "version": version} for subject, version in last.items()]
    newest = {row["subject"]: row["version"] for row in await session.insert_rows(_UPSERT_VERSIONS, rows)}
    news: list[bool] = []
    for subject, version in told:
        newest[subject] = max(version, newest[subject] or 0)
        news.append(version == newest[subject])
    return news


_UPSERT_VERSIONS = InsertSpec(
    heard,
    constant_columns=("tenant",),
    suffix_sql="ON CONFLICT (tenant, subject) DO UPDATE SET version = greatest(heard.version, excluded.version) "
    "RETURNING heard.subject, old.version",
)


async def notify_people_streams(session: Session, people: Iterable[tuple[str, UUID]]) -> None:
    """After the commit, the streams of these people, by tenant and id, look for what is new."""
    await notify_streams(session, [f"{tenant}/{person_id}" for tenant, person_id in people])


async def notify_streams(session: Session, who: Iterable[str]) -> None:
    """The same for people (`tenant/id`), whole tenants (`tenant/`) and login sessions (as `SessionEnded.id_in_key`)."""
    await session.execute(
        "SELECT pg_notify(:channel, left(who, 2000)) FROM unnest(cast(:who AS text[])) AS who",
        {"channel": CHANNEL, "who": list(who)},
    )


async def load_inbox(
    session: Session, person_id: UUID, *, unread: bool | None, before: int | None, limit: int
) -> list[dict[str, Any]]:
    """Newest first."""
    return await session.rows(
        "SELECT * FROM notice WHERE tenant = :tenant AND person_id = :person AND in_app "
        "AND (cast(:unread AS boolean) IS NULL OR (read_at IS NULL) = :unread) "
        "AND (cast(:before AS bigint) IS NULL OR seq < :before) ORDER BY seq DESC LIMIT :limit",
        {"tenant": session.tenant, "person": person_id, "unread": unread, "before": before, "limit": limit},
    )


async def load_after(session: Session, person_id: UUID, seq: int, *, limit: int) -> list[dict[str, Any]]:
    """Oldest first."""
    return await session.rows(
        "SELECT * FROM notice WHERE tenant = :tenant AND person_id = :person AND in_app AND seq > :seq "
        "ORDER BY seq LIMIT :limit",
        {"tenant": session.tenant, "person": person_id, "seq": seq, "limit": limit},
    )


async def count_notices(session: Session, person_id: UUID) -> dict[str, int]:
    """`unread`, and `last`: the sequence of the newest notice, 0 when there is none."""
    row = await session.row(
        "SELECT count(*) FILTER (WHERE read_at IS NULL) AS unread, coalesce(max(seq), 0) AS last FROM notice "
        "WHERE tenant = :tenant AND person_id = :person AND in_app",
        {"tenant": session.tenant, "person": person_id},
    )
    return row or {"unread": 0, "last": 0}


async def find(session: Session, id: UUID) -> dict[str, Any] | None:
    """The notice, or None."""
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
