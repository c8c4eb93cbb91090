"""Receipts and the verdicts on their records."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from servicekit.errors import NotFound
from storage import InsertSpec, Session

from ingest.store.tables import receipt, record

MAX_PROBLEMS = 100
OPEN_STATUSES = ("receiving", "queued", "reading")
BUSY = (*OPEN_STATUSES, "replaying")
VERDICTS = ("accepted", "unchanged", "corrected", "held", "rejected")
RECORDS = InsertSpec(
    record,
    ("number", "line", "verdict", "field", "reason", "cure", "contact", "kind", "part_id", "position"),
    ("tenant", "receipt_id", "document"),
)
_FILED = ("id", "source", "mode", "sent_by", "received_at", "idempotency_key")
_TOLD = ("finished_at", "notes", "bytes")
_COUNTED = ("received", "not_kept", *VERDICTS)
BODY_KIND = "body"
"""The kind of the record that stands for a whole body, of which nothing more was read."""
# What a chunk brought is added to what the chunks before it did; a receipt that is queued is so until it is done.
RECEIPTS = InsertSpec(
    receipt,
    (*_FILED, "status", "digest", *_TOLD, *_COUNTED),
    ("tenant",),
    "ON CONFLICT (tenant, id) DO UPDATE SET notes = excluded.notes, bytes = excluded.bytes, "
    "finished_at = coalesce(excluded.finished_at, receipt.finished_at), "
    "status = CASE WHEN excluded.status = 'done' AND receipt.status NOT IN ('cancelled', 'undoing', 'undone') THEN 'done' "
    "ELSE receipt.status END, "
    "digest = coalesce(excluded.digest, receipt.digest), "
    f"{', '.join(f'{name} = receipt.{name} + excluded.{name}' for name in _COUNTED)}, touched_at = clock_timestamp() "
    f"RETURNING {', '.join(f'receipt.{each.name}' for each in receipt.columns)}",
)


async def find(session: Session, receipt_id: UUID, *, lock: bool = False) -> dict[str, Any] | None:
    return await session.row(
        f"SELECT * FROM receipt WHERE tenant = :tenant AND id = :id {'FOR UPDATE' if lock else ''}",  # noqa: S608
        {"tenant": session.tenant, "id": receipt_id},
    )


async def find_open(session: Session, source: str, most: int = 5) -> list[UUID]:
    """Those that are still received or read."""
    return await session.scalars(
        "SELECT id FROM receipt WHERE tenant = :tenant AND source = :source AND status = ANY(cast(:open AS text[])) "
        "ORDER BY received_at LIMIT :most",
        {"tenant": session.tenant, "source": source, "open": list(OPEN_STATUSES), "most": most},
    )


async def find_by_idempotency_key(session: Session, person: UUID, key: str) -> dict[str, Any] | None:
    return await session.row(
        "SELECT * FROM receipt WHERE tenant = :tenant AND sent_by = :person AND idempotency_key = :key "
        "AND status IN ('done', 'queued', 'replaying', 'undoing', 'undone') ORDER BY received_at DESC LIMIT 1",
        {"tenant": session.tenant, "person": person, "key": key},
    )


async def load_page(
    session: Session, source: str | None, limit: int, after: tuple[Any, ...] | None
) -> list[dict[str, Any]]:
    """The newest first."""
    return await session.rows(
        "SELECT * FROM receipt WHERE tenant = :tenant AND (cast(:source AS text) IS NULL OR source = :source) "
        "AND (cast(:at AS timestamptz) IS NULL OR (received_at, id) < (cast(:at AS timestamptz), cast(:id AS uuid))) "
        "ORDER BY received_at DESC, id DESC LIMIT :limit",
        {
            "tenant": session.tenant,
            "source": source,
            "at": after[0] if after else None,
            "id": after[1] if after else None,
            "limit": limit,
        },
    )


async def count_queued(session: Session) -> int:
    return await session.scalar(
        "SELECT count(*) FROM receipt WHERE tenant = :tenant AND status = 'queued'", {"tenant": session.tenant}
    )


async def require(session: Session, receipt_id: UUID, *, lock: bool = False) -> dict[str, Any]:
    """Raises NotFound."""
    row = await find(session, receipt_id, lock=lock)
    if row is None:
        raise NotFound("unknown-receipt", f"There is no receipt `{receipt_id}`.")
    return row


async def mark(session: Session, receipt_id: UUID, status: str, work: dict[str, Any] | None = None) -> None:
    """`work`: how far what is done with it is."""
    await session.run(
        "UPDATE receipt SET status = :status, work = cast(:work AS jsonb), touched_at = clock_timestamp() "
        "WHERE tenant = :tenant AND id = :id",
        {
            "tenant": session.tenant,
            "id": receipt_id,
            "status": status,
            "work": None if work is None else to_json(work).decode(),
        },
    )


async def mark_interrupted(session: Session, receipt_id: UUID) -> None:
    """Marks a receipt whose body broke off."""
    await session.run(
        "UPDATE receipt SET status = 'interrupted', finished_at = :now, touched_at = clock_timestamp() "
        "WHERE tenant = :tenant AND id = :id AND status IN ('reading', 'receiving')",
        {"tenant": session.tenant, "id": receipt_id, "now": session.now},
    )


async def is_open(session: Session, receipt_id: UUID) -> bool:
    """Whether its body may be read on."""
    status = await session.scalar(
        "SELECT status FROM receipt WHERE tenant = :tenant AND id = :id", {"tenant": session.tenant, "id": receipt_id}
    )
    return status in OPEN_STATUSES


async def mark_queued(session: Session, receipt_id: UUID, size: int, digest: str | None) -> None:
    """The body is kept whole, and waits to be read, unless it was cancelled meanwhile."""
    await session.run(
        "UPDATE receipt SET bytes = :size, digest = :digest, touched_at = clock_timestamp(), "
        "status = CASE status WHEN 'receiving' THEN 'queued' ELSE status END WHERE tenant = :tenant AND id = :id",
        {"tenant": session.tenant, "id": receipt_id, "size": size, "digest": digest},
    )


async def mark_cancelled(session: Session, receipt_id: UUID) -> bool:
    return bool(
        await session.run(
            "UPDATE receipt SET status = 'cancelled', finished_at = :now, touched_at = clock_timestamp() "
            "WHERE tenant = :tenant AND id = :id AND status = ANY(cast(:open AS text[]))",
            {"tenant": session.tenant, "id": receipt_id, "now": session.now, "open": list(OPEN_STATUSES)},
        )
    )


async def recount(session: Session, receipt_id: UUID) -> None:
    """Sets the counters to what the verdicts are now."""
    sums = ", ".join(f"count(*) FILTER (WHERE verdict = '{name}') AS {name}" for name in VERDICTS)
    others = ", ".join(f"{name} = counted.{name}" for name in VERDICTS if name != "rejected")
    await session.run(
        f"UPDATE receipt SET received = counted.received + not_kept, rejected = counted.rejected + not_kept, {others}, "  # noqa: S608
        f"touched_at = clock_timestamp() FROM (SELECT count(*) AS received, {sums} "
        "FROM record WHERE tenant = :tenant AND receipt_id = :id) AS counted "
        "WHERE receipt.tenant = :tenant AND receipt.id = :id",
        {"tenant": session.tenant, "id": receipt_id},
    )


async def restore_verdicts(
    session: Session, receipt_id: UUID, document: str, before: dict[int, dict[str, Any]]
) -> None:
    """A record that is judged again and says the same as before keeps the verdict that it had when it came."""
    had = [row for row in before.values() if row["part_id"] and row["verdict"] in ("corrected", "unchanged")]
    if had:
        await session.run(
            "UPDATE record SET verdict = b.verdict FROM unnest(cast(:numbers AS int[]), cast(:verdicts AS text[]), "
            "cast(:parts AS uuid[])) AS b(number, verdict, part_id) WHERE record.tenant = :tenant "
            "AND record.receipt_id = :id AND record.document = :document AND record.number = b.number "
            "AND record.part_id = b.part_id AND record.verdict = 'accepted'",
            {
                "tenant": session.tenant,
                "id": receipt_id,
                "document": document,
                "numbers": [row["number"] for row in had],
                "verdicts": [row["verdict"] for row in had],
                "parts": [row["part_id"] for row in had],
            },
        )


async def load_records(
    session: Session, receipt_id: UUID, verdict: str | None, limit: int, after: int | None
) -> list[dict[str, Any]]:
    return await session.rows(
        "SELECT number, line, verdict, field, reason, cure, contact, kind, document, position FROM record "
        "WHERE tenant = :tenant AND receipt_id = :id AND number > :after "
        "AND (cast(:verdict AS text) IS NULL OR verdict = :verdict) ORDER BY number LIMIT :limit",
        {"tenant": session.tenant, "id": receipt_id, "verdict": verdict, "limit": limit, "after": after or 0},
    )


async def load_problems(session: Session, row: dict[str, Any]) -> list[dict[str, Any]]:
    """The first records of a receipt that were rejected or are held; before them what was refused of the whole body."""
    if not row["rejected"] and not row["held"]:
        return []
    place = {"tenant": session.tenant, "id": row["id"], "limit": MAX_PROBLEMS}
    return await session.rows(_PROBLEMS, place)


_PROBLEM = """
SELECT number, line, verdict, field, reason, cure, contact, kind FROM record
WHERE tenant = :tenant AND receipt_id = :id AND verdict IN ('rejected', 'held') ORDER BY number
"""
# Whatever ends a body is the last of its records.
_PROBLEMS = f"""
SELECT * FROM (SELECT * FROM (({_PROBLEM} DESC LIMIT 1)) AS last WHERE kind = '{BODY_KIND}') AS whole UNION ALL
SELECT * FROM (SELECT * FROM ({_PROBLEM} LIMIT :limit) AS first WHERE kind IS DISTINCT FROM '{BODY_KIND}') AS others
"""  # noqa: S608


async def load_document_ids(session: Session, receipt_id: UUID) -> list[str]:
    """The raw documents of a receipt, in order."""
    return await session.scalars(
        "SELECT DISTINCT document FROM record WHERE tenant = :tenant AND receipt_id = :id ORDER BY document",
        {"tenant": session.tenant, "id": receipt_id},
    )


# A document's id begins with its receipt's; a raw one's ends with the number of its first record. While a body is being
# read, what it has written is its own: a reading that failed is begun again, and finds the same ids there.
_BEING_READ = """
EXISTS (SELECT FROM receipt WHERE tenant = :tenant AND id = cast(left(d, 36) AS uuid)
        AND status IN ('receiving', 'queued', 'reading'))
"""
_UNUSED_SPOOL = f"SELECT d FROM unnest(cast(:ids AS text[])) AS o(d) WHERE NOT {_BEING_READ}"  # noqa: S608
_UNUSED_RAW = f"""
{_UNUSED_SPOOL} AND NOT EXISTS (
    SELECT FROM record WHERE tenant = :tenant AND receipt_id = cast(left(d, 36) AS uuid)
    AND number = cast(substr(d, 38) AS int) AND document = d)
"""


async def find_unused_spool(session: Session, ids: Sequence[str]) -> list[str]:
    """Pieces of bodies that nobody is going to read."""
    return await session.scalars(_UNUSED_SPOOL, {"tenant": session.tenant, "ids": list(ids)})


async def find_unused_raw(session: Session, ids: Sequence[str]) -> list[str]:
    """Raw documents that were written before a transaction that then failed."""
    return await session.scalars(_UNUSED_RAW, {"tenant": session.tenant, "ids": list(ids)})


async def load_document_records(session: Session, receipt_id: UUID, document: str) -> list[dict[str, Any]]:
    return await session.rows(
        "SELECT * FROM record WHERE tenant = :tenant AND receipt_id = :id AND document = :document ORDER BY number",
        {"tenant": session.tenant, "id": receipt_id, "document": document},
    )


async def delete_records(session: Session, receipt_id: UUID, document: str) -> None:
    await session.run(
        "DELETE FROM record WHERE tenant = :tenant AND receipt_id = :id AND document = :document",
        {"tenant": session.tenant, "id": receipt_id, "document": document},
    )


# A part counts as long as one receipt that was not undone, and is not being undone, says so.
_ONLY_HERE = """
SELECT DISTINCT r.part_id FROM record r
WHERE r.tenant = :tenant AND r.receipt_id = :id AND r.part_id IS NOT NULL AND r.document = :document
AND NOT EXISTS (
    SELECT FROM record o JOIN receipt x ON x.tenant = o.tenant AND x.id = o.receipt_id
    WHERE o.tenant = r.tenant AND o.part_id = r.part_id AND x.status NOT IN ('undoing', 'undone')
    AND (o.receipt_id <> r.receipt_id OR o.document <> :document))
ORDER BY r.part_id
"""


async def find_exclusive_parts(session: Session, receipt_id: UUID, document: str) -> list[UUID]:
    """Parts that only this document of the receipt brought, in the order in which they came."""
    return await session.scalars(_ONLY_HERE, {"tenant": session.tenant, "id": receipt_id, "document": document})


_PAGE_ONLY_HERE = """
WITH page AS MATERIALIZED (
    SELECT number, part_id FROM record WHERE tenant = :tenant AND receipt_id = :id AND number > :after
    ORDER BY number LIMIT :limit)
SELECT (SELECT count(*) FROM page) AS records, (SELECT max(number) FROM page) AS last, ARRAY(
    SELECT DISTINCT p.part_id FROM page p WHERE p.part_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM record o JOIN receipt x ON x.tenant = o.tenant AND x.id = o.receipt_id
        WHERE o.tenant = :tenant AND o.part_id = p.part_id AND o.receipt_id <> :id
        AND x.status NOT IN ('undoing', 'undone'))
    ORDER BY p.part_id) AS parts
"""


@dataclass(frozen=True)
class PageOnlyHere:
    """`records`: how many there are in the page; `last`: the number of the last one."""

    records: int
    last: int | None
    parts: list[UUID]


async def page_only_here(session: Session, receipt_id: UUID, after: int, limit: int) -> PageOnlyHere:
    """Of the receipt's records behind number `after`: the parts that only this receipt brought."""
    place = {"tenant": session.tenant, "id": receipt_id, "after": after, "limit": limit}
    row = await session.row(_PAGE_ONLY_HERE, place)
    assert row is not None, "it counts, and so gives a row"
    return PageOnlyHere(row["records"], row["last"], row["parts"])


_ACCEPT_HELD = """
WITH freed AS (
    UPDATE record r SET verdict = 'accepted', field = NULL, reason = NULL, cure = NULL FROM part p
    WHERE p.tenant = :tenant AND p.source = :source AND p.contact = ANY(cast(:contacts AS text[]))
    AND r.tenant = p.tenant AND r.part_id = p.id AND r.verdict = 'held' RETURNING r.receipt_id),
counted AS (SELECT receipt_id, count(*) AS n FROM freed GROUP BY receipt_id)
UPDATE receipt SET held = held - n, accepted = accepted + n FROM counted
WHERE receipt.tenant = :tenant AND receipt.id = counted.receipt_id
"""


async def accept_held(session: Session, source: str, contacts: Sequence[str]) -> None:
    """What was held of these contacts has taken effect."""
    if contacts:
        await session.run(_ACCEPT_HELD, {"tenant": session.tenant, "source": source, "contacts": list(contacts)})


_ACCEPT_HELD_AGENTS = """
WITH freed AS (
    UPDATE record SET verdict = 'accepted', field = NULL, reason = NULL, cure = NULL
    WHERE tenant = :tenant AND kind = 'agent_event' AND contact = ANY(cast(:agents AS text[])) AND verdict = 'held'
    AND receipt_id IN (SELECT id FROM receipt WHERE tenant = :tenant AND source = :source) RETURNING receipt_id),
counted AS (SELECT receipt_id, count(*) AS n FROM freed GROUP BY receipt_id)
UPDATE receipt SET held = held - n, accepted = accepted + n FROM counted
WHERE receipt.tenant = :tenant AND receipt.id = counted.receipt_id
"""


async def accept_held_agents(session: Session, source: str, agents: Sequence[str]) -> None:
    """What was held of these agents' states has taken effect."""
    if agents:
        await session.run(_ACCEPT_HELD_AGENTS, {"tenant": session.tenant, "source": source, "agents": list(agents)})
