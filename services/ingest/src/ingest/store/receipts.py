"""Queries of receipts."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict, get_args
from uuid import UUID

from contracts import Mode
from pydantic_core import to_json
from servicekit.errors import NotFound
from storage import InsertSpec, Session

from ingest.store.tables import receipt

Status = Literal["receiving", "queued", "reading", "done", "interrupted", "cancelled", "replaying", "undoing", "undone"]
Verdict = Literal["accepted", "unchanged", "corrected", "held", "rejected"]
OPEN_STATUSES = ("receiving", "queued", "reading")
BUSY_STATUSES = (*OPEN_STATUSES, "replaying")
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


class ReceiptRow(NamedTuple):
    """A stored receipt. `work`: progress of a replay or an undo; `digest`: of the request that had the idempotency key;
    `not_kept`: how many of the rejected records are only counted."""

    id: UUID
    source: str
    mode: Mode
    status: Status
    work: dict[str, Any] | None
    sent_by: UUID
    received_at: datetime
    finished_at: datetime | None
    touched_at: datetime
    idempotency_key: str | None
    digest: str | None
    notes: list[str]
    bytes: int
    received: int
    accepted: int
    unchanged: int
    corrected: int
    held: int
    rejected: int
    not_kept: int


_RECEIPT_COLUMNS = ", ".join(f"receipt.{name}" for name in ReceiptRow._fields)


# Rows to insert. They are dicts, because a bulk insert encodes them as JSON.


class UpsertReceipt(TypedDict):
    """A new receipt, or what another chunk adds to it: its counters are added to those of the stored receipt."""

    id: UUID
    source: str
    mode: Mode
    status: Status
    sent_by: UUID
    received_at: datetime
    finished_at: NotRequired[datetime]
    idempotency_key: str | None
    digest: NotRequired[str | None]
    notes: list[str]
    bytes: int
    received: int
    accepted: int
    unchanged: int
    corrected: int
    held: int
    rejected: int
    not_kept: int


_COUNTERS = ("received", "not_kept", *VERDICTS)
# A chunk adds its counters to those of the chunks before. A queued receipt keeps its status until it is done.
RECEIPTS = InsertSpec(
    receipt,
    tuple(UpsertReceipt.__annotations__),
    ("tenant",),
    "ON CONFLICT (tenant, id) DO UPDATE SET notes = excluded.notes, bytes = excluded.bytes, "
    "finished_at = coalesce(excluded.finished_at, receipt.finished_at), "
    "status = CASE WHEN excluded.status = 'done' AND receipt.status NOT IN ('cancelled', 'undoing', 'undone') THEN 'done' "
    "ELSE receipt.status END, "
    "digest = coalesce(excluded.digest, receipt.digest), "
    f"{', '.join(f'{name} = receipt.{name} + excluded.{name}' for name in _COUNTERS)}, touched_at = clock_timestamp() "
    f"RETURNING {_RECEIPT_COLUMNS}",
)


async def find(session: Session, receipt_id: UUID, *, lock: bool = False) -> ReceiptRow | None:
    """A receipt; None when it is unknown. `lock`: locks its row until the end of the transaction."""
    rows = await session.tuples(
        f"SELECT {_RECEIPT_COLUMNS} FROM receipt WHERE tenant = :tenant AND id = :id {'FOR UPDATE' if lock else ''}",  # noqa: S608
        {"tenant": session.tenant, "id": receipt_id},
    )
    return ReceiptRow(*rows[0]) if rows else None


async def find_open(session: Session, source: str, most: int = 5) -> list[UUID]:
    """Up to `most` receipts of a source whose body is still received or read, the oldest first."""
    return await session.scalars(
        "SELECT id FROM receipt WHERE tenant = :tenant AND source = :source AND status = ANY(cast(:open AS text[])) "
        "ORDER BY received_at LIMIT :most",
        {"tenant": session.tenant, "source": source, "open": list(OPEN_STATUSES), "most": most},
    )


async def find_by_idempotency_key(session: Session, person: UUID, key: str) -> ReceiptRow | None:
    """The newest receipt of this sender and key whose body was received completely."""
    rows = await session.tuples(
        f"SELECT {_RECEIPT_COLUMNS} FROM receipt "  # noqa: S608
        "WHERE tenant = :tenant AND sent_by = :person AND idempotency_key = :key "
        "AND status IN ('done', 'queued', 'replaying', 'undoing', 'undone') ORDER BY received_at DESC LIMIT 1",
        {"tenant": session.tenant, "person": person, "key": key},
    )
    return ReceiptRow(*rows[0]) if rows else None


async def load_page(
    session: Session, source: str | None, limit: int, after: tuple[Any, ...] | None
) -> list[ReceiptRow]:
    """Receipts, the newest first. `source` None: of all sources; `after`: time of arrival and id of the last receipt of the
    page before."""
    rows = await session.tuples(
        f"SELECT {_RECEIPT_COLUMNS} FROM receipt "  # noqa: S608
        "WHERE tenant = :tenant AND (cast(:source AS text) IS NULL OR source = :source) "
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
    return [ReceiptRow(*row) for row in rows]


async def count_queued(session: Session) -> int:
    """How many bodies of the tenant wait to be read."""
    return await session.scalar(
        "SELECT count(*) FROM receipt WHERE tenant = :tenant AND status = 'queued'", {"tenant": session.tenant}
    )


async def require(session: Session, receipt_id: UUID, *, lock: bool = False) -> ReceiptRow:
    """As `find`. Raises NotFound when the receipt is unknown."""
    row = await find(session, receipt_id, lock=lock)
    if row is None:
        raise NotFound("unknown-receipt", f"There is no receipt `{receipt_id}`.")
    return row


async def mark(session: Session, receipt_id: UUID, status: Status, work: Mapping[str, Any] | None = None) -> None:
    """Sets the status, and the progress of a replay or an undo."""
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
    """Sets the status `interrupted` if the body is still received or read."""
    await session.run(
        "UPDATE receipt SET status = 'interrupted', finished_at = :now, touched_at = clock_timestamp() "
        "WHERE tenant = :tenant AND id = :id AND status IN ('reading', 'receiving')",
        {"tenant": session.tenant, "id": receipt_id, "now": session.now},
    )


async def is_open(session: Session, receipt_id: UUID) -> bool:
    """Whether more of its body may be read: it is not cancelled, interrupted or done."""
    status = await session.scalar(
        "SELECT status FROM receipt WHERE tenant = :tenant AND id = :id", {"tenant": session.tenant, "id": receipt_id}
    )
    return status in OPEN_STATUSES


async def mark_queued(session: Session, receipt_id: UUID, size: int, digest: str | None) -> None:
    """Sets the status `queued` for a body of `size` bytes that is completely spooled, unless it was cancelled meanwhile."""
    await session.run(
        "UPDATE receipt SET bytes = :size, digest = :digest, touched_at = clock_timestamp(), "
        "status = CASE status WHEN 'receiving' THEN 'queued' ELSE status END WHERE tenant = :tenant AND id = :id",
        {"tenant": session.tenant, "id": receipt_id, "size": size, "digest": digest},
    )


async def mark_cancelled(session: Session, receipt_id: UUID) -> bool:
    """Sets the status `cancelled`. False when the body is no longer received or read."""
    return bool(
        await session.run(
            "UPDATE receipt SET status = 'cancelled', finished_at = :now, touched_at = clock_timestamp() "
            "WHERE tenant = :tenant AND id = :id AND status = ANY(cast(:open AS text[]))",
            {"tenant": session.tenant, "id": receipt_id, "now": session.now, "open": list(OPEN_STATUSES)},
        )
    )


async def recount(session: Session, receipt_id: UUID) -> None:
    """Counts the verdicts anew into the receipt's counters."""
    sums = ", ".join(f"count(*) FILTER (WHERE verdict = '{name}') AS {name}" for name in VERDICTS)
    others = ", ".join(f"{name} = counted.{name}" for name in VERDICTS if name != "rejected")
    await session.run(
        f"UPDATE receipt SET received = counted.received + not_kept, rejected = counted.rejected + not_kept, {others}, "  # noqa: S608
        f"touched_at = clock_timestamp() FROM (SELECT count(*) AS received, {sums} "
        "FROM record WHERE tenant = :tenant AND receipt_id = :id) AS counted "
        "WHERE receipt.tenant = :tenant AND receipt.id = :id",
        {"tenant": session.tenant, "id": receipt_id},
    )


async def load_document_ids(session: Session, receipt_id: UUID) -> list[str]:
    """Ids of the raw documents of a receipt, in order."""
    return await session.scalars(
        "SELECT DISTINCT document FROM record WHERE tenant = :tenant AND receipt_id = :id ORDER BY document",
        {"tenant": session.tenant, "id": receipt_id},
    )


# The id of a document begins with that of its receipt; the id of a raw one ends with the number of its first record. While
# a body is being read, its documents count as used: a retry writes the same ids.
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
    """Those of these spooled pieces whose body is no longer being read."""
    return await session.scalars(_UNUSED_SPOOL, {"tenant": session.tenant, "ids": list(ids)})


async def find_unused_raw(session: Session, ids: Sequence[str]) -> list[str]:
    """Those of these raw documents that no record names: the transaction that wrote them failed."""
    return await session.scalars(_UNUSED_RAW, {"tenant": session.tenant, "ids": list(ids)})
