"""Deliveries by channel, their attempts, and the lease that keeps two workers from sending the same one."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert
from storage import InsertSpec, Session

from notification.model.notice_composer import Delivery
from notification.store.tables import attempt, delivery


async def insert_deliveries(session: Session, wanted: Iterable[Delivery]) -> set[UUID]:
    """Queues those that are pending. Returns the ids of those that are new: there is one for a notice and channel, and
    one for a webhook and event."""
    rows = list(wanted)
    ids = {row["id"] for row in await session.insert_rows(_ADD, map(_row, rows))}
    if pending := [each for each in rows if each.id in ids and each.state == "pending"]:
        await _schedule_due(session, pending)
    return ids


_ADD = InsertSpec(
    delivery,
    tuple(column.name for column in delivery.columns if column.name != "leased_until"),
    suffix_sql="ON CONFLICT DO NOTHING RETURNING id",
)


def _row(each: Delivery) -> dict[str, Any]:
    next_at = each.at if each.state == "pending" else None
    return {**vars(each), "attempts": 0, "created_at": each.at, "next_at": next_at}


async def _schedule_due(session: Session, pending: Iterable[Delivery]) -> None:
    """New deliveries fall due at once."""
    due = [{"tenant": each.tenant, "ref": each.id, "at": each.at, "body": {}} for each in pending]
    await session.schedule_all("deliver", due)


async def claim(session: Session, id: UUID, *, lease_seconds: float, started_at: datetime) -> dict[str, Any] | None:
    """Takes the delivery for one attempt, `attempts` being its number. None when it is finished or another worker
    holds it. An attempt whose lease ran out was interrupted, and says so in the timeline."""
    row = await session.row(
        "UPDATE delivery SET state = 'sending', attempts = attempts + 1, next_at = NULL, "
        "leased_until = clock_timestamp() + make_interval(secs => :lease) "
        "WHERE tenant = :tenant AND id = :id "
        "AND (state = 'pending' OR (state = 'sending' AND leased_until < clock_timestamp())) RETURNING *",
        {"tenant": session.tenant, "id": id, "lease": lease_seconds},
    )
    if row is None:
        return None
    await session.execute(
        "UPDATE attempt SET outcome = 'interrupted', finished_at = :now "
        "WHERE tenant = :tenant AND delivery_id = :id AND outcome = 'sending'",
        {"tenant": session.tenant, "id": id, "now": started_at},
    )
    values = {"number": row["attempts"], "started_at": started_at, "outcome": "sending", "detail": ""}
    await session.execute(insert(attempt).values(tenant=session.tenant, delivery_id=id, **values))
    return row


async def finish_attempt(
    session: Session, id: UUID, number: int, *, outcome: str, status: int | None, detail: str, finished_at: datetime
) -> None:
    """Records the outcome of an attempt. `status`: the HTTP or SMTP code; None without an answer."""
    await session.execute(
        "UPDATE attempt SET outcome = :outcome, status = :status, detail = :detail, finished_at = :at "
        "WHERE tenant = :tenant AND delivery_id = :id AND number = :number",
        {
            "tenant": session.tenant,
            "id": id,
            "number": number,
            "outcome": outcome,
            "status": status,
            "detail": detail,
            "at": finished_at,
        },
    )


async def finish_delivery(
    session: Session, id: UUID, number: int, *, state: str, detail: str, next_at: datetime | None = None
) -> bool:
    """Ends attempt `number`. False when the lease ran out meanwhile and another attempt has begun."""
    settled = await session.execute(
        "UPDATE delivery SET state = :state, detail = :detail, next_at = :next_at, leased_until = NULL "
        "WHERE tenant = :tenant AND id = :id AND state = 'sending' AND attempts = :number",
        {
            "tenant": session.tenant,
            "id": id,
            "number": number,
            "state": state,
            "detail": detail,
            "next_at": next_at,
        },
    )
    return settled.rowcount == 1


async def cancel_pending(session: Session, webhook: str, detail: str) -> None:
    """What waits for this endpoint is not sent any more."""
    await session.execute(
        "UPDATE delivery SET state = 'cancelled', detail = :detail, next_at = NULL "
        "WHERE tenant = :tenant AND webhook = :webhook AND state = 'pending'",
        {"tenant": session.tenant, "webhook": webhook, "detail": detail},
    )


async def requeue(session: Session, webhook: str, id: UUID) -> bool:
    """A delivery that failed or was cancelled starts over. False when there is none such."""
    revived = await session.execute(
        "UPDATE delivery SET state = 'pending', detail = '', next_at = :now "
        "WHERE tenant = :tenant AND webhook = :webhook AND id = :id AND state IN ('failed', 'cancelled')",
        {"tenant": session.tenant, "webhook": webhook, "id": id, "now": session.now},
    )
    return revived.rowcount == 1


async def find_state(session: Session, id: UUID) -> str | None:
    """The delivery's state; None: there is no such delivery."""
    return await session.scalar(
        "SELECT state FROM delivery WHERE tenant = :tenant AND id = :id", {"tenant": session.tenant, "id": id}
    )


async def load_by_notice(session: Session, notice_id: UUID) -> list[dict[str, Any]]:
    """Deliveries of a notice with their attempts, oldest first."""
    rows = await session.rows(
        "SELECT * FROM delivery WHERE tenant = :tenant AND notice_id = :notice ORDER BY id",
        {"tenant": session.tenant, "notice": notice_id},
    )
    return await _load_attempts(session, rows)


async def load_by_webhook(session: Session, webhook: str, *, before: UUID | None, limit: int) -> list[dict[str, Any]]:
    """Newest first."""
    rows = await session.rows(
        "SELECT * FROM delivery WHERE tenant = :tenant AND webhook = :webhook "
        "AND (cast(:before AS uuid) IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit",
        {"tenant": session.tenant, "webhook": webhook, "before": before, "limit": limit},
    )
    return await _load_attempts(session, rows)


async def _load_attempts(session: Session, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    attempts = await session.rows(
        "SELECT * FROM attempt WHERE tenant = :tenant AND delivery_id = ANY(cast(:ids AS uuid[])) ORDER BY number",
        {"tenant": session.tenant, "ids": [row["id"] for row in rows]},
    )
    return [row | {"timeline": [each for each in attempts if each["delivery_id"] == row["id"]]} for row in rows]
