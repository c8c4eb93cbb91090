"""Takes bodies in, chunk by chunk, each chunk in a transaction of its own; in memory there is never more than one chunk.

The raw records are written before the transaction that judges them. A process that dies leaves a receipt that says
`reading`: what was judged stands, the clock marks the receipt interrupted, and sending the same file again completes
it, because what is here already is recognised. A body that was accepted with 202 is read again from its spool.
"""

import asyncio
import hmac
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from contracts import Mode
from servicekit import Kit
from servicekit.errors import Conflict, NotFound, TooLarge, TooMany
from sqlalchemy.exc import OperationalError
from storage import Document, Session

from ingest.actions import archive
from ingest.actions.intake import Chunk, take_chunk
from ingest.actions.naming import load_source
from ingest.model.payload import Limits, Payload, Record
from ingest.model.sources import Source
from ingest.store import interactions, receipts

CHUNK_BYTES = 8 << 20
SPOOL_BYTES = 1 << 20
ABANDONED_AFTER = timedelta(hours=1)
_TRIES = 4
_MILESTONES = frozenset(4**power for power in range(10))


@dataclass
class Order:
    """A body to take in. `judged`: records of it that were judged before an interruption."""

    tenant: str
    receipt_id: UUID
    source: Source
    mode: Mode
    sent_by: UUID
    now: datetime
    key: str | None = None
    judged: int = 0
    filed: bool = False
    bytes: int = 0


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
    kit: Kit
    quota: Quota
    _busy: Counter[str] = field(default_factory=Counter[str])
    _chunks: int = 0

    @property
    def limits(self) -> Limits:
        return Limits(record=self.quota.record_mb << 20, inflated=self.quota.inflated_mb << 20)

    def secret(self, tenant: str) -> bytes:
        """The key of the tenant's customer hashes: the same number has another hash with every tenant."""
        return hmac.digest(self.kit.settings.secret.encode(), f"customer {tenant}".encode(), "sha256")

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

    async def read(self, order: Order, body: AsyncIterator[bytes]) -> None:
        """Judges the whole body. When the sender breaks off, what was judged stands and the receipt says so."""
        try:
            await self._read(order, body)
        except BaseException:
            if order.filed:
                await asyncio.shield(self._interrupt(order))
            raise

    async def _read(self, order: Order, body: AsyncIterator[bytes]) -> None:
        payload = Payload(self.limits)
        batch: list[Record] = []
        size = 0

        def is_full() -> bool:
            return len(batch) >= self.quota.chunk_records or size >= CHUNK_BYTES

        async for data in body:
            order.bytes += len(data)
            self.check_size(order.bytes)
            for record in payload.feed(data):
                if is_full():
                    await self._judge(order, batch, payload, final=False)
                    batch, size = [], 0
                if record.number > order.judged:
                    batch.append(record)
                    size += len(record.raw)
            if payload.broken:
                break
        for record in payload.close():
            if is_full():
                await self._judge(order, batch, payload, final=False)
                batch, size = [], 0
            if record.number > order.judged:
                batch.append(record)
                size += len(record.raw)
        await self._judge(order, batch, payload, final=True)

    async def _judge(self, order: Order, batch: Sequence[Record], payload: Payload, *, final: bool) -> None:
        document = ""
        if batch:
            kept = archive.document_of(order.receipt_id, batch)
            await self.kit.documents.put(order.tenant, archive.RAW, [kept])
            document = kept.id
        chunk = Chunk(order.receipt_id, order.mode, document, batch)
        for attempt in range(1, _TRIES + 1):
            try:
                async with self.kit.sessions.begin([order.tenant], now=order.now) as session:
                    await self._file(session, order, chunk, payload, final=final)
                break
            except OperationalError as error:
                # Two uploads that touch the same interactions may wait for each other; one of them goes first.
                if attempt == _TRIES or getattr(error.orig, "sqlstate", None) != "40P01":
                    raise
                await asyncio.sleep(0.05 * attempt)
        order.filed = True
        self._chunks += 1
        if self._chunks in _MILESTONES:
            async with self.kit.sessions.begin([order.tenant], now=order.now) as session:
                await interactions.refresh_statistics(session)
        # A long body must not keep the other requests of this process waiting.
        await asyncio.sleep(0)

    async def _file(self, session: Session, order: Order, chunk: Chunk, payload: Payload, *, final: bool) -> None:
        if not order.filed:
            await self.file(session, order, "reading")
            if not final:
                await session.schedule("abandoned", str(order.receipt_id), order.now + ABANDONED_AFTER)
        verdicts = Counter[str]()
        if chunk.records:
            verdicts = await take_chunk(session, chunk, order.source, self.secret(order.tenant))
        changes: dict[str, Any] = {"bytes": order.bytes}
        if final:
            changes |= {"status": "done", "finished_at": order.now, "notes": receipts.as_json(payload.notes)}
            if order.filed:
                await session.unschedule("abandoned", str(order.receipt_id))
        await receipts.count(session, order.receipt_id, {**verdicts, "received": len(chunk.records)}, **changes)

    async def file(self, session: Session, order: Order, status: str) -> None:
        values = {"id": order.receipt_id, "source": order.source.slug, "mode": order.mode, "status": status}
        values |= {"sent_by": order.sent_by, "received_at": order.now, "idempotency_key": order.key}
        await receipts.add(session, values)

    async def _interrupt(self, order: Order) -> None:
        async with self.kit.sessions.begin([order.tenant], now=order.now) as session:
            await interrupt(session, order.receipt_id)
        await self.sweep(order.tenant, order.receipt_id)

    # Bodies that are read later

    async def spool(self, order: Order, body: AsyncIterator[bytes]) -> None:
        """Keeps the body durably; the clock door reads it. Nothing of it is judged yet."""
        async with self.kit.sessions.begin([order.tenant], now=order.now) as session:
            if await receipts.count_queued(session) >= self.quota.queued_per_tenant:
                raise TooMany("queue-full", "Too many bodies wait to be read already.", retry_after=10)
            await self.file(session, order, "receiving")
            await session.schedule("abandoned", str(order.receipt_id), order.now + ABANDONED_AFTER)
        order.filed = True
        try:
            number, held = 0, bytearray()
            async for data in body:
                order.bytes += len(data)
                self.check_size(order.bytes)
                held += data
                if len(held) >= SPOOL_BYTES:
                    await self._keep(order, number, bytes(held))
                    number, held = number + 1, bytearray()
            await self._keep(order, number, bytes(held))
        except BaseException:
            await asyncio.shield(self._interrupt(order))
            raise
        async with self.kit.sessions.begin([order.tenant], now=order.now) as session:
            await receipts.count(session, order.receipt_id, {}, status="queued", bytes=order.bytes)
            await session.unschedule("abandoned", str(order.receipt_id))
            await session.schedule("read", str(order.receipt_id), order.now)

    async def _keep(self, order: Order, number: int, data: bytes) -> None:
        name = f"{order.receipt_id}-{number:06d}"
        await self.kit.documents.put(
            order.tenant, archive.SPOOL, [Document(name, {"receipt": str(order.receipt_id)}, data)]
        )

    async def read_spooled(self, session: Session, receipt_id: UUID) -> None:
        """Reads a kept body from where the last attempt ended, then forgets the copy."""
        row = await receipts.find(session, receipt_id)
        if row is not None and row["status"] in ("queued", "reading"):
            source = await load_source(session, row["source"])
            assert source is not None, "a source is never removed"
            order = Order(
                session.tenant, receipt_id, source, row["mode"], row["sent_by"], session.now, judged=row["received"],
                filed=True,
            )  # fmt: skip
            await self._read(order, self._spooled(session.tenant, receipt_id))
        await self._forget_spool(session.tenant, receipt_id)

    async def _spooled(self, tenant: str, receipt_id: UUID) -> AsyncIterator[bytes]:
        number = 0
        while True:
            name = f"{receipt_id}-{number:06d}"
            found = await self.kit.documents.get(tenant, archive.SPOOL, [name])
            if name not in found:
                return
            yield found[name].blob or b""
            number += 1

    async def _forget_spool(self, tenant: str, receipt_id: UUID) -> None:
        while found := await self.kit.documents.find(tenant, archive.SPOOL, {"receipt": str(receipt_id)}, limit=20):
            await self.kit.documents.delete(tenant, archive.SPOOL, [each.id for each in found])

    async def sweep(self, tenant: str, receipt_id: UUID) -> None:
        """Removes what an interrupted receipt left behind: its spool, and the raw records that were never judged."""
        await self._forget_spool(tenant, receipt_id)
        found = await self.kit.documents.find(tenant, archive.RAW, {"receipt": str(receipt_id)}, limit=100_000)
        async with self.kit.sessions.begin([tenant], now=datetime.min) as session:
            known = set(await receipts.documents(session, receipt_id))
        await self.kit.documents.delete(tenant, archive.RAW, [each.id for each in found if each.id not in known])

    # Again, after a mapping was mended

    async def replay(self, tenant: str, receipt_id: UUID, now: datetime) -> None:
        """Judges the records of a receipt again under the source's present configuration, document by document."""
        async with self.kit.sessions.begin([tenant], now=now) as session:
            names = await receipts.documents(session, receipt_id)
        for name in names:
            document = (await self.kit.documents.get(tenant, archive.RAW, [name]))[name]
            async with self.kit.sessions.begin([tenant], now=now) as session:
                await self._replay(session, receipt_id, document)
            await asyncio.sleep(0)

    async def _replay(self, session: Session, receipt_id: UUID, document: Document) -> None:
        row = await receipts.find(session, receipt_id, lock=True)
        if row is None:
            raise NotFound("unknown-receipt", f"There is no receipt `{receipt_id}`.")
        if row["status"] not in ("done", "interrupted"):
            raise Conflict("receipt-busy", f"The receipt is {row['status']}; only a finished one can be replayed.")
        source = await load_source(session, row["source"])
        assert source is not None, "a source is never removed"
        parts = await receipts.parts_only_here(session, receipt_id, document.id)
        found = await interactions.parts_by_id(session, parts)
        around = {part["contact"] for part in found} | {part["root"] for part in found}
        before = {each["number"]: each for each in await receipts.records_of_document(session, receipt_id, document.id)}
        await receipts.forget_records(session, receipt_id, document.id)
        chunk = Chunk(receipt_id, row["mode"], document.id, archive.records_of(document))
        await take_chunk(session, chunk, source, self.secret(session.tenant), replacing=parts, around=sorted(around))
        await receipts.keep_verdicts(session, receipt_id, document.id, before)
        await receipts.recount(session, receipt_id)


async def interrupt(session: Session, receipt_id: UUID) -> None:
    """Marks a receipt whose body broke off."""
    await session.execute(
        "UPDATE receipt SET status = 'interrupted', finished_at = :now, touched_at = clock_timestamp() "
        "WHERE tenant = :tenant AND id = :id AND status IN ('reading', 'receiving')",
        {"tenant": session.tenant, "id": receipt_id, "now": session.now},
    )
    await session.unschedule("abandoned", str(receipt_id))
