"""Deliveries by channel, their attempts, and the lease that stops two workers from sending the same delivery."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import insert
from storage import InsertSpec, Session

from notification.model.notice_composer import Delivery
from notification.store.tables import attempt, delivery


class ClaimedDelivery(NamedTuple):
    """A delivery claimed for attempt `attempt_number`. Either `webhook` and `payload` are set, or `notice_id`."""

    id: UUID
    channel: str
    notice_id: UUID | None
    webhook: str | None
    event_id: UUID
    payload: str | None
    attempt_number: int


class AttemptRow(NamedTuple):
    """An attempt, with times of the wall clock. `status`: the HTTP or SMTP code; None without a response."""

    number: int
    started_at: datetime
    finished_at: datetime | None
    outcome: str
    status: int | None
    detail: str


class DeliveryRow(NamedTuple):
    """A delivery with its attempts, oldest first. `next_at`: when the next attempt falls due; None when there is none."""

    id: UUID
    channel: str
    event_type: str
    event_id: UUID
    state: str
    detail: str
    attempts: int
    created_at: datetime
    next_at: datetime | None
    timeline: list[AttemptRow]


_ATTEMPT_COLUMNS = ", ".join(AttemptRow._fields)
_DELIVERY_COLUMNS = ", ".join(DeliveryRow._fields[:-1])


async def insert_deliveries(session: Session, deliveries: Iterable[Delivery]) -> set[UUID]:
    """Inserts the deliveries and schedules the pending ones. Returns the ids of the new ones: a delivery is unique by
    notice and channel, or by webhook and event."""
    added = list(deliveries)
    ids = {row["id"] for row in await session.insert_rows(_INSERT, map(_to_columns, added))}
    if pending := [each for each in added if each.id in ids and each.state == "pending"]:
        await _schedule_due(session, pending)
    return ids


_INSERT = InsertSpec(
    delivery,
    tuple(column.name for column in delivery.columns if column.name != "leased_until"),
    suffix_sql="ON CONFLICT DO NOTHING RETURNING id",
)


def _to_columns(each: Delivery) -> dict[str, Any]:
    next_at = each.at if each.state == "pending" else None
    return {**vars(each), "attempts": 0, "created_at": each.at, "next_at": next_at}


async def _schedule_due(session: Session, pending: Iterable[Delivery]) -> None:
    """New deliveries fall due at once."""
    due: list[dict[str, Any]] = [{"tenant": each.tenant, "ref": each.id, "at": each.at, "body": {}} for each in pending]
    await session.schedule_all("deliver", due)


async def claim(session: Session, id: UUID, *, lease_seconds: float, started_at: datetime) -> ClaimedDelivery | None:
    """Claims the delivery for its next attempt. None when it is finished or another worker holds the lease. An earlier
    attempt whose lease expired gets the outcome `interrupted`."""
    rows = await session.tuples(
        "UPDATE delivery SET state = 'sending', attempts = attempts + 1, next_at = NULL, "
        "leased_until = clock_timestamp() + make_interval(secs => :lease) "
        "WHERE tenant = :tenant AND id = :id "
        "AND (state = 'pending' OR (state = 'sending' AND leased_until < clock_timestamp())) "
        "RETURNING id, channel, notice_id, webhook, event_id, payload, attempts",
        {"tenant": session.tenant, "id": id, "lease": lease_seconds},
    )
    if not rows:
        return None
    claimed = ClaimedDelivery(*rows[0])
    await session.execute(
        "UPDATE attempt SET outcome = 'interrupted', finished_at = :now "
        "WHERE tenant = :tenant AND delivery_id = :id AND outcome = 'sending'",
        {"tenant": session.tenant, "id": id, "now": started_at},
    )
    values = {"number": claimed.attempt_number, "started_at": started_at, "outcome": "sending", "detail": ""}
    await session.execute(insert(attempt).values(tenant=session.tenant, delivery_id=id, **values))
    return claimed


async def finish_attempt(
    session: Session, id: UUID, number: int, *, outcome: str, status: int | None, detail: str, finished_at: datetime
) -> None:
    """Records the outcome of an attempt. `status`: the HTTP or SMTP code; None without a response."""
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
    """Ends attempt `number`. False when its lease expired and another attempt has started."""
    updated = await session.execute(
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
    return updated.rowcount == 1


async def cancel_pending(session: Session, webhook: str, detail: str) -> None:
    """Cancels the pending deliveries to a webhook."""
    await session.execute(
        "UPDATE delivery SET state = 'cancelled', detail = :detail, next_at = NULL "
        "WHERE tenant = :tenant AND webhook = :webhook AND state = 'pending'",
        {"tenant": session.tenant, "webhook": webhook, "detail": detail},
    )


async def requeue(session: Session, webhook: str, id: UUID) -> bool:
    """Makes a failed or cancelled delivery pending again. False when there is no such delivery."""
    updated = await session.execute(
        "UPDATE delivery SET state = 'pending', detail = '', next_at = :now "
        "WHERE tenant = :tenant AND webhook = :webhook AND id = :id AND state IN ('failed', 'cancelled')",
        {"tenant": session.tenant, "webhook": webhook, "id": id, "now": session.now},
    )
    return updated.rowcount == 1


async def find_state(session: Session, id: UUID) -> str | None:
    """The delivery's state, or None."""
    return await session.scalar(
        "SELECT state FROM delivery WHERE tenant = :tenant AND id = :id", {"tenant": session.tenant, "id": id}
    )


async def load_by_notice(session: Session, notice_id: UUID) -> list[DeliveryRow]:
    """Deliveries of a notice, oldest first."""
    rows = await session.tuples(
        f"SELECT {_DELIVERY_COLUMNS} FROM delivery WHERE tenant = :tenant AND notice_id = :notice ORDER BY id",  # noqa: S608
        {"tenant": session.tenant, "notice": notice_id},
    )
    return await _load_attempts(session, rows)


async def load_by_webhook(session: Session, webhook: str, *, before: UUID | None, limit: int) -> list[DeliveryRow]:
    """Deliveries to a webhook, newest first. `before`: the last id of the page before."""
    rows = await session.tuples(
        f"SELECT {_DELIVERY_COLUMNS} FROM delivery WHERE tenant = :tenant AND webhook = :webhook "  # noqa: S608
        "AND (cast(:before AS uuid) IS NULL OR id < :before) ORDER BY id DESC LIMIT :limit",
        {"tenant": session.tenant, "webhook": webhook, "before": before, "limit": limit},
    )
    return await _load_attempts(session, rows)


async def _load_attempts(session: Session, rows: list[tuple[Any, ...]]) -> list[DeliveryRow]:
    """The deliveries, given by the values of `_DELIVERY_COLUMNS`, with their attempts."""
    deliveries = [DeliveryRow(*row, timeline=[]) for row in rows]
    timelines = {each.id: each.timeline for each in deliveries}
    found = await session.tuples(
        f"SELECT delivery_id, {_ATTEMPT_COLUMNS} FROM attempt "  # noqa: S608
        "WHERE tenant = :tenant AND delivery_id = ANY(cast(:ids AS uuid[])) ORDER BY number",
        {"tenant": session.tenant, "ids": list(timelines)},
    )
    for delivery_id, *attempt_values in found:
        timelines[delivery_id].append(AttemptRow(*attempt_values))
    return deliveries
