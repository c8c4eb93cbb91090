"""A body to take in, and its receipt."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from contracts import Mode
from servicekit import Lease
from storage import Session

from ingest.actions.reject_limits import RejectLimits, RejectTally
from ingest.model.sources import Source
from ingest.store import receipts

ABANDONED_AFTER = timedelta(hours=1)

SessionFactory = Callable[[str, datetime], AbstractAsyncContextManager[Session]]
UploadResult = tuple[dict[str, Any], list[dict[str, Any]]]
"""A receipt, and the first of its records that were rejected or are held."""


class ClientDisconnected(Exception):
    """Nobody waits for the answer any more."""


class UploadCancelled(Exception):
    """The receipt was cancelled while its body was read."""


class Digest(Protocol):
    """A running hash, such as hashlib makes."""

    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


@dataclass
class Upload:
    """A body to take in. `judged`: records of it that were judged before an interruption. `digest`: of the request,
    where it came with an idempotency key. `lease`: of the due item by which it is read. `left`:
    whether the sender has gone."""

    tenant: str
    receipt_id: UUID
    source: Source
    mode: Mode
    sent_by: UUID
    now: datetime
    idempotency_key: str | None = None
    digest: "Digest | None" = None
    judged_records: int = 0
    has_receipt: bool = False
    bytes_read: int = 0
    lease: Lease | None = None
    is_disconnected: Callable[[], Awaitable[bool]] | None = None
    tally: RejectTally = field(default_factory=lambda: RejectTally(RejectLimits()))


@dataclass
class Quota:
    """Sizes in MB; what each means is said in settings.py."""

    body_mb: int
    inflated_mb: int
    record_mb: int
    chunk_records: int
    uploads_per_tenant: int
    uploads: int
    queued_per_tenant: int
    records: int
    records_per_tenant_hour: int
    rejects: int
    rejects_kept: int
    rejects_per_tenant_hour: int


def new_receipt(order: Upload, status: str) -> dict[str, Any]:
    """A receipt of which nothing is judged yet."""
    return {
        "id": order.receipt_id,
        "source": order.source.slug,
        "mode": order.mode,
        "status": status,
        "sent_by": order.sent_by,
        "received_at": order.now,
        "idempotency_key": order.idempotency_key,
        "notes": [],
        "bytes": 0,
        "received": 0,
        "not_kept": 0,
        **dict.fromkeys(receipts.VERDICTS, 0),
    }


def hexdigest(order: Upload) -> str | None:
    return None if order.digest is None else order.digest.hexdigest()


async def mark_interrupted(session: Session, receipt_id: UUID) -> None:
    """Marks a receipt whose body broke off."""
    await receipts.mark_interrupted(session, receipt_id)
    await session.unschedule("abandoned", str(receipt_id))


async def cancel(session: Session, receipt_id: UUID) -> bool:
    """Nothing more of the body is read; what was judged stands. Returns whether there was anything to cancel."""
    if not await receipts.mark_cancelled(session, receipt_id):
        return False
    await session.unschedule("abandoned", str(receipt_id))
    return True
