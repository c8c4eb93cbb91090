"""Runs the simulated centre against a tenant, as an HTTP client like any customer: first its history, then its shifts.

No state is stored between runs. The tenant's clock says how far the simulation has come, and agents' habits follow from the
trainings that they have finished. After a restart the records around the clock are posted again, which changes nothing.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import httpx

from simulator import learners
from simulator.centre import LONGEST_DELAY_DAYS, Centre, Delivery, workdays
from simulator.tenant import SimulationFailed, TenantClient

log = logging.getLogger("uplift.simulation")

_ASSIGNMENT_INTERVAL = timedelta(minutes=20)
_LONG_JUMP = timedelta(hours=1)


@dataclass(frozen=True)
class HistoryProgress:
    """`done` of `total` slices are posted, with `records` records. `now` is the tenant's clock."""

    done: int
    total: int
    records: int
    now: datetime


@dataclass
class Feed:
    """Generates records day by day, and holds those that are not delivered yet. `first_day` is the centre's first day. Records
    up to the instant `since` were delivered before."""

    tenant: TenantClient
    centre: Centre
    first_day: date
    since: datetime
    _next_day: date | None = None
    _waiting: list[Delivery] = field(default_factory=list)

    async def collect_due(self, until: datetime) -> list[Delivery]:
        """The records that are due up to `until`, in order. They are held until `drop_delivered`."""
        last = self.centre.calendar_day(until)
        first = self._next_day or self.centre.calendar_day(self.since) - timedelta(days=LONGEST_DELAY_DAYS)
        days = workdays(max(first, self.first_day), last)
        if days:
            finished = await learners.load_finished_days(self.tenant, self.centre)
            for day in days:
                deliveries = await asyncio.to_thread(self.centre.deliveries, day, finished)
                self._waiting += [each for each in deliveries if each.at > self.since.timestamp()]
        self._next_day = last + timedelta(days=1)
        return sorted(each for each in self._waiting if each.at <= until.timestamp())

    def drop_delivered(self, until: datetime) -> None:
        """Removes the records that were delivered up to `until`."""
        self._waiting = [each for each in self._waiting if each.at > until.timestamp()]


async def run_history(
    tenant: TenantClient, centre: Centre, until: datetime, on_progress: Callable[[HistoryProgress], None] | None = None
) -> HistoryProgress:
    """Simulates the time from the tenant's clock to `until`, as fast as the services process it. Another run resumes where
    the last one stopped, and does nothing when the clock has passed `until`. Raises SimulationFailed, httpx.HTTPError."""
    clock = await tenant.load_clock()
    since = centre.find_resume_point(clock)
    feed = Feed(tenant, centre, await tenant.load_first_day(), since)
    # The slice that ends at the clock may have been interrupted, so it is posted again.
    ends = sorted({max(end, clock) for end in centre.slice_ends(since, until)}) if clock < until else []
    progress = HistoryProgress(0, len(ends), 0, clock)
    for end in ends:
        await tenant.move_clock(end)
        # Services get the new time by an event. Until it arrives, this slice's records would be in the future.
        records, _ = await asyncio.gather(feed.collect_due(end), tenant.wait_until_idle())
        if records:
            await tenant.send([each.record for each in records])
            await tenant.wait_until_idle()
        feed.drop_delivered(end)
        await learners.work_on_assignments(tenant, centre, end)
        progress = HistoryProgress(progress.done + 1, len(ends), progress.records + len(records), end)
        if on_progress:
            on_progress(progress)
    if ends:
        await tenant.wait_until_idle()
    return progress


async def run_live(
    tenant: TenantClient,
    centre: Centre,
    speed: float,
    *,
    skip_idle: bool | None = None,
    wall: Callable[[], datetime] = lambda: datetime.now(UTC),
    pause: Callable[[float], Awaitable[float]] | None = None,
    on_present: Callable[[], None] = lambda: None,
) -> None:
    """Simulates shift after shift from the tenant's clock on, until cancelled. The tenant's clock never passes the wall clock.
    When it reaches the wall clock, `on_present` is called, and from then on the simulation runs in real time.

    A `speed` of 1 is real time; at 60 a workday takes about ten minutes. `skip_idle` skips the time between shifts, by
    default at any speed above 1. `pause` sleeps some seconds and returns the seconds that passed. Raises ValueError for a
    speed of 0 or less.
    """
    if speed <= 0:
        raise ValueError("speed must be above 0")
    shift = _LiveShift(tenant, centre, wall, skip_idle=speed > 1 if skip_idle is None else skip_idle)
    notified = False
    while True:
        try:
            await shift.step()
        except (httpx.HTTPError, SimulationFailed) as error:
            # The services may be restarting: continue from the clock that they report then.
            log.warning("the simulated shift waits: %s", error)
            shift = _LiveShift(tenant, centre, wall, skip_idle=shift.skip_idle)
        if shift.at_present and not notified:
            on_present()
            notified = True
        seconds = 2 if speed >= 10 and not shift.at_present else 10
        shift.passed = timedelta(seconds=await (pause or _pause)(seconds) * speed)


class _LiveShift:
    """The state of the live shift. `passed` is the simulated time since the last step. `at_present` says whether that step
    reached the wall clock."""

    def __init__(self, tenant: TenantClient, centre: Centre, wall: Callable[[], datetime], *, skip_idle: bool) -> None:
        self.tenant = tenant
        self.centre = centre
        self.wall = wall
        self.skip_idle = skip_idle
        self.at_present = False
        self.passed = timedelta()
        self.feed: Feed | None = None
        self.now: datetime | None = None
        self.worked_at: datetime | None = None

    async def step(self) -> None:
        """Moves the clock by `passed`, posts what is due, and works on assignments every `_ASSIGNMENT_INTERVAL`."""
        clock = self.now or await self.tenant.load_clock()
        if self.feed is None:
            self.feed = Feed(
                self.tenant, self.centre, await self.tenant.load_first_day(), self.centre.find_resume_point(clock)
            )
        now = clock + self.passed
        if self.skip_idle and not self.centre.on_shift(now):
            now = self.centre.next_shift(now)
        present = self.wall()
        self.at_present = now >= present
        now = max(clock, min(now, present))
        await self.tenant.move_clock(now)
        if now - clock > _LONG_JUMP:
            # Services get the new time by an event. Until it arrives, new records would be in the future.
            await self.tenant.wait_until_idle()
        records = await self.feed.collect_due(now)
        if records:
            await self.tenant.send([each.record for each in records])
        self.feed.drop_delivered(now)
        if self.worked_at is None or now - self.worked_at >= _ASSIGNMENT_INTERVAL:
            await learners.work_on_assignments(self.tenant, self.centre, now)
            self.worked_at = now
        self.now = now


async def _pause(seconds: float) -> float:
    began = time.monotonic()
    await asyncio.sleep(seconds)
    return time.monotonic() - began
