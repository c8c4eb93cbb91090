"""Takes bodies in, chunk by chunk, each chunk in a transaction of its own; while one is judged the next is read, and in
memory there are never more than these two.

The raw records are durable before the transaction that judges them commits. A process that dies leaves a receipt that says
`reading`: what was judged stands, the clock marks the receipt interrupted, and sending the same file again completes
it, because what is here already is recognised. A body that was accepted with 202 is read again from its spool.
"""

import asyncio
import hmac
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from contracts import Mode
from servicekit import Lease
from servicekit.errors import Invalid, TooLarge, TooMany
from storage import Document, DocumentStore, Session

from ingest.actions import archive
from ingest.actions.intake import Chunk, chunk_of, take_chunk, write_chunk
from ingest.actions.replaying import replay_document
from ingest.actions.sources import load_source
from ingest.model.payload import Limits, Payload, Record
from ingest.model.sources import Source
from ingest.store import interactions, receipts
from ingest.store.bulk import Batch, insert_rows, is_deadlock

CHUNK_SIZE = (
    2 << 20
)  # characters, four bytes at most, and a CSV row keeps them twice: gzipped less than a document's most
BREATH = 50
SPOOL_BYTES = 1 << 20
ABANDONED_AFTER = timedelta(hours=1)
_TRIES = 4
_MILESTONES = frozenset(4**power for power in range(10))

Work = Callable[[str, datetime], AbstractAsyncContextManager[Session]]
Told = tuple[dict[str, Any], list[dict[str, Any]]]
"""A receipt, and the first of its records that were rejected or are held."""


class Digest(Protocol):
    """A running hash, such as hashlib makes."""

    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


@dataclass
class Order:
    """A body to take in. `judged`: records of it that were judged before an interruption. `digest`: of the request,
    where it came with an idempotency key. `lease`: of the due item by which it is read."""

    tenant: str
    receipt_id: UUID
    source: Source
    mode: Mode
    sent_by: UUID
    now: datetime
    key: str | None = None
    digest: "Digest | None" = None
    judged: int = 0
    filed: bool = False
    bytes: int = 0
    lease: Lease | None = None


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


@dataclass
class Reception:
    """`work` opens a unit of work of a tenant at a time, committed on a clean exit; `secret` is the installation's."""

    documents: DocumentStore
    work: Work
    secret: bytes
    quota: Quota
    _busy: Counter[str] = field(default_factory=Counter[str])
    _chunks_taken: int = 0

    @property
    def limits(self) -> Limits:
        return Limits(record=self.quota.record_mb << 20, inflated=self.quota.inflated_mb << 20)

    def _secret(self, tenant: str) -> bytes:
        """The key of the tenant's customer hashes: the same number has another hash with every tenant."""
        return hmac.digest(self.secret, f"customer {tenant}".encode(), "sha256")

    @contextmanager
    def place(self, tenant: str) -> Iterator[None]:
        """Room for one upload. Raises TooMany when there is none."""
        if self._busy[tenant] >= self.quota.uploads_per_tenant or self._busy.total() >= self.quota.uploads:
            raise TooMany("busy", "Too many uploads at the same time. Send this one again in a moment.", retry_after=2)
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
        """Judges the whole body. When the sender breaks off, what was judged stands and the receipt says so."""
        try:
            return await self._read(order, body)
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
        payload = Payload(self.limits, order.source.layout)
        secret = self._secret(order.tenant)

        def fresh() -> Chunk:
            return chunk_of(order.receipt_id, order.mode, order.source, now=order.now, secret=secret)

        chunk = fresh()
        async for record in self._records(order, body, payload):
            if record.number <= order.judged:
                continue
            if len(record.raw) > CHUNK_SIZE:
                record = archive.kept_whole(record)
            full = bool(chunk.records) and chunk.size + len(record.raw) > CHUNK_SIZE
            if full or len(chunk.records) >= self.quota.chunk_records:
                yield chunk, None
                chunk = fresh()
            chunk.add(record)
        yield chunk, payload.notes

    async def _records(self, order: Order, body: AsyncIterator[bytes], payload: Payload) -> AsyncGenerator[Record]:
        async for data in body:
            self._heed(order, data)
            for record in payload.feed(data):
                yield record
                if record.number % BREATH == 0:
                    # Neither the chunk in the database nor the other requests of this process are kept waiting.
                    await asyncio.sleep(0)
            if payload.broken:
                break
        for record in payload.close():
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
        self._chunks_taken += 1
        if self._chunks_taken in _MILESTONES:
            async with self.work(order.tenant, order.now) as session:
                await interactions.refresh_statistics(session)
        return told

    async def _take(self, order: Order, chunk: Chunk, size: int, notes: list[str] | None) -> Told:
        raw = [archive.document_of(chunk.receipt_id, chunk.records)] if chunk.records else []
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
        batch = Batch()
        verdicts = await take_chunk(session, self.documents, chunk, batch, raw=raw) if chunk.records else []
        values = {**_receipt(order, "reading"), "bytes": size, "received": len(verdicts)}
        values |= Counter(row["verdict"] for row in verdicts)
        if notes is not None:
            values |= {"status": "done", "finished_at": order.now, "notes": notes, "digest": _hexdigest(order)}
            if order.filed:
                await session.unschedule("abandoned", str(order.receipt_id))
        elif not order.filed:
            await session.schedule("abandoned", str(order.receipt_id), order.now + ABANDONED_AFTER)
        batch.add(receipts.RECEIPTS, [values])
        (row,) = await write_chunk(session, chunk, batch)
        return row, await receipts.problems(session, row) if notes is not None else []

    async def file(self, session: Session, order: Order, status: str) -> None:
        await insert_rows(session, receipts.RECEIPTS, [_receipt(order, status)])

    async def compare(self, order: Order, body: AsyncIterator[bytes], digest: str | None) -> None:
        """Reads a body that came with a known idempotency key. Raises Invalid when it is not the one of then."""
        async for data in body:
            self._heed(order, data)
        if _hexdigest(order) != digest:
            cure = "This Idempotency-Key was used for another request. Use a new one."
            raise Invalid("idempotency-key-reused", cure)

    async def _interrupt(self, order: Order) -> None:
        async with self.work(order.tenant, order.now) as session:
            await interrupt(session, order.receipt_id)
        await self.forget_spool(order.tenant, order.receipt_id)

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
                if len(held) >= SPOOL_BYTES:
                    await self._keep(order, number, bytes(held))
                    number, held = number + 1, bytearray()
            await self._keep(order, number, bytes(held))
        except BaseException:
            await asyncio.shield(self._interrupt(order))
            raise
        async with self.work(order.tenant, order.now) as session:
            changes = {"status": "queued", "bytes": order.bytes, "digest": _hexdigest(order)}
            await receipts.count(session, order.receipt_id, {}, **changes)
            await session.unschedule("abandoned", str(order.receipt_id))
            await session.schedule("read", str(order.receipt_id), order.now)
            row = await receipts.find(session, order.receipt_id)
            assert row is not None, "it was filed above"
            return row, []

    async def _keep(self, order: Order, number: int, data: bytes) -> None:
        name = f"{order.receipt_id}-{number:06d}"
        await self.documents.put(
            order.tenant, archive.SPOOL, [Document(name, {"receipt": str(order.receipt_id)}, data)]
        )

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
            await self._read(order, self._spooled(tenant, receipt_id))
        await self.forget_spool(tenant, receipt_id)

    async def _spooled(self, tenant: str, receipt_id: UUID) -> AsyncIterator[bytes]:
        number = 0
        while True:
            name = f"{receipt_id}-{number:06d}"
            found = await self.documents.get(tenant, archive.SPOOL, [name])
            if name not in found:
                return
            yield found[name].blob or b""
            number += 1

    async def forget_spool(self, tenant: str, receipt_id: UUID) -> None:
        while found := await self.documents.find(tenant, archive.SPOOL, {"receipt": str(receipt_id)}, limit=20):
            await self.documents.delete(tenant, archive.SPOOL, [each.id for each in found])

    # Again, after a mapping was mended

    async def replay(self, tenant: str, receipt_id: UUID, now: datetime) -> None:
        """Judges the records of a receipt again under the source's present configuration, document by document."""
        async with self.work(tenant, now) as session:
            names = await receipts.documents(session, receipt_id)
        for name in names:
            document = (await self.documents.get(tenant, archive.RAW, [name]))[name]
            async with self.work(tenant, now) as session:
                await replay_document(session, self.documents, receipt_id, document, self._secret(tenant))
            await asyncio.sleep(0)


def _receipt(order: Order, status: str) -> dict[str, Any]:
    """A receipt of which nothing is judged yet."""
    return {
        "id": order.receipt_id,
        "source": order.source.slug,
        "mode": order.mode,
        "status": status,
        "sent_by": order.sent_by,
        "received_at": order.now,
        "idempotency_key": order.key,
        "notes": [],
        "bytes": 0,
        "received": 0,
        **dict.fromkeys(receipts.VERDICTS, 0),
    }


def _hexdigest(order: Order) -> str | None:
    return None if order.digest is None else order.digest.hexdigest()


async def interrupt(session: Session, receipt_id: UUID) -> None:
    """Marks a receipt whose body broke off."""
    await receipts.interrupt(session, receipt_id)
    await session.unschedule("abandoned", str(receipt_id))
