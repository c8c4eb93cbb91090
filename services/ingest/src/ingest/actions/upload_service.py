"""Takes bodies in, chunk by chunk, each chunk in a transaction of its own; while one is judged the next is read, and in
memory there are never more than these two.

The raw records are durable before the transaction that judges them commits. A process that dies leaves a receipt that says
`reading`: what was judged stands, the clock marks the receipt interrupted, and sending the same file again completes
it, because what is here already is recognised. A body that was accepted with 202 is read again from its spool.
"""

import asyncio
import hmac
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
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
from ingest.store import interactions, receipts
from ingest.store.sql import is_deadlock

CHUNK_CHARS = (
    2 << 20
)  # characters, four bytes at most, and a CSV row keeps them twice: gzipped less than a document's most
LARGE_CHUNK_CHARS = 1 << 18
_MAX_ATTEMPTS = 4
_ANALYZE_AFTER_CHUNKS = frozenset(4**power for power in range(10))


@dataclass
class UploadService:
    """`work` opens a unit of work of a tenant at a time, committed on a clean exit; `secret` is the installation's."""

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
        quota = self.quota
        return Limits(record_bytes=quota.record_mb << 20, inflated_bytes=quota.inflated_mb << 20, records=quota.records)

    def tally(self, seen: int = 0, rejected: int = 0, kept: int = 0) -> RejectTally:
        quota = self.quota
        bounds = RejectLimits(
            max_rejects=quota.rejects, max_listed=quota.rejects_kept, max_rejects_per_hour=quota.rejects_per_tenant_hour
        )
        return RejectTally(bounds, seen, rejected, kept)

    def _secret(self, tenant: str) -> bytes:
        """The key of the tenant's customer hashes: the same number has another hash with every tenant."""
        return hmac.digest(self.secret, f"customer {tenant}".encode(), "sha256")

    @contextmanager
    def reserve_slot(self, tenant: str) -> Iterator[None]:
        """Room for one upload. Raises TooMany when there is none."""
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
        if size > self.quota.body_mb << 20:
            raise TooLarge("body-too-large", f"The body is larger than {self.quota.body_mb} MB. Send it in parts.")

    async def judge_upload(self, order: Upload, body: AsyncIterator[bytes]) -> UploadResult:
        """Judges the whole body. When the sender breaks off, what was judged stands and the receipt says so; so it does when
        the receipt was cancelled. Raises SenderLeft."""
        order.tally = self.tally()
        try:
            return await self._judge_upload(order, body)
        except UploadCancelled:
            return await self._load_result(order)
        except BaseException:
            if order.has_receipt:
                await asyncio.shield(self._mark_interrupted(order))
            raise

    async def _judge_upload(self, order: Upload, body: AsyncIterator[bytes]) -> UploadResult:
        at_hand: asyncio.Task[UploadResult] | None = None
        try:
            async for chunk, notes in self._read_chunks(order, body):
                if at_hand is not None:
                    await asyncio.shield(at_hand)
                at_hand = asyncio.create_task(self._judge_chunk(order, chunk, order.bytes_read, notes))
        finally:
            # Also when the sender breaks off: what was read is judged to its end.
            if at_hand is not None:
                await asyncio.shield(at_hand)
        assert at_hand is not None, "the last chunk comes even when it is empty"
        return at_hand.result()

    async def _read_chunks(  # noqa: C901 - a state machine: the chunk, the tally, the end
        self, order: Upload, body: AsyncIterator[bytes]
    ) -> AsyncGenerator[tuple[Chunk, list[str] | None]]:
        """Full chunks, read, and in the end the last one with the notes on the whole body."""
        payload = Payload(self.limits, order.source.format.layout, order.source.check_columns)
        secret, tally = self._secret(order.tenant), order.tally

        def fresh() -> Chunk:
            return new_chunk(order.receipt_id, order.mode, order.source, now=order.now, secret=secret)

        chunk, ended = fresh(), None
        async for record in self._read_records(order, body, payload):
            if record.number <= order.judged_records:
                continue
            if len(record.raw) > CHUNK_CHARS:
                record = await asyncio.to_thread(archive.truncate_oversized, record)
            full = bool(chunk.records) and chunk.size + len(record.raw) > CHUNK_CHARS
            if full or len(chunk) >= self.quota.chunk_records:
                yield chunk, None
                if order.is_disconnected is not None and await order.is_disconnected():
                    raise ClientDisconnected
                chunk = fresh()
            outcome = chunk.add(record)
            if record.is_whole_body or not isinstance(outcome, Refusal):
                tally.accept()
                continue
            if not tally.reject(outcome):
                chunk.drop_last()
            ended = tally.find_stop_reason() or self._count_reject_in_hour(order)
            if ended is not None:
                if tally.seen == tally.rejected == len(chunk):
                    tally.kept -= chunk.truncate(tally.bounds.max_examples)
                chunk.add(whole_body_record(record.number + 1, record.line, ended))
                break
        if tally.rejected > tally.kept:
            more = tally.rejected - tally.kept
            payload.notes.append(f"{more:,} more records were rejected; only the first {tally.kept:,} are listed.")
        yield chunk, payload.notes

    def _count_reject_in_hour(self, order: Upload) -> Refusal | None:
        self._hourly_rejects.add(order.tenant, 1)
        return (
            hourly_limit_refusal(self.quota.rejects_per_tenant_hour)
            if self._hourly_rejects.retry_after_seconds(order.tenant)
            else None
        )

    async def _read_records(
        self, order: Upload, body: AsyncIterator[bytes], payload: Payload
    ) -> AsyncGenerator[Record]:
        if order.source.status != "active":
            cure = "Set its status to active, and send the file again."
            yield whole_body_record(
                order.judged_records + 1,
                1,
                Refusal("", f"The source `{order.source.slug}` is {order.source.status}.", cure),
            )
            return
        turn = TimeSlice()
        async for data in body:
            self._count_and_hash(order, data)
            async for record in iterate_in_slices(payload.feed_in_steps(data), payload, turn):
                yield record
            if payload.is_broken:
                break
        async for record in iterate_in_slices(payload.close(), payload, turn):
            yield record

    def _count_and_hash(self, order: Upload, data: bytes) -> None:
        order.bytes_read += len(data)
        self.check_size(order.bytes_read)
        if order.digest is not None:
            order.digest.update(data)

    async def _judge_chunk(self, order: Upload, chunk: Chunk, size: int, notes: list[str] | None) -> UploadResult:
        """`size`: bytes of the body until here; `notes` on the whole body, with the last chunk."""
        told = await self._judge_with_retry(order, chunk, size, notes)
        order.has_receipt = True
        self._hourly_records.add(order.tenant, len(chunk))
        self._chunks_taken += 1
        if self._chunks_taken in _ANALYZE_AFTER_CHUNKS:
            async with self.begin_session(order.tenant, order.now) as session:
                await interactions.refresh_statistics(session)
        return told

    async def _judge_with_retry(self, order: Upload, chunk: Chunk, size: int, notes: list[str] | None) -> UploadResult:
        raw = [await _pack_chunk(chunk)] if chunk.records else []
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            try:
                async with self._begin_session(order) as session:
                    return await self._judge_in_transaction(session, order, chunk, raw, size, notes)
            except Exception as error:
                # Two uploads that touch the same interactions may wait for each other; one of them goes first.
                if attempt == _MAX_ATTEMPTS or not is_deadlock(error):
                    raise
                await asyncio.sleep(0.05 * attempt)
        raise AssertionError("the last try returns or raises")

    def _begin_session(self, order: Upload) -> AbstractAsyncContextManager[Session]:
        return order.lease.begin() if order.lease else self.begin_session(order.tenant, order.now)

    async def _judge_in_transaction(
        self, session: Session, order: Upload, chunk: Chunk, raw: list[Document], size: int, notes: list[str] | None
    ) -> UploadResult:
        if order.has_receipt and not await receipts.is_open(session, order.receipt_id):
            raise UploadCancelled
        batch = MultiInsert()
        verdicts = await judge_chunk(session, self.documents, chunk, batch, raw=raw) if chunk.records else []
        counted = Counter({"rejected": chunk.not_kept}) + Counter(row["verdict"] for row in verdicts)
        values = {**new_receipt(order, "reading"), "bytes": size, "received": len(chunk), "not_kept": chunk.not_kept}
        values |= counted
        if notes is not None:
            values |= {"status": "done", "finished_at": order.now, "notes": notes, "digest": hexdigest(order)}
            if order.has_receipt:
                await session.unschedule("abandoned", str(order.receipt_id))
        elif not order.has_receipt:
            await session.schedule("abandoned", str(order.receipt_id), order.now + ABANDONED_AFTER)
        batch.add(receipts.RECEIPTS, [values])
        (row,) = await write_chunk(session, chunk, batch)
        if row["status"] in ("undoing", "undone"):
            raise UploadCancelled  # what is taken back here would come again
        return row, await receipts.load_problems(session, row) if notes is not None else []

    async def insert_receipt(self, session: Session, order: Upload, status: str) -> None:
        await session.insert_rows(receipts.RECEIPTS, [new_receipt(order, status)])

    async def verify_same_body(self, order: Upload, body: AsyncIterator[bytes], digest: str | None) -> None:
        """Reads a body that came with a known idempotency key. Raises Invalid when it is not the one of then."""
        async for data in body:
            self._count_and_hash(order, data)
        if hexdigest(order) != digest:
            cure = "This Idempotency-Key was used for another request. Use a new one."
            raise Invalid("idempotency-key-reused", cure)

    async def _load_result(self, order: Upload) -> UploadResult:
        async with self.begin_session(order.tenant, order.now) as session:
            row = await receipts.find(session, order.receipt_id)
            assert row is not None, "only what is filed can be cancelled"
            return row, await receipts.load_problems(session, row)

    async def _mark_interrupted(self, order: Upload) -> None:
        async with self.begin_session(order.tenant, order.now) as session:
            await mark_interrupted(session, order.receipt_id)
        await self.spool_store.delete_body(order.tenant, order.receipt_id)

    # Bodies that are read later

    async def spool(self, order: Upload, body: AsyncIterator[bytes]) -> UploadResult:
        """Keeps the body durably; the clock door reads it. Nothing of it is judged yet."""
        async with self.begin_session(order.tenant, order.now) as session:
            if await receipts.count_queued(session) >= self.quota.queued_per_tenant:
                raise TooMany("queue-full", "Too many bodies wait to be read already.", retry_after=10)
            await self.insert_receipt(session, order, "receiving")
            await session.schedule("abandoned", str(order.receipt_id), order.now + ABANDONED_AFTER)
        order.has_receipt = True
        try:
            number, held = 0, bytearray()
            async for data in body:
                self._count_and_hash(order, data)
                held += data
                if len(held) >= PIECE_BYTES:
                    await self.spool_store.write_piece(order.tenant, order.receipt_id, number, bytes(held))
                    number, held = number + 1, bytearray()
                    await self._raise_if_cancelled(order)
            await self.spool_store.write_piece(order.tenant, order.receipt_id, number, bytes(held))
        except UploadCancelled:
            await self.spool_store.delete_body(order.tenant, order.receipt_id)
            return await self._load_result(order)
        except BaseException:
            await asyncio.shield(self._mark_interrupted(order))
            raise
        async with self.begin_session(order.tenant, order.now) as session:
            await receipts.mark_queued(session, order.receipt_id, order.bytes_read, hexdigest(order))
            await session.unschedule("abandoned", str(order.receipt_id))
            # Also when it was cancelled: then the copy is only forgotten.
            await session.schedule("read", str(order.receipt_id), order.now)
            row = await receipts.find(session, order.receipt_id)
            assert row is not None, "it was filed above"
            return row, []

    async def _raise_if_cancelled(self, order: Upload) -> None:
        async with self.begin_session(order.tenant, order.now) as session:
            if not await receipts.is_open(session, order.receipt_id):
                raise UploadCancelled

    async def read_spooled(self, lease: Lease, tenant: str, receipt_id: UUID) -> None:
        """Reads a kept body from where the last attempt ended, then forgets the copy. Each chunk renews the lease."""
        async with lease.begin() as session:
            row = await receipts.find(session, receipt_id)
            source = await load_source(session, row["source"]) if row else None
        if row is not None and row["status"] in ("queued", "reading"):
            assert source is not None, "a source is never removed"
            order = Upload(
                tenant, receipt_id, source, row["mode"], row["sent_by"], lease.now, judged_records=row["received"], has_receipt=True,
                lease=lease,
            )  # fmt: skip
            order.tally = self.tally(
                seen=row["received"], rejected=row["rejected"], kept=row["rejected"] - row["not_kept"]
            )
            with suppress(UploadCancelled):
                await self._judge_upload(order, self.spool_store.read_body(tenant, receipt_id))
        await self.spool_store.delete_body(tenant, receipt_id)

    # Again, after a mapping was mended

    async def replay(self, session: Session, receipt_id: UUID) -> int | None:
        """As `replaying.begin`."""
        return await replay.begin(session, self.documents, receipt_id, self._secret(session.tenant))

    async def replay_on(self, lease: Lease, item: DueItem) -> None:
        await replay.go_on(lease, self.documents, item, self._secret(item.tenant))


async def _pack_chunk(chunk: Chunk) -> Document:
    if chunk.size > LARGE_CHUNK_CHARS:
        return await asyncio.to_thread(archive.pack_records, chunk.receipt_id, chunk.records)
    return archive.pack_records(chunk.receipt_id, chunk.records)
