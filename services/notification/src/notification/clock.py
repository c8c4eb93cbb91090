"""The time door: deliveries that fall due, and the workers that send them."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from uuid import UUID

from servicekit import DueItem, ServiceContext, directory
from storage import Session

from notification.actions import deliver
from notification.clients.mail import Mail, MailSender
from notification.clients.webhooks import WebhookSender
from notification.model.retries import AttemptOutcome
from notification.store import deliveries

log = logging.getLogger("uplift.notification")

UNFINISHED_STATES = ("pending", "sending")
STOP_TIMEOUT_SECONDS = 5.0


class DeliveryWorkers:
    """What is due goes into a queue in the clock's transaction; workers claim it in one of their own, send without
    any, and record in a third. The due item stays, moved to the end of the lease, until the record replaces it: so a
    process that dies anywhere in between leads to one more attempt."""

    def __init__(
        self, webhooks: WebhookSender, mails: MailSender | None, *, lease_seconds: float, workers: int
    ) -> None:
        self._webhooks = webhooks
        self._mails = mails
        self._lease_seconds = lease_seconds
        self._workers = workers
        self._queue: asyncio.Queue[tuple[str, UUID] | None] = asyncio.Queue()
        self._queued: set[tuple[str, UUID]] = set()

    async def on_due(self, session: Session, item: DueItem) -> None:
        """Queues a due delivery for the workers and moves its due item to the end of the lease."""
        place = (session.tenant, UUID(item.ref))
        if await deliveries.find_state(session, place[1]) not in UNFINISHED_STATES:
            return
        await session.schedule("deliver", item.ref, session.now + timedelta(seconds=self._lease_seconds))
        if place not in self._queued:
            self._queued.add(place)
            self._queue.put_nowait(place)

    async def run(self, kit: ServiceContext) -> None:
        """The workers, until the process stops. What they have begun they may finish within seconds."""
        workers = [asyncio.create_task(self._work(kit)) for _ in range(self._workers)]
        try:
            await kit.stopping.wait()
            for _ in workers:
                self._queue.put_nowait(None)
            await asyncio.wait(workers, timeout=STOP_TIMEOUT_SECONDS)
        finally:
            for each in workers:
                each.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, kit: ServiceContext) -> None:
        while (place := await self._queue.get()) is not None and not kit.stopping.is_set():
            try:
                await self._deliver(kit, *place)
            except Exception:
                # The due item is still there and brings it back when the lease has run out.
                log.exception("delivery %s of %s was not finished", place[1], place[0])
            finally:
                self._queued.discard(place)

    async def _deliver(self, kit: ServiceContext, tenant: str, id: UUID) -> None:
        begun = datetime.now(UTC)
        async with kit.sessions.begin([tenant], now=begun) as session:
            session.now = await directory.load_now(session, begun)
            job = await deliver.claim(
                session, id, lease_seconds=self._lease_seconds, platform_secret=kit.settings.secret, wall=begun
            )
        if job is None:
            return
        outcome = await self._send(job)
        ended = datetime.now(UTC)
        async with kit.sessions.begin([tenant], now=ended) as session:
            session.now = await directory.load_now(session, ended)
            await deliver.record_attempt(session, job, outcome, wall=ended)

    async def _send(self, job: deliver.DeliveryJob) -> AttemptOutcome | None:
        now = datetime.now(UTC)
        if job.send is None:
            return None
        if isinstance(job.send, Mail):
            if self._mails is None:
                return AttemptOutcome("retry", "no mail server is configured")
            return await self._mails.send(job.send, now=now)
        return await self._webhooks.send(job.send, now=now)
