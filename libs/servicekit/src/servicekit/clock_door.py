"""The clock door: handles due items, several at the same time. A simulated tenant has its own clock.

An item is leased (leases.py), so that several processes share the work; when a process dies, its items are free again
after one lease. A short item is one transaction. A job takes long and uses many transactions. Long jobs have their own
slots, so that a tenant's long upload delays neither other tenants nor the tenant's own short items.
"""

import asyncio
import logging
from collections import Counter, OrderedDict
from collections.abc import Mapping
from contextlib import AsyncExitStack, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from messaging.retry import is_transient, wait_for_any
from sqlalchemy import text
from storage import Sessions

from servicekit import metrics
from servicekit.budget import MAX_HANDLING_SECONDS, run_with_budget
from servicekit.leases import LEASE_SECONDS, LeasedItem, LeaseLost, lease_due_items
from servicekit.logs import LogContext, log_context
from servicekit.service_definition import DueHandler, Job

if TYPE_CHECKING:
    from servicekit.telemetry import Tracing

log = logging.getLogger("uplift.clock")

_MAX_SERVED_TENANTS = 1000  # only the most recently served tenants are remembered

_SELECT_LATE_SECONDS = """
SELECT extract(epoch FROM clock_timestamp() - min(d.at)) FROM due_item d
LEFT JOIN tenant_clock c ON c.tenant = d.tenant WHERE c.now IS NULL AND d.at <= clock_timestamp()
AND (d.leased_until IS NULL OR d.leased_until <= clock_timestamp())
"""


@dataclass
class Lane:
    """A fixed number of slots for items that are handled at the same time, at most `per_tenant` for one tenant. `long`: for
    long jobs only."""

    slots: int
    per_tenant: int
    long: bool = False
    running: Counter[str] = field(default_factory=Counter[str])
    _served: OrderedDict[str, int] = field(default_factory=OrderedDict[str, int])
    _count: int = 0

    @property
    def free(self) -> int:
        """The number of free slots."""
        return self.slots - self.running.total()

    @property
    def served(self) -> Mapping[str, int]:
        """Tenant → sequence number of its last item; the lowest was served longest ago."""
        return self._served

    def acquire_slot(self, tenant: str) -> None:
        """Takes a slot for an item of the tenant. The caller has checked that one is free."""
        self._count += 1
        self.running[tenant] += 1
        self._served[tenant] = self._count
        self._served.move_to_end(tenant)
        if len(self._served) > _MAX_SERVED_TENANTS:
            self._served.popitem(last=False)

    def release_slot(self, tenant: str) -> None:
        """Frees a slot that was acquired for the tenant."""
        self.running[tenant] -= 1
        if not self.running[tenant]:
            del self.running[tenant]


class ClockDoor:
    """Leases a service's due items and calls their handlers. `handlers`: kind → handler or job."""

    def __init__(
        self, sessions: Sessions, handlers: Mapping[str, DueHandler | Job], *, lease_seconds: float = LEASE_SECONDS
    ) -> None:
        self._sessions = sessions
        self._handlers = handlers
        self._seconds = lease_seconds
        self._jobs = [kind for kind, handler in handlers.items() if isinstance(handler, Job) and handler.long]
        self._lanes = [Lane(6, 3), *([Lane(3, 1, long=True)] if self._jobs else [])]
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._running: dict[asyncio.Task[int], LeasedItem] = {}
        self._slot_freed = asyncio.Event()
        self.tracing: Tracing | None = None
        for kind in handlers:
            for outcome in ("handled", "failed"):
                metrics.DUE_ITEMS.labels(sessions.service, kind, outcome)

    async def tick(self, wall: datetime) -> int:
        """Handles due items until none is due. Returns how many were handled. `wall`: the current time of real tenants."""
        pending, handled = await self._start_due_items(wall), 0
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            handled += sum(each.result() for each in done)
            pending |= await self._start_due_items(wall)
        return handled

    async def late_seconds(self) -> float:
        """Seconds since the oldest due item without a lease fell due; 0 when there is none. Simulated tenants are left out,
        since their clocks jump."""
        async with self._sessions.system_transaction() as connection:
            return float(await connection.scalar(text(_SELECT_LATE_SECONDS)) or 0)

    async def run(self, stopping: asyncio.Event, *, every_seconds: float = 1.0) -> None:
        """Handles due items until `stopping` is set. Looks for new ones every `every_seconds` and whenever a slot becomes
        free. On stop, short items finish; long jobs are cancelled and their leases released."""
        try:
            while not stopping.is_set():
                self._slot_freed.clear()
                try:
                    await self._start_due_items(datetime.now(UTC))
                except Exception as error:
                    # Without a database, every service logs this every second, so a transient error has no traceback.
                    log.warning("the clock could not look for due items: %s", error, exc_info=not is_transient(error))
                await wait_for_any(every_seconds, stopping, self._slot_freed)
        finally:
            for task, leased in self._running.items():
                if leased.item.kind in self._jobs:
                    task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _start_due_items(self, wall: datetime) -> set[asyncio.Task[int]]:
        """Leases due items for the free slots and starts a task for each."""
        started: set[asyncio.Task[int]] = set()
        for lane in self._lanes:
            if lane.free <= 0:
                continue
            found = await lease_due_items(
                self._sessions, wall, free=lane.free, per_tenant=lane.per_tenant, jobs=self._jobs, long=lane.long,
                running=lane.running, served=lane.served, seconds=self._seconds,
            )  # fmt: skip
            for leased in found:
                lane.acquire_slot(leased.item.tenant)
                task = asyncio.create_task(self._handle(leased, lane))
                self._running[task] = leased
                task.add_done_callback(self._forget)
                started.add(task)
        return started

    def _forget(self, task: asyncio.Task[int]) -> None:
        del self._running[task]
        self._slot_freed.set()

    async def _handle(self, leased: LeasedItem, lane: Lane) -> int:
        service, item = self._sessions.service, leased.item
        log_context.set(LogContext(service, item.tenant))
        try:
            async with AsyncExitStack() as stack:
                if leased.serialize_by is not None:
                    # Items with the same key wait here, in the order in which they fell due, without a connection.
                    await stack.enter_async_context(self._locks.setdefault(leased.serialize_by, asyncio.Lock()))
                stack.enter_context(self.tracing.start_due_item_span(item.kind) if self.tracing else nullcontext())
                await self._run_item(leased)
            metrics.DUE_ITEMS.labels(service, item.kind, "handled").inc()
            return 1
        except LeaseLost:
            return 0
        except asyncio.CancelledError:
            with suppress(Exception):
                await asyncio.shield(leased.release())
            raise
        except Exception:
            # The item is retried with growing pauses and never dropped.
            log.exception("due item %s %s of %s failed", item.kind, item.ref, item.tenant)
            metrics.DUE_ITEMS.labels(service, item.kind, "failed").inc()
            await self._postpone(leased)
            return 0
        finally:
            lane.release_slot(item.tenant)

    async def _postpone(self, leased: LeasedItem) -> None:
        try:
            await leased.postpone()
        except Exception as error:
            # The item is retried when its lease expires.
            log.warning("due item %s could not be postponed: %s", leased.item.ref, error)

    async def _run_item(self, leased: LeasedItem) -> None:
        handler = self._handlers[leased.item.kind]
        if isinstance(handler, Job):
            await self._run_job(handler, leased)
            return
        async with leased.finish() as session:
            await run_with_budget(handler(session, leased.item))

    async def _run_job(self, job: Job, leased: LeasedItem) -> None:
        renewing = asyncio.create_task(_renew(leased))
        try:
            async with AsyncExitStack() as stack:
                if leased.serialize_by is not None:
                    await stack.enter_async_context(self._sessions.hold_lock(leased.serialize_by))
                lease = replace(leased, serialize_by=None)  # the lock is held outside of the job's transactions
                await run_with_budget(job.run(lease, leased.item), seconds=None if job.long else MAX_HANDLING_SECONDS)
        finally:
            renewing.cancel()
        async with leased.finish():
            pass


async def _renew(leased: LeasedItem) -> None:
    while True:
        await asyncio.sleep(leased.seconds / 3)
        try:
            await leased.renew()
        except Exception as error:
            log.warning("the lease of %s could not be renewed: %s", leased.item.ref, error)
