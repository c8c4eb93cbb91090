"""Receives bodies chunk by chunk, each chunk in a transaction of its own. While one chunk is judged the next is read; there
are never more than these two in memory.

The raw records are durable before the transaction that judges them commits. A process that dies leaves a receipt with the
status `reading`: what was judged stays, the clock door marks the receipt as interrupted, and sending the same file again
completes it, because records that are stored already are recognised. A body that was accepted with 202 is read again from
its spool.
"""

import asyncio
import hmac
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from uuid import UUID

from servicekit import DueItem, Lease
from servicekit.errors import Invalid, TooLarge, TooMany
from storage import Document, DocumentStore, MultiInsert, Session

from ingest.actions import archive, replay
from ingest.actions.intake import Chunk, judge_chunk, new_chunk, write_chunk
from ingest.actions.reject_limits import (
    HourlyCounter,
    RejectLimits,
    RejectTally,
    hourly_limit_refusal,
    whole_body_record,
)
from ingest.actions.sources import load_source
from ingest.actions.spool import PIECE_BYTES, Spool
from ingest.actions.time_slices import TimeSlice, iterate_in_slices
from ingest.actions.uploads import (
    ABANDONED_AFTER,
    ClientDisconnected,
    Quota,
    SessionFactory,
    Upload,
    UploadCancelled,
    UploadResult,
    hexdigest,
    mark_interrupted,
    new_receipt,
)
from ingest.model.payload import Limits, Payload, Record
from ingest.model.refusal import Refusal
from ingest.store import interactions, receipts, records
from ingest.store.receipts import Status, UpsertReceipt
from ingest.store.sql import is_deadlock

CHUNK_CHARS = 2 << 20
"""Of four bytes at most; a CSV row stores them twice. Packed with gzip they fit into a document."""
LARGE_CHUNK_CHARS = 1 << 18
_MAX_ATTEMPTS = 4
_ANALYZE_AFTER_CHUNKS = frozenset(4**power for power in range(10))


@dataclass
class UploadService:
    """Receives and replays the bodies of all tenants. `begin_session(tenant, now)` opens a session, which commits on a
    clean exit; `secret`: of the installation."""

    documents: DocumentStore
    begin_session: SessionFactory
    secret: bytes
    quota: Quota
    _active_uploads: Counter[str] = field(default_factory=Counter[str])
    _chunks_taken: int = 0

    def __post_init__(self) -> None:
        self.spool_store = Spool(self.documents)
        self._hourly_records = HourlyCounter(self.quota.records_per_tenant_hour)
        self._hourly_rejects = HourlyCounter(self.quota.rejects_per_tenant_hour)

    @property
    def limits(self) -> Limits:
        """The limits of one body."""
        quota = self.quota
        return Limits(record_bytes=quota.record_mb << 20, inflated_bytes=quota.inflated_mb << 20, records=quota.records)

    def tally(self, seen: int = 0, rejected: int = 0, kept: int = 0) -> RejectTally:
        """The counts of a body of which some records may have been read before."""
        quota = self.quota
        bounds = RejectLimits(
            max_rejects=quota.rejects, max_listed=quota.rejects_kept, max_rejects_per_hour=quota.rejects_per_tenant_hour
        )
        return RejectTally(bounds, seen, rejected, kept)

    def _secret(self, tenant: str) -> bytes:
        """The key of the tenant's customer hashes: each tenant has another hash of the same number."""
        return hmac.digest(self.secret, f"customer {tenant}".encode(), "sha256")

    @contextmanager
    def reserve_slot(self, tenant: str) -> Generator[None]:
        """Reserves a slot for one upload while the context lasts. Raises TooMany when all are in use, or when the tenant
        sent too much within the hour."""
        if (
            self._active_uploads[tenant] >= self.quota.uploads_per_tenant
            or self._active_uploads.total() >= self.quota.uploads
        ):
            raise TooMany("busy", "Too many uploads at the same time. Send this one again in a moment.", retry_after=2)
        if wait := self._hourly_records.retry_after_seconds(tenant) or self._hourly_rejects.retry_after_seconds(tenant):
            reason = "Too many records came, or were rejected, within the hour. Send this upload again later."
            raise TooMany("hour-full", reason, retry_after=wait)
        self._active_uploads[tenant] += 1
        try:
            yield
        finally:
            self._active_uploads[tenant] -= 1
            if not self._active_uploads[tenant]:
                del self._active_uploads[tenant]

    def check_size(self, size: int) -> None:
        """Raises TooLarge for a body of this size, in bytes."""
        if size > self.quota.body_mb << 20:
            raise TooLarge("body-too-large", f"The body is larger than {self.quota.body_mb} MB. Send it in parts.")

    async def judge_upload(self, upload: Upload, body: AsyncIterator[bytes]) -> UploadResult:
        """Judges the whole body. If the client disconnects or the receipt is cancelled, what was judged stays, and the
        receipt's status says so. Raises ClientDisconnected, and TooLarge."""
        upload.tally = self.tally()
        try:
            return await self._judge_upload(upload, body)
        except UploadCancelled:
            return await self._load_result(upload)
        except BaseException:
            if upload.has_receipt:
                await asyncio.shield(self._mark_interrupted(upload))
            raise

    async def _judge_upload(self, upload: Upload, body: AsyncIterator[bytes]) -> UploadResult:
        judging: asyncio.Task[UploadResult] | None = None
        try:
            async for chunk, notes in self._read_chunks(upload, body):
                if judging is not None:
                    await asyncio.shield(judging)
                judging = asyncio.create_task(self._judge_chunk(upload, chunk, upload.bytes_read, notes))
        finally:
            # Also if the client disconnects: the chunk that was read is judged.
            if judging is not None:
                await asyncio.shield(judging)
        assert judging is not None, "the last chunk is yielded even if it is empty"
        return judging.result()

    async def _read_chunks(  # noqa: C901 - a state machine: the chunk, the tally, the end
        self, upload: Upload, body: AsyncIterator[bytes]
    ) -> AsyncGenerator[tuple[Chunk, list[str] | None]]:
        """The full chunks, each without notes; then the last one with the notes on the whole body."""
        payload = Payload(self.limits, upload.source.format.layout, upload.source.check_columns)
        secret, tally = self._secret(upload.tenant), upload.tally

        def begin_chunk() -> Chunk:
            return new_chunk(upload.receipt_id, upload.mode, upload.source, now=upload.now, secret=secret)

        chunk, stop_reason = begin_chunk(), None
        async for record in self._read_records(upload, body, payload):
            if record.number <= upload.judged_records:
                continue
            if len(record.raw) > CHUNK_CHARS:
                record = await asyncio.to_thread(archive.truncate_oversized, record)
            full = bool(chunk.records) and chunk.size + len(record.raw) > CHUNK_CHARS
            if full or len(chunk) >= self.quota.chunk_records:
                yield chunk, None
                if upload.is_disconnected is not None and await upload.is_disconnected():
                    raise ClientDisconnected
                chunk = begin_chunk()
            outcome = chunk.add(record)
            if record.is_whole_body or not isinstance(outcome, Refusal):
                tally.accept()
                continue
            if not tally.reject(outcome):
                chunk.drop_last()
            stop_reason = tally.find_stop_reason() or self._count_reject_in_hour(upload)
            if stop_reason is not None:
                if tally.seen == tally.rejected == len(chunk):
                    tally.kept -= chunk.truncate(tally.bounds.max_examples)
                chunk.add(whole_body_record(record.number + 1, record.line, stop_reason))
                break
        if tally.rejected > tally.kept:
            more = tally.rejected - tally.kept
            payload.notes.append(f"{more:,} more records were rejected; only the first {tally.kept:,} are listed.")
        yield chunk, payload.notes

    def _count_reject_in_hour(self, upload: Upload) -> Refusal | None:
        self._hourly_rejects.add(upload.tenant, 1)
        return (
            hourly_limit_refusal(self.quota.rejects_per_tenant_hour)
            if self._hourly_rejects.retry_after_seconds(upload.tenant)
            else None
        )

    async def _read_records(
        self, upload: Upload, body: AsyncIterator[bytes], payload: Payload
    ) -> AsyncGenerator[Record]:
        if upload.source.status != "active":
            cure = "Set its status to active, and send the file again."
            yield whole_body_record(
                upload.judged_records + 1,
                1,
                Refusal("", f"The source `{upload.source.slug}` is {upload.source.status}.", cure),
            )
            return
        time_slice = TimeSlice()
        async for data in body:
            self._count_and_hash(upload, data)
            async for record in iterate_in_slices(payload.feed_in_steps(data), payload, time_slice):
                yield record
            if payload.is_broken:
                break
        async for record in iterate_in_slices(payload.close(), payload, time_slice):
            yield record

    def _count_and_hash(self, upload: Upload, data: bytes) -> None:
        upload.bytes_read += len(data)
        self.check_size(upload.bytes_read)
        if upload.digest is not None:
            upload.digest.update(data)

    async def _judge_chunk(self, upload: Upload, chunk: Chunk, size: int, notes: list[str] | None) -> UploadResult:
        """Judges a chunk in a transaction. `size`: bytes of the body so far; `notes`: on the whole body, with the last
        chunk."""
        result = await self._judge_with_retry(upload, chunk, size, notes)
        upload.has_receipt = True
        self._hourly_records.add(upload.tenant, len(chunk))
        self._chunks_taken += 1
        if self._chunks_taken in _ANALYZE_AFTER_CHUNKS:
            async with self.begin_session(upload.tenant, upload.now) as session:
                await interactions.refresh_statistics(session)
        return result

    async def _judge_with_retry(self, upload: Upload, chunk: Chunk, size: int, notes: list[str] | None) -> UploadResult:
        raw = [await _pack_chunk(chunk)] if chunk.records else []
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            try:
                async with self._begin_session(upload) as session:
                    return await self._judge_in_transaction(session, upload, chunk, raw, size, notes)
            except Exception as error:
                # Two uploads of the same interactions may deadlock; the aborted one is retried.
                if attempt == _MAX_ATTEMPTS or not is_deadlock(error):
                    raise
                await asyncio.sleep(0.05 * attempt)
        raise AssertionError("the last attempt returns or raises")

    def _begin_session(self, upload: Upload) -> AbstractAsyncContextManager[Session]:
        return upload.lease.begin() if upload.lease else self.begin_session(upload.tenant, upload.now)

    async def _judge_in_transaction(
        self, session: Session, upload: Upload, chunk: Chunk, raw: list[Document], size: int, notes: list[str] | None
    ) -> UploadResult:
        if upload.has_receipt and not await receipts.is_open(session, upload.receipt_id):
            raise UploadCancelled
        batch = MultiInsert()
        verdicts = await judge_chunk(session, self.documents, chunk, batch, raw=raw) if chunk.records else []
        counts = Counter(row["verdict"] for row in verdicts)
        receipt: UpsertReceipt = {
            **new_receipt(upload, "reading"),
            "bytes": size,
            "received": len(chunk),
            "accepted": counts["accepted"],
            "unchanged": counts["unchanged"],
            "corrected": counts["corrected"],
            "held": counts["held"],
            "rejected": counts["rejected"] + chunk.not_kept,
            "not_kept": chunk.not_kept,
        }
        if notes is not None:
            receipt["status"], receipt["finished_at"] = "done", upload.now
            receipt["notes"], receipt["digest"] = notes, hexdigest(upload)
            if upload.has_receipt:
                await session.unschedule("abandoned", str(upload.receipt_id))
        elif not upload.has_receipt:
            await session.schedule("abandoned", str(upload.receipt_id), upload.now + ABANDONED_AFTER)
        batch.add(receipts.RECEIPTS, [receipt])
        (row,) = await write_chunk(session, chunk, batch)
        if row.status in ("undoing", "undone"):
            raise UploadCancelled  # else the chunk would restore what the undo removes
        return row, await records.load_problems(session, row) if notes is not None else []

    async def insert_receipt(self, session: Session, upload: Upload, status: Status) -> None:
        """Inserts the receipt of an upload of which nothing is judged yet."""
        await session.insert_rows(receipts.RECEIPTS, [new_receipt(upload, status)])

    async def verify_same_body(self, upload: Upload, body: AsyncIterator[bytes], digest: str | None) -> None:
        """Reads a body whose idempotency key is known. Raises Invalid when it differs from the first one with that key."""
        async for data in body:
            self._count_and_hash(upload, data)
        if hexdigest(upload) != digest:
            cure = "This Idempotency-Key was used for another request. Use a new one."
            raise Invalid("idempotency-key-reused", cure)

    async def _load_result(self, upload: Upload) -> UploadResult:
        async with self.begin_session(upload.tenant, upload.now) as session:
            row = await receipts.find(session, upload.receipt_id)
            assert row is not None, "only an inserted receipt can be cancelled"
            return row, await records.load_problems(session, row)

    async def _mark_interrupted(self, upload: Upload) -> None:
        async with self.begin_session(upload.tenant, upload.now) as session:
            await mark_interrupted(session, upload.receipt_id)
        await self.spool_store.delete_body(upload.tenant, upload.receipt_id)

    # Spooled bodies

    async def spool(self, upload: Upload, body: AsyncIterator[bytes]) -> UploadResult:
        """Stores the body durably and schedules its reading by the clock door. Judges nothing yet. Raises TooMany when the
        tenant's queue is full, and TooLarge."""
        async with self.begin_session(upload.tenant, upload.now) as session:
            if await receipts.count_queued(session) >= self.quota.queued_per_tenant:
                raise TooMany("queue-full", "Too many bodies wait to be read already.", retry_after=10)
            await self.insert_receipt(session, upload, "receiving")
            await session.schedule("abandoned", str(upload.receipt_id), upload.now + ABANDONED_AFTER)
        upload.has_receipt = True
        try:
            number, piece = 0, bytearray()
            async for data in body:
                self._count_and_hash(upload, data)
                piece += data
                if len(piece) >= PIECE_BYTES:
                    await self.spool_store.write_piece(upload.tenant, upload.receipt_id, number, bytes(piece))
                    number, piece = number + 1, bytearray()
                    await self._raise_if_cancelled(upload)
            await self.spool_store.write_piece(upload.tenant, upload.receipt_id, number, bytes(piece))
        except UploadCancelled:
            await self.spool_store.delete_body(upload.tenant, upload.receipt_id)
            return await self._load_result(upload)
        except BaseException:
            await asyncio.shield(self._mark_interrupted(upload))
            raise
        async with self.begin_session(upload.tenant, upload.now) as session:
            await receipts.mark_queued(session, upload.receipt_id, upload.bytes_read, hexdigest(upload))
            await session.unschedule("abandoned", str(upload.receipt_id))
            # Also if it was cancelled: then the clock door only deletes the spooled body.
            await session.schedule("read", str(upload.receipt_id), upload.now)
            row = await receipts.find(session, upload.receipt_id)
            assert row is not None, "it was inserted above"
            return row, []

    async def _raise_if_cancelled(self, upload: Upload) -> None:
        async with self.begin_session(upload.tenant, upload.now) as session:
            if not await receipts.is_open(session, upload.receipt_id):
                raise UploadCancelled

    async def read_spooled(self, lease: Lease, tenant: str, receipt_id: UUID) -> None:
        """Judges a spooled body, from where the last attempt ended, and deletes it from the spool. Each chunk renews the
        lease."""
        async with lease.begin() as session:
            row = await receipts.find(session, receipt_id)
            source = await load_source(session, row.source) if row else None
        if row is not None and row.status in ("queued", "reading"):
            assert source is not None, "a source is never removed"
            upload = Upload(
                tenant,
                receipt_id,
                source,
                row.mode,
                row.sent_by,
                lease.now,
                judged_records=row.received,
                has_receipt=True,
                lease=lease,
            )
            upload.tally = self.tally(seen=row.received, rejected=row.rejected, kept=row.rejected - row.not_kept)
            with suppress(UploadCancelled):
                await self._judge_upload(upload, self.spool_store.read_body(tenant, receipt_id))
        await self.spool_store.delete_body(tenant, receipt_id)

    # Replays

    async def replay(self, session: Session, receipt_id: UUID) -> int | None:
        """As `replay.begin`."""
        return await replay.begin(session, self.documents, receipt_id, self._secret(session.tenant))

    async def resume_replay(self, lease: Lease, item: DueItem) -> None:
        """As `replay.resume`."""
        await replay.resume(lease, self.documents, item, self._secret(item.tenant))


async def _pack_chunk(chunk: Chunk) -> Document:
    if chunk.size > LARGE_CHUNK_CHARS:
        return await asyncio.to_thread(archive.pack_records, chunk.receipt_id, chunk.records)
    return archive.pack_records(chunk.receipt_id, chunk.records)
