"""The clock door: due deliveries, and the workers that send them."""

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
    """Workers that send due deliveries. The clock's transaction queues a delivery; a worker claims it in a second
    transaction, sends it outside of any, and records the outcome in a third. Until then the due item remains, moved to the
    end of the lease: when the process dies in between, there is one more attempt."""

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
        key = (session.tenant, UUID(item.ref))
        if await deliveries.find_state(session, key[1]) not in UNFINISHED_STATES:
            return
        await session.schedule("deliver", item.ref, session.now + timedelta(seconds=self._lease_seconds))
        if key not in self._queued:
            self._queued.add(key)
            self._queue.put_nowait(key)

    async def run(self, kit: ServiceContext) -> None:
        """Runs the workers until the process stops; then attempts in progress have STOP_TIMEOUT_SECONDS to finish."""
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
        while (key := await self._queue.get()) is not None and not kit.stopping.is_set():
            try:
                await self._deliver(kit, *key)
            except Exception:
                # The due item queues the delivery again when the lease has expired.
                log.exception("delivery %s of %s was not finished", key[1], key[0])
            finally:
                self._queued.discard(key)

    async def _deliver(self, kit: ServiceContext, tenant: str, id: UUID) -> None:
        started_at = datetime.now(UTC)
        async with kit.sessions.begin([tenant], now=started_at) as session:
            session.now = await directory.load_now(session, started_at)
            job = await deliver.claim(
                session, id, lease_seconds=self._lease_seconds, platform_secret=kit.settings.secret, wall=started_at
            )
        if job is None:
            return
        outcome = await self._send(job)
        finished_at = datetime.now(UTC)
        async with kit.sessions.begin([tenant], now=finished_at) as session:
            session.now = await directory.load_now(session, finished_at)
            await deliver.record_attempt(session, job, outcome, wall=finished_at)

    async def _send(self, job: deliver.DeliveryJob) -> AttemptOutcome | None:
        now = datetime.now(UTC)
        if job.send is None:
            return None
        if isinstance(job.send, Mail):
            if self._mails is None:
                return AttemptOutcome("retry", "no mail server is configured")
            return await self._mails.send(job.send, now=now)
        return await self._webhooks.send(job.send, now=now)
