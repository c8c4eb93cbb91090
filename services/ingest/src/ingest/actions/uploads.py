"""An upload: the body of a request, and its receipt."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from contracts import Mode
from servicekit import Lease
from storage import Session

from ingest.actions.reject_limits import RejectLimits, RejectTally
from ingest.model.sources import Source
from ingest.store import receipts
from ingest.store.receipts import ReceiptRow, Status, UpsertReceipt
from ingest.store.records import RecordRow

ABANDONED_AFTER = timedelta(hours=1)

SessionFactory = Callable[[str, datetime], AbstractAsyncContextManager[Session]]
UploadResult = tuple[ReceiptRow, list[RecordRow]]
"""A receipt, and its first rejected or held records."""


class ClientDisconnected(Exception):
    """The client closed the connection before the response."""


class UploadCancelled(Exception):
    """The receipt was cancelled or undone while its body was read."""


class Digest(Protocol):
    """A running hash, such as hashlib makes."""

    def update(self, data: bytes, /) -> None:
        """Adds data."""
        ...

    def hexdigest(self) -> str:
        """The hash of the data so far, in hexadecimal digits."""
        ...


@dataclass
class Upload:
    """The body of a request, while it is read. `digest`: of the request, if it has an idempotency key. `judged_records`: how
    many records were judged before an interruption. `lease`: of the due item, if a spooled body is read. `is_disconnected`:
    whether the client closed the connection."""

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
    """Limits of uploads, as in `IngestSettings`; sizes in MB."""

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


def new_receipt(upload: Upload, status: Status) -> UpsertReceipt:
    """The receipt of an upload of which nothing is judged yet."""
    return {
        "id": upload.receipt_id,
        "source": upload.source.slug,
        "mode": upload.mode,
        "status": status,
        "sent_by": upload.sent_by,
        "received_at": upload.now,
        "idempotency_key": upload.idempotency_key,
        "notes": [],
        "bytes": 0,
        "received": 0,
        "accepted": 0,
        "unchanged": 0,
        "corrected": 0,
        "held": 0,
        "rejected": 0,
        "not_kept": 0,
    }


def hexdigest(upload: Upload) -> str | None:
    """The digest of what was read of the request; None without an idempotency key."""
    return None if upload.digest is None else upload.digest.hexdigest()


async def mark_interrupted(session: Session, receipt_id: UUID) -> None:
    """Sets the status `interrupted`, if the body is still received or read."""
    await receipts.mark_interrupted(session, receipt_id)
    await session.unschedule("abandoned", str(receipt_id))


async def cancel(session: Session, receipt_id: UUID) -> bool:
    """Stops the reading of a body; what was judged stays. False when the body is no longer received or read."""
    if not await receipts.mark_cancelled(session, receipt_id):
        return False
    await session.unschedule("abandoned", str(receipt_id))
    return True
