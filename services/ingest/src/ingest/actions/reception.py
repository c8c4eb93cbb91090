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
from storage import Document, DocumentStore, Session

from ingest.actions import archive, replaying
from ingest.actions.intake import Chunk, chunk_of, take_chunk, write_chunk
from ingest.actions.orders import (
    ABANDONED_AFTER,
    Cancelled,
    Order,
    Quota,
    SenderLeft,
    Told,
    Work,
    hexdigest,
    interrupt,
    new_receipt,
)
from ingest.actions.rejects import Bounds, Hourly, Tally, too_many_of, whole
from ingest.actions.sources import load_source
from ingest.actions.spool import PIECE_BYTES, Spool
from ingest.actions.turns import Turn, in_turns
from ingest.model.payload import Limits, Payload, Record
from ingest.model.refusal import Refusal
from ingest.store import interactions, receipts
from ingest.store.bulk import Batch, insert_rows, is_deadlock

CHUNK_SIZE = (
    2 << 20
)  # characters, four bytes at most, and a CSV row keeps them twice: gzipped less than a document's most
LARGE = 1 << 18
_TRIES = 4
_MILESTONES = frozenset(4**power for power in range(10))


@dataclass
class Reception:
    """`work` opens a unit of work of a tenant at a time, committed on a clean exit; `secret` is the installation's."""

    documents: DocumentStore
    work: Work
    secret: bytes
    quota: Quota
    _busy: Counter[str] = field(default_factory=Counter[str])
    _chunks_taken: int = 0

    def __post_init__(self) -> None:
        self.spooled = Spool(self.documents)
        self._records_of = Hourly(self.quota.records_per_tenant_hour)
        self._rejects_of = Hourly(self.quota.rejects_per_tenant_hour)

    @property
    def limits(self) -> Limits:
        quota = self.quota
        return Limits(record=quota.record_mb << 20, inflated=quota.inflated_mb << 20, records=quota.records)

    def tally(self, seen: int = 0, rejected: int = 0, kept: int = 0) -> Tally:
        quota = self.quota
        bounds = Bounds(most=quota.rejects, kept=quota.rejects_kept, hourly=quota.rejects_per_tenant_hour)
        return Tally(bounds, seen, rejected, kept)

    def _secret(self, tenant: str) -> bytes:
        """The key of the tenant's customer hashes: the same number has another hash with every tenant."""
        return hmac.digest(self.secret, f"customer {tenant}".encode(), "sha256")

    @contextmanager
    def place(self, tenant: str) -> Iterator[None]:
        """Room for one upload. Raises TooMany when there is none."""
        if self._busy[tenant] >= self.quota.uploads_per_tenant or self._busy.total() >= self.quota.uploads:
            raise TooMany("busy", "Too many uploads at the same time. Send this one again in a moment.", retry_after=2)
        if wait := self._records_of.over(tenant) or self._rejects_of.over(tenant):
            reason = "Too many records came, or were rejected, within the hour. Send this upload again later."
            raise TooMany("hour-full", reason, retry_after=wait)
        self._busy[tenant] += 1
        try:
            yield
        finally:
            self._busy[tenant] -= 1
            if not self._busy[tenant]:
                del self._busy[tenant]

    def check_size(self, size: int) -> None:
        if size > self.quota.body_mb << 20:
            raise TooLarge("body-too-large", f"The body is larger than {self.quota.body_mb} MB. Send it in parts.")

    async def read(self, order: Order, body: AsyncIterator[bytes]) -> Told:
        """Judges the whole body. When the sender breaks off, what was judged stands and the receipt says so; so it does when
        the receipt was cancelled. Raises SenderLeft."""
        order.tally = self.tally()
        try:
            return await self._read(order, body)
        except Cancelled:
            return await self._told(order)
        except BaseException:
            if order.filed:
                await asyncio.shield(self._interrupt(order))
            raise

    async def _read(self, order: Order, body: AsyncIterator[bytes]) -> Told:
        at_hand: asyncio.Task[Told] | None = None
        try:
            async for chunk, notes in self._chunks(order, body):
                if at_hand is not None:
                    await asyncio.shield(at_hand)
                at_hand = asyncio.create_task(self._judge(order, chunk, order.bytes, notes))
        finally:
            # Also when the sender breaks off: what was read is judged to its end.
            if at_hand is not None:
                await asyncio.shield(at_hand)
        assert at_hand is not None, "the last chunk comes even when it is empty"
        return at_hand.result()

    async def _chunks(self, order: Order, body: AsyncIterator[bytes]) -> AsyncGenerator[tuple[Chunk, list[str] | None]]:
        """Full chunks, read, and in the end the last one with the notes on the whole body."""
        payload = Payload(self.limits, order.source.layout, order.source.check_columns)
        secret, tally = self._secret(order.tenant), order.tally

        def fresh() -> Chunk:
            return chunk_of(order.receipt_id, order.mode, order.source, now=order.now, secret=secret)

        chunk, ended = fresh(), None
        async for record in self._records(order, body, payload):
            if record.number <= order.judged:
                continue
            if len(record.raw) > CHUNK_SIZE:
                record = await asyncio.to_thread(archive.kept_whole, record)
            full = bool(chunk.records) and chunk.size + len(record.raw) > CHUNK_SIZE
            if full or len(chunk) >= self.quota.chunk_records:
                yield chunk, None
                if order.left is not None and await order.left():
                    raise SenderLeft
                chunk = fresh()
            outcome = chunk.add(record)
            if record.whole or not isinstance(outcome, Refusal):
                tally.accept()
                continue
            if not tally.reject(outcome):
                chunk.drop()
            ended = tally.verdict() or self._hour_is_full(order)
            if ended is not None:
                if tally.seen == tally.rejected == len(chunk):
                    tally.kept -= chunk.keep_first(tally.bounds.examples)
                chunk.add(whole(record.number + 1, record.line, ended))
                break
        if tally.rejected > tally.kept:
            more = tally.rejected - tally.kept
            payload.notes.append(f"{more:,} more records were rejected; only the first {tally.kept:,} are listed.")
        yield chunk, payload.notes

    def _hour_is_full(self, order: Order) -> Refusal | None:
        self._rejects_of.add(order.tenant, 1)
        return too_many_of(self.quota.rejects_per_tenant_hour) if self._rejects_of.over(order.tenant) else None

    async def _records(self, order: Order, body: AsyncIterator[bytes], payload: Payload) -> AsyncGenerator[Record]:
        if order.source.status != "active":
            cure = "Set its status to active, and send the file again."
            yield whole(
                order.judged + 1, 1, Refusal("", f"The source `{order.source.slug}` is {order.source.status}.", cure)
            )
            return
        turn = Turn()
        async for data in body:
            self._heed(order, data)
            async for record in in_turns(payload.steps(data), payload, turn):
                yield record
            if payload.broken:
                break
        async for record in in_turns(payload.close(), payload, turn):
            yield record

    def _heed(self, order: Order, data: bytes) -> None:
        order.bytes += len(data)
        self.check_size(order.bytes)
        if order.digest is not None:
            order.digest.update(data)

    async def _judge(self, order: Order, chunk: Chunk, size: int, notes: list[str] | None) -> Told:
        """`size`: bytes of the body until here; `notes` on the whole body, with the last chunk."""
        told = await self._take(order, chunk, size, notes)
        order.filed = True
        self._records_of.add(order.tenant, len(chunk))
        self._chunks_taken += 1
        if self._chunks_taken in _MILESTONES:
            async with self.work(order.tenant, order.now) as session:
                await interactions.refresh_statistics(session)
        return told

    async def _take(self, order: Order, chunk: Chunk, size: int, notes: list[str] | None) -> Told:
        raw = [await _packed(chunk)] if chunk.records else []
        for attempt in range(1, _TRIES + 1):
            try:
                async with self._work(order) as session:
                    return await self._take_in(session, order, chunk, raw, size, notes)
            except Exception as error:
                # Two uploads that touch the same interactions may wait for each other; one of them goes first.
                if attempt == _TRIES or not is_deadlock(error):
                    raise
                await asyncio.sleep(0.05 * attempt)
        raise AssertionError("the last try returns or raises")

    def _work(self, order: Order) -> AbstractAsyncContextManager[Session]:
        return order.lease.begin() if order.lease else self.work(order.tenant, order.now)

    async def _take_in(
        self, session: Session, order: Order, chunk: Chunk, raw: list[Document], size: int, notes: list[str] | None
    ) -> Told:
        if order.filed and not await receipts.is_open(session, order.receipt_id):
            raise Cancelled
        batch = Batch()
        verdicts = await take_chunk(session, self.documents, chunk, batch, raw=raw) if chunk.records else []
        counted = Counter({"rejected": chunk.not_kept}) + Counter(row["verdict"] for row in verdicts)
        values = {**new_receipt(order, "reading"), "bytes": size, "received": len(chunk), "not_kept": chunk.not_kept}
        values |= counted
        if notes is not None:
            values |= {"status": "done", "finished_at": order.now, "notes": notes, "digest": hexdigest(order)}
            if order.filed:
                await session.unschedule("abandoned", str(order.receipt_id))
        elif not order.filed:
            await session.schedule("abandoned", str(order.receipt_id), order.now + ABANDONED_AFTER)
        batch.add(receipts.RECEIPTS, [values])
        (row,) = await write_chunk(session, chunk, batch)
        if row["status"] in ("undoing", "undone"):
            raise Cancelled  # what is taken back here would come again
        return row, await receipts.problems(session, row) if notes is not None else []

    async def file(self, session: Session, order: Order, status: str) -> None:
        await insert_rows(session, receipts.RECEIPTS, [new_receipt(order, status)])

    async def compare(self, order: Order, body: AsyncIterator[bytes], digest: str | None) -> None:
        """Reads a body that came with a known idempotency key. Raises Invalid when it is not the one of then."""
        async for data in body:
            self._heed(order, data)
        if hexdigest(order) != digest:
            cure = "This Idempotency-Key was used for another request. Use a new one."
            raise Invalid("idempotency-key-reused", cure)

    async def _told(self, order: Order) -> Told:
        async with self.work(order.tenant, order.now) as session:
            row = await receipts.find(session, order.receipt_id)
            assert row is not None, "only what is filed can be cancelled"
            return row, await receipts.problems(session, row)

    async def _interrupt(self, order: Order) -> None:
        async with self.work(order.tenant, order.now) as session:
            await interrupt(session, order.receipt_id)
        await self.spooled.forget(order.tenant, order.receipt_id)

    # Bodies that are read later

    async def spool(self, order: Order, body: AsyncIterator[bytes]) -> Told:
        """Keeps the body durably; the clock door reads it. Nothing of it is judged yet."""
        async with self.work(order.tenant, order.now) as session:
            if await receipts.count_queued(session) >= self.quota.queued_per_tenant:
                raise TooMany("queue-full", "Too many bodies wait to be read already.", retry_after=10)
            await self.file(session, order, "receiving")
            await session.schedule("abandoned", str(order.receipt_id), order.now + ABANDONED_AFTER)
        order.filed = True
        try:
            number, held = 0, bytearray()
            async for data in body:
                self._heed(order, data)
                held += data
                if len(held) >= PIECE_BYTES:
                    await self.spooled.keep(order.tenant, order.receipt_id, number, bytes(held))
                    number, held = number + 1, bytearray()
                    await self._still_wanted(order)
            await self.spooled.keep(order.tenant, order.receipt_id, number, bytes(held))
        except Cancelled:
            await self.spooled.forget(order.tenant, order.receipt_id)
            return await self._told(order)
        except BaseException:
            await asyncio.shield(self._interrupt(order))
            raise
        async with self.work(order.tenant, order.now) as session:
            await receipts.queue(session, order.receipt_id, order.bytes, hexdigest(order))
            await session.unschedule("abandoned", str(order.receipt_id))
            # Also when it was cancelled: then the copy is only forgotten.
            await session.schedule("read", str(order.receipt_id), order.now)
            row = await receipts.find(session, order.receipt_id)
            assert row is not None, "it was filed above"
            return row, []

    async def _still_wanted(self, order: Order) -> None:
        async with self.work(order.tenant, order.now) as session:
            if not await receipts.is_open(session, order.receipt_id):
                raise Cancelled

    async def read_spooled(self, lease: Lease, tenant: str, receipt_id: UUID) -> None:
        """Reads a kept body from where the last attempt ended, then forgets the copy. Each chunk renews the lease."""
        async with lease.begin() as session:
            row = await receipts.find(session, receipt_id)
            source = await load_source(session, row["source"]) if row else None
        if row is not None and row["status"] in ("queued", "reading"):
            assert source is not None, "a source is never removed"
            order = Order(
                tenant, receipt_id, source, row["mode"], row["sent_by"], lease.now, judged=row["received"], filed=True,
                lease=lease,
            )  # fmt: skip
            order.tally = self.tally(
                seen=row["received"], rejected=row["rejected"], kept=row["rejected"] - row["not_kept"]
            )
            with suppress(Cancelled):
                await self._read(order, self.spooled.read(tenant, receipt_id))
        await self.spooled.forget(tenant, receipt_id)

    # Again, after a mapping was mended

    async def replay(self, session: Session, receipt_id: UUID) -> int | None:
        """As `replaying.begin`."""
        return await replaying.begin(session, self.documents, receipt_id, self._secret(session.tenant))

    async def replay_on(self, lease: Lease, item: DueItem) -> None:
        await replaying.go_on(lease, self.documents, item, self._secret(item.tenant))


async def _packed(chunk: Chunk) -> Document:
    if chunk.size > LARGE:
        return await asyncio.to_thread(archive.document_of, chunk.receipt_id, chunk.records)
    return archive.document_of(chunk.receipt_id, chunk.records)
