"""The time door: what falls due, several items beside each other. A simulated tenant lives by its own clock.

An item is leased (see leases.py), so that any number of processes share the work and one that dies leaves nothing behind
for longer than a lease. Short items are one transaction each. Jobs, which take long, work in many, in slots of their own:
a customer's long upload keeps neither other customers nor the customer's own due dates waiting.
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

_MAX_SERVED_TENANTS = 1000  # tenants that were served last

_SELECT_LATE_SECONDS = """
SELECT extract(epoch FROM clock_timestamp() - min(d.at)) FROM due_item d
LEFT JOIN tenant_clock c ON c.tenant = d.tenant WHERE c.now IS NULL AND d.at <= clock_timestamp()
AND (d.leased_until IS NULL OR d.leased_until <= clock_timestamp())
"""


@dataclass
class Lane:
    """Slots for items that are handled at the same time, at most `per_tenant` of one tenant's."""

    slots: int
    per_tenant: int
    long: bool = False
    running: Counter[str] = field(default_factory=Counter[str])
    _served: OrderedDict[str, int] = field(default_factory=OrderedDict[str, int])
    _count: int = 0

    @property
    def free(self) -> int:
        return self.slots - self.running.total()

    @property
    def served(self) -> Mapping[str, int]:
        return self._served

    def acquire_slot(self, tenant: str) -> None:
        self._count += 1
        self.running[tenant] += 1
        self._served[tenant] = self._count
        self._served.move_to_end(tenant)
        if len(self._served) > _MAX_SERVED_TENANTS:
            self._served.popitem(last=False)

    def release_slot(self, tenant: str) -> None:
        self.running[tenant] -= 1
        if not self.running[tenant]:
            del self.running[tenant]


class ClockDoor:
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
        """Handles what is due, and returns how many items were when nothing is any more."""
        mine, handled = await self._start_due_items(wall), 0
        while mine:
            done, mine = await asyncio.wait(mine, return_when=asyncio.FIRST_COMPLETED)
            handled += sum(each.result() for each in done)
            mine |= await self._start_due_items(wall)
        return handled

    async def late_seconds(self) -> float:
        """How long the oldest due item that nobody handles has been due; 0 when there is none. Simulated tenants, whose
        clocks leap, not counted."""
        async with self._sessions.system_transaction() as connection:
            return float(await connection.scalar(text(_SELECT_LATE_SECONDS)) or 0)

    async def run(self, stopping: asyncio.Event, *, every_seconds: float = 1.0) -> None:
        """Handles due items until `stopping` is set. Looks for them every `every_seconds`, and whenever a slot is free again.
        On a stop, short items finish; jobs are cancelled and their leases released."""
        try:
            while not stopping.is_set():
                self._slot_freed.clear()
                try:
                    await self._start_due_items(datetime.now(UTC))
                except Exception as error:
                    # Without a database every service's clock says so every second: one line each is enough.
                    log.warning("the clock could not look for due items: %s", error, exc_info=not is_transient(error))
                await wait_for_any(every_seconds, stopping, self._slot_freed)
        finally:
            for task, held in self._running.items():
                if held.item.kind in self._jobs:
                    task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def _start_due_items(self, wall: datetime) -> set[asyncio.Task[int]]:
        """Fills the free slots."""
        begun: set[asyncio.Task[int]] = set()
        for lane in self._lanes:
            if lane.free <= 0:
                continue
            found = await lease_due_items(
                self._sessions, wall, free=lane.free, per_tenant=lane.per_tenant, jobs=self._jobs, long=lane.long,
                running=lane.running, served=lane.served, seconds=self._seconds,
            )  # fmt: skip
            for held in found:
                lane.acquire_slot(held.item.tenant)
                task = asyncio.create_task(self._handle(held, lane))
                self._running[task] = held
                task.add_done_callback(self._forget)
                begun.add(task)
        return begun

    def _forget(self, task: asyncio.Task[int]) -> None:
        del self._running[task]
        self._slot_freed.set()

    async def _handle(self, held: LeasedItem, lane: Lane) -> int:
        service, item = self._sessions.service, held.item
        log_context.set(LogContext(service, item.tenant))
        try:
            async with AsyncExitStack() as stack:
                if held.lock_key is not None:
                    # In the order in which they fell due, and without a connection for those who wait.
                    await stack.enter_async_context(self._locks.setdefault(held.lock_key, asyncio.Lock()))
                stack.enter_context(self.tracing.start_due_item_span(item.kind) if self.tracing else nullcontext())
                await self._run_item(held)
            metrics.DUE_ITEMS.labels(service, item.kind, "handled").inc()
            return 1
        except LeaseLost:
            return 0
        except asyncio.CancelledError:
            with suppress(Exception):
                await asyncio.shield(held.release())
            raise
        except Exception:
            # It is tried again with growing pauses and never dropped: what fell due stays due.
            log.exception("due item %s %s of %s failed", item.kind, item.ref, item.tenant)
            metrics.DUE_ITEMS.labels(service, item.kind, "failed").inc()
            await self._postpone(held)
            return 0
        finally:
            lane.release_slot(item.tenant)

    async def _postpone(self, held: LeasedItem) -> None:
        try:
            await held.postpone()
        except Exception as error:
            # Its lease runs out, and it is tried again then.
            log.warning("due item %s could not be postponed: %s", held.item.ref, error)

    async def _run_item(self, held: LeasedItem) -> None:
        handler = self._handlers[held.item.kind]
        if isinstance(handler, Job):
            await self._run_job(handler, held)
            return
        async with held.finish() as session:
            await run_with_budget(handler(session, held.item))

    async def _run_job(self, job: Job, held: LeasedItem) -> None:
        renewing = asyncio.create_task(_renew(held))
        try:
            async with AsyncExitStack() as stack:
                if held.lock_key is not None:
                    await stack.enter_async_context(self._sessions.hold_lock(held.lock_key))
                mine = replace(held, lock_key=None)  # it is taken already, and not by a transaction
                await run_with_budget(job.run(mine, held.item), seconds=None if job.long else MAX_HANDLING_SECONDS)
        finally:
            renewing.cancel()
        async with held.finish():
            pass


async def _renew(held: LeasedItem) -> None:
    while True:
        await asyncio.sleep(held.seconds / 3)
        try:
            await held.renew()
        except Exception as error:
            log.warning("the lease of %s could not be renewed: %s", held.item.ref, error)
