"""Due items are leased: one holder at a time, fair between customers, nothing doubled whoever dies."""

import asyncio
import signal
import sys
from datetime import timedelta
from typing import Any

from notes import working
from notes.service import mark
from servicekit import DueItem, Job, Lease
from servicekit.clock_door import ClockDoor
from storage import Session
from testkit import Harness, parse_instant, wait_until_true

DUE = parse_instant("2026-03-02T09:00Z")


async def schedule(notes: Harness, kind: str, ref: str, of: str = "acme", *, minutes: int = 0, **given: Any) -> None:
    async with notes.context.sessions.begin([of], now=notes.now) as session:
        await session.schedule(kind, ref, DUE + timedelta(minutes=minutes), **given)


async def refs(notes: Harness, of: str = "acme") -> dict[str, int]:
    return {row["ref"]: row["times"] for row in await notes.rows(of, "SELECT ref, times FROM effect")}


class Gate:
    """Items that wait until the test lets them go. `most`: how many of a tenant, and of all, were at work at once."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.order: list[str] = []
        self.at_work: dict[str, int] = {}
        self.most: dict[str, int] = {}

    async def enter(self, tenant: str, ref: str) -> None:
        self.order.append(ref)
        for name in (tenant, "all"):
            self.at_work[name] = self.at_work.get(name, 0) + 1
            self.most[name] = max(self.most.get(name, 0), self.at_work[name])
        await self.open.wait()
        for name in (tenant, "all"):
            self.at_work[name] -= 1

    async def on_due(self, session: Session, item: DueItem) -> None:
        await self.enter(item.tenant, item.ref)
        await mark(session, item.tenant, item.ref)

    async def on_job(self, lease: Lease, item: DueItem) -> None:
        await self.enter(item.tenant, item.ref)
        async with lease.begin() as session:
            await mark(session, item.tenant, item.ref)


def door(notes: Harness, gate: Gate, **options: Any) -> ClockDoor:
    return ClockDoor(notes.context.sessions, {"remind": gate.on_due, "read": Job(gate.on_job)}, **options)


async def test_one_tenants_long_job_keeps_nobodys_due_items_waiting(notes: Harness) -> None:
    gate = Gate()
    for number in range(5):
        await schedule(notes, "read", f"job {number}")
    clock = door(notes, gate)
    ticking = asyncio.create_task(clock.tick(DUE + timedelta(hours=1)))
    await wait_until_true(lambda: _is(gate.order == ["job 0"]))
    other, passing = ClockDoor(notes.context.sessions, notes.running.parts.due_handlers), asyncio.Event()
    await schedule(notes, "remind", "mine", minutes=1)
    await schedule(notes, "remind", "theirs", "zeta", minutes=1)
    running = asyncio.create_task(other.run(passing, every_seconds=0.01))

    async def both() -> bool:
        return "mine" in await refs(notes) and "theirs" in await refs(notes, "zeta")

    await wait_until_true(both)
    assert gate.most == {"acme": 1, "all": 1}, "one long job of a tenant at a time"
    gate.open.set()
    await ticking
    passing.set()
    await running
    assert set((await refs(notes)).values()) == {1}


async def _is(value: bool) -> bool:
    return value


async def test_one_tenants_hundreds_of_old_items_do_not_fill_the_page(notes: Harness) -> None:
    for number in range(300):
        await schedule(notes, "remind", f"{number}")
    for tenant in ("beta", "zeta"):
        await schedule(notes, "remind", tenant, tenant, minutes=30)
    gate = Gate()
    ticking = asyncio.create_task(door(notes, gate).tick(DUE + timedelta(hours=1)))
    await wait_until_true(lambda: _is({"beta", "zeta"} <= set(gate.order)))
    assert len(gate.order) <= 6
    assert gate.most["acme"] <= 3
    gate.open.set()
    assert await ticking == 302


async def test_whoever_was_served_longest_ago_is_next(notes: Harness) -> None:
    """Three tenants with endless old work have all the slots; the fourth, whose item is the youngest, gets the next."""
    for tenant in ("a1", "a2", "a3", "a4"):
        for number in range(1 if tenant == "a4" else 20):
            await schedule(notes, "read", f"{tenant} {number}", tenant, minutes=50 if tenant == "a4" else number)
    gate = Gate()
    clock = door(notes, gate)
    ticking = asyncio.create_task(clock.tick(DUE + timedelta(hours=1)))
    await wait_until_true(lambda: _is(len(gate.order) == 3))
    gate.open.set()
    await ticking
    assert "a4 0" in gate.order[:6]


async def test_items_of_one_turn_keep_their_order_and_never_meet(notes: Harness) -> None:
    for number in range(20):
        await schedule(notes, "remind", f"{number:02}", minutes=number, serialize_by="acme agent")
    meeting, order = 0, []

    async def on_due(session: Session, item: DueItem) -> None:
        nonlocal meeting
        meeting += 1
        assert meeting == 1
        await asyncio.sleep(0.001)  # sleep: a handler during which another might begin
        order.append(item.ref)
        meeting -= 1

    assert await ClockDoor(notes.context.sessions, {"remind": on_due}).tick(DUE + timedelta(hours=1)) == 20
    assert order == sorted(order)


async def test_short_jobs_of_one_turn_never_meet_between_their_transactions_either(notes: Harness) -> None:
    """Nor do those of two processes: what they call outside may mind."""
    for number in range(6):
        await schedule(notes, "call", f"{number}", minutes=number, serialize_by="acme provider")
    meeting = 0

    async def call(lease: Lease, item: DueItem) -> None:
        nonlocal meeting
        async with lease.begin():
            pass
        meeting += 1
        assert meeting == 1
        await asyncio.sleep(0.01)  # sleep: a job during which another might begin
        meeting -= 1
        async with lease.begin() as session:
            await mark(session, item.tenant, item.ref)

    doors = [ClockDoor(notes.context.sessions, {"call": Job(call, long=False)}) for _ in range(2)]
    ticking = [asyncio.create_task(each.tick(DUE + timedelta(hours=1))) for each in doors]
    assert sum(await asyncio.gather(*ticking)) == 6
    assert await refs(notes) == {f"{number}": 1 for number in range(6)}


async def test_a_job_whose_lease_is_lost_changes_nothing_more(notes: Harness) -> None:
    """The first holder stalls beyond its lease, another takes over; when the first wakes up, it is too late."""
    stalled, woken, chunks = asyncio.Event(), asyncio.Event(), []

    async def slow(lease: Lease, item: DueItem) -> None:
        async with lease.begin() as session:
            await mark(session, item.tenant, "first")
        stalled.set()
        await woken.wait()
        async with lease.begin() as session:
            chunks.append("too late")
            await mark(session, item.tenant, "second")

    async def quick(lease: Lease, item: DueItem) -> None:
        async with lease.begin() as session:
            await mark(session, item.tenant, "second")

    await schedule(notes, "read", "a")
    zombie = ClockDoor(notes.context.sessions, {"read": Job(slow)})
    ticking = asyncio.create_task(zombie.tick(DUE))
    await stalled.wait()
    heir = ClockDoor(notes.context.sessions, {"read": Job(quick)})
    assert await heir.tick(DUE) == 0, "it is another's until the lease runs out"
    await notes.rows("acme", "UPDATE due_item SET leased_until = clock_timestamp() RETURNING ref")
    assert await heir.tick(DUE) == 1
    woken.set()
    assert await ticking == 0
    assert chunks == []
    assert await refs(notes) == {"first": 1, "second": 1}


async def test_a_lease_is_renewed_while_its_holder_works(notes: Harness) -> None:
    gate = Gate()
    await schedule(notes, "read", "a")
    ticking = asyncio.create_task(door(notes, gate, lease_seconds=0.3).tick(DUE))
    await wait_until_true(lambda: _is(gate.order == ["a"]))
    first = await _leased(notes)

    async def renewed() -> bool:
        return (await _leased(notes) - first).total_seconds() > 0.5

    await wait_until_true(renewed)
    assert await door(notes, gate).tick(DUE) == 0
    gate.open.set()
    assert await ticking == 1


async def _leased(notes: Harness) -> Any:
    return (await notes.rows("acme", "SELECT leased_until FROM due_item"))[0]["leased_until"]


async def test_what_is_scheduled_anew_while_it_is_held_comes_at_its_new_time(notes: Harness) -> None:
    gate = Gate()
    await schedule(notes, "read", "a")
    ticking = asyncio.create_task(door(notes, gate).tick(DUE))
    await wait_until_true(lambda: _is(gate.order == ["a"]))
    await schedule(notes, "read", "a", minutes=5)
    gate.open.set()
    assert await ticking == 0
    assert await refs(notes) == {}
    assert await door(notes, gate).tick(DUE + timedelta(minutes=5)) == 1


async def test_a_process_that_stops_gives_its_jobs_back_at_once(notes: Harness) -> None:
    gate, stopping = Gate(), asyncio.Event()
    await schedule(notes, "read", "a")
    running = asyncio.create_task(door(notes, gate).run(stopping, every_seconds=0.01))
    await wait_until_true(lambda: _is(gate.order == ["a"]))
    stopping.set()
    await asyncio.wait_for(running, 5)
    gate.open.set()
    assert await door(notes, gate).tick(DUE) == 1
    assert await refs(notes) == {"a": 1}


async def test_a_killed_workers_job_is_taken_over_after_its_lease_and_nothing_is_doubled(notes: Harness) -> None:
    await schedule(notes, "read", "a")
    url = notes.context.sessions.engine.url.render_as_string(hide_password=False)
    worker = await asyncio.create_subprocess_exec(sys.executable, working.__file__, url, DUE.isoformat())

    async def in_the_middle() -> bool:
        return len(await refs(notes)) > 3

    await wait_until_true(in_the_middle, seconds=30)
    worker.send_signal(signal.SIGKILL)
    await worker.wait()
    assert len(await refs(notes)) < 40
    heir = ClockDoor(notes.context.sessions, {"read": Job(working.in_forty_chunks)})

    async def taken_over() -> bool:
        return await heir.tick(DUE) == 1

    await wait_until_true(taken_over)
    assert await refs(notes) == {str(number): 1 for number in range(40)}
    assert await notes.rows("acme", "SELECT ref FROM due_item") == []
