"""Runs the simulated centre against a tenant, as an HTTP client like any customer: first its history, then its shifts.

Nothing is kept between runs. Where it stands is the tenant's clock; what people are like follows from the trainings
they have finished. After a restart the records at the seam are posted once more, which changes nothing.
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

_LEARN_EVERY = timedelta(minutes=20)
_LONG_JUMP = timedelta(hours=1)


@dataclass(frozen=True)
class HistoryProgress:
    """How far history is: `done` of `total` slices, records posted so far, and the tenant's time."""

    done: int
    total: int
    records: int
    now: datetime


@dataclass
class Feed:
    """The records of the days so far that are not delivered yet."""

    tenant: TenantClient
    centre: Centre
    opened: date
    since: datetime
    _next_day: date | None = None
    _waiting: list[Delivery] = field(default_factory=list)

    async def collect_due(self, until: datetime) -> list[Delivery]:
        """What is to be delivered up to `until`, in order; `delivered` takes it away."""
        last = self.centre.local_day(until)
        first = self._next_day or self.centre.local_day(self.since) - timedelta(days=LONGEST_DELAY_DAYS)
        days = workdays(max(first, self.opened), last)
        if days:
            finished = await learners.load_finished_days(self.tenant, self.centre)
            for day in days:
                found = await asyncio.to_thread(self.centre.deliveries, day, finished)
                self._waiting += [each for each in found if each.at > self.since.timestamp()]
        self._next_day = last + timedelta(days=1)
        return sorted(each for each in self._waiting if each.at <= until.timestamp())

    def drop_delivered(self, until: datetime) -> None:
        self._waiting = [each for each in self._waiting if each.at > until.timestamp()]


async def run_history(
    tenant: TenantClient, centre: Centre, until: datetime, on_progress: Callable[[HistoryProgress], None] | None = None
) -> HistoryProgress:
    """Lives through the time from the tenant's clock to `until` as fast as the services follow. Run again, it goes on
    where it stopped; when the clock has passed `until`, it does nothing."""
    clock = await tenant.load_clock()
    since = centre.find_resume_point(clock)
    feed = Feed(tenant, centre, await tenant.load_first_day(), since)
    # The slice that ends at the clock may have been cut off: it is posted again.
    ends = sorted({max(end, clock) for end in centre.slice_ends(since, until)}) if clock < until else []
    progress = HistoryProgress(0, len(ends), 0, clock)
    for end in ends:
        await tenant.move_clock(end)
        # Services learn the time by an event; before that, records of this slice would lie in the future.
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
    """Goes on from the tenant's clock, shift after shift, until it is cancelled. The clock never passes the wall clock:
    where it has caught up with it, `on_present` is called once, and it goes on in real time.

    `speed`: 1 is real time, 60 makes a workday of some ten minutes. `skip_idle`: whether the time between shifts is
    leapt over, which it is at any speed above 1 unless said otherwise. `pause` waits some seconds and gives the seconds
    that passed.
    """
    if speed <= 0:
        raise ValueError("speed must be above 0")
    shift = _LiveShift(tenant, centre, wall, leap=speed > 1 if skip_idle is None else skip_idle)
    told = False
    while True:
        try:
            await shift.step()
        except (httpx.HTTPError, SimulationFailed) as error:
            # The services may be restarting: it goes on from the clock that they show then.
            log.warning("the simulated shift waits: %s", error)
            shift = _LiveShift(tenant, centre, wall, leap=shift.leap)
        if shift.at_present and not told:
            on_present()
            told = True
        seconds = 2 if speed >= 10 and not shift.at_present else 10
        shift.passed = timedelta(seconds=await (pause or _pause)(seconds) * speed)


class _LiveShift:
    """Where the live shift stands; `passed` is the simulated time since its last step, `at_present` whether that step
    reached the wall clock."""

    def __init__(self, tenant: TenantClient, centre: Centre, wall: Callable[[], datetime], *, leap: bool) -> None:
        self.tenant = tenant
        self.centre = centre
        self.wall = wall
        self.leap = leap
        self.at_present = False
        self.passed = timedelta()
        self.feed: Feed | None = None
        self.now: datetime | None = None
        self.learnt: datetime | None = None

    async def step(self) -> None:
        clock = self.now or await self.tenant.load_clock()
        if self.feed is None:
            self.feed = Feed(
                self.tenant, self.centre, await self.tenant.load_first_day(), self.centre.find_resume_point(clock)
            )
        now = clock + self.passed
        if self.leap and not self.centre.on_shift(now):
            now = self.centre.next_shift(now)
        present = self.wall()
        self.at_present = now >= present
        now = max(clock, min(now, present))
        await self.tenant.move_clock(now)
        if now - clock > _LONG_JUMP:
            # Services learn the time by an event; before that, what comes now would lie in the future.
            await self.tenant.wait_until_idle()
        records = await self.feed.collect_due(now)
        if records:
            await self.tenant.send([each.record for each in records])
        self.feed.drop_delivered(now)
        if self.learnt is None or now - self.learnt >= _LEARN_EVERY:
            await learners.work_on_assignments(self.tenant, self.centre, now)
            self.learnt = now
        self.now = now


async def _pause(seconds: float) -> float:
    began = time.monotonic()
    await asyncio.sleep(seconds)
    return time.monotonic() - began
