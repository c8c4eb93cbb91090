"""Notices in people's inboxes, and the NOTIFY messages that wake their streams."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from storage import InsertSpec, Session, lock_sql

from notification.model.notice_composer import Notice
from notification.store.tables import newest_version, notice

CHANNEL = "uplift_notice"


class NoticeRow(NamedTuple):
    """A stored notice. `seq` rises in the order of commits; `refs`: ids and names of what the notice is about."""

    id: UUID
    seq: int
    person_id: UUID
    rule: str
    event_type: str
    in_app: bool
    language: str
    subject: str
    body: str
    refs: dict[str, Any]
    at: datetime
    read_at: datetime | None


class NoticeCounts(NamedTuple):
    """`unread`: how many notices are unread. `last`: the sequence of the newest notice, 0 when there is none."""

    unread: int
    last: int


_COLUMNS = ", ".join(NoticeRow._fields)


async def insert_notices(session: Session, notices: Iterable[Notice]) -> set[UUID]:
    """Inserts the notices; one is unique by rule, event and person. Returns the ids of the new ones. After the commit,
    streams of people who got a notice in the app are woken."""
    parameters = {**_INSERT.parameters(map(vars, notices), {}), "channel": CHANNEL}
    return set(await session.scalars(_INSERT_AND_NOTIFY, parameters))


# The lock is held until the commit. The sequence therefore rises in the order of commits: a reader who has seen number n
# has seen all numbers before it. There is one lock for all tenants, because two locks could deadlock.
_INSERT = InsertSpec(
    notice,
    tuple(column.name for column in notice.columns if column.name not in ("seq", "read_at")),
    where_sql="WHERE EXISTS (SELECT FROM inbox_lock)",
    suffix_sql="ON CONFLICT (tenant, rule, event_id, person_id) DO NOTHING RETURNING tenant, id, person_id, in_app",
)
_INSERT_AND_NOTIFY = f"""
WITH inbox_lock AS MATERIALIZED (
    SELECT {lock_sql("'notification notices'")}
), added AS ({_INSERT.sql})
SELECT id, CASE WHEN in_app THEN pg_notify(:channel, tenant || '/' || person_id) END FROM added
"""  # noqa: S608


async def record_versions(session: Session, versions: Sequence[tuple[str, int]]) -> list[bool]:
    """Records the newest version of each subject. Returns, for each (subject, version) in the order given, whether no newer
    version of the subject came before it."""
    last: dict[str, int] = {}
    for subject, version in versions:
        last[subject] = max(version, last.get(subject, version))
    rows = [{"subject": subject, "version": version} for subject, version in last.items()]
    newest = {row["subject"]: row["version"] for row in await session.insert_rows(_UPSERT_VERSIONS, rows)}
    are_newest: list[bool] = []
    for subject, version in versions:
        newest[subject] = max(version, newest[subject] or 0)
        are_newest.append(version == newest[subject])
    return are_newest


_UPSERT_VERSIONS = InsertSpec(
    newest_version,
    constant_columns=("tenant",),
    suffix_sql="ON CONFLICT (tenant, subject) DO UPDATE SET version = greatest(heard.version, excluded.version) "
    "RETURNING heard.subject, old.version",
)


async def notify_people_streams(session: Session, people: Iterable[tuple[str, UUID]]) -> None:
    """Wakes the streams of these people, by tenant and id, after the commit."""
    await notify_streams(session, [f"{tenant}/{person_id}" for tenant, person_id in people])


async def notify_streams(session: Session, keys: Iterable[str]) -> None:
    """Wakes streams after the commit: of people (`tenant/id`), tenants (`tenant/`) and login sessions (as
    `SessionEnded.id_in_key`)."""
    await session.execute(
        "SELECT pg_notify(:channel, left(key, 2000)) FROM unnest(cast(:keys AS text[])) AS key",
        {"channel": CHANNEL, "keys": list(keys)},
    )


async def load_inbox(
    session: Session, person_id: UUID, *, unread: bool | None, before: int | None, limit: int
) -> list[NoticeRow]:
    """A person's notices, newest first. `unread` None: all; `before`: the sequence of the last notice of the page before."""
    rows = await session.tuples(
        f"SELECT {_COLUMNS} FROM notice WHERE tenant = :tenant AND person_id = :person AND in_app "  # noqa: S608
        "AND (cast(:unread AS boolean) IS NULL OR (read_at IS NULL) = :unread) "
        "AND (cast(:before AS bigint) IS NULL OR seq < :before) ORDER BY seq DESC LIMIT :limit",
        {"tenant": session.tenant, "person": person_id, "unread": unread, "before": before, "limit": limit},
    )
    return [NoticeRow(*row) for row in rows]


async def load_after(session: Session, person_id: UUID, seq: int, *, limit: int) -> list[NoticeRow]:
    """A person's notices after sequence `seq`, oldest first."""
    rows = await session.tuples(
        f"SELECT {_COLUMNS} FROM notice WHERE tenant = :tenant AND person_id = :person AND in_app AND seq > :seq "  # noqa: S608
        "ORDER BY seq LIMIT :limit",
        {"tenant": session.tenant, "person": person_id, "seq": seq, "limit": limit},
    )
    return [NoticeRow(*row) for row in rows]


async def count_notices(session: Session, person_id: UUID) -> NoticeCounts:
    """Counts a person's notices."""
    (row,) = await session.tuples(
        "SELECT count(*) FILTER (WHERE read_at IS NULL) AS unread, coalesce(max(seq), 0) AS last FROM notice "
        "WHERE tenant = :tenant AND person_id = :person AND in_app",
        {"tenant": session.tenant, "person": person_id},
    )
    return NoticeCounts(*row)


async def find(session: Session, id: UUID) -> NoticeRow | None:
    """The notice, or None."""
    rows = await session.tuples(
        f"SELECT {_COLUMNS} FROM notice WHERE tenant = :tenant AND id = :id",  # noqa: S608
        {"tenant": session.tenant, "id": id},
    )
    return NoticeRow(*rows[0]) if rows else None


async def mark_read(session: Session, person_id: UUID, *, id: UUID | None) -> int:
    """Marks a person's notice as read, or with `id` None all of them. Returns how many were unread."""
    marked = await session.execute(
        "UPDATE notice SET read_at = :now WHERE tenant = :tenant AND person_id = :person AND in_app AND read_at IS NULL "
        "AND (cast(:id AS uuid) IS NULL OR id = :id)",
        {"tenant": session.tenant, "person": person_id, "id": id, "now": session.now},
    )
    return marked.rowcount
