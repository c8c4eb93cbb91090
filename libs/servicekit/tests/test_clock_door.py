"""What falls due: one transaction each, at the tenant's own time, until it has worked."""

import asyncio
from datetime import timedelta
from typing import Any

from contracts.directory import TenantChanged
from servicekit.clock_door import ClockDoor
from testkit import Harness, parse_instant, tenant, wait_until_true

DUE = parse_instant("2026-03-02T09:00Z")
MINUTE = timedelta(minutes=1)


async def schedule(notes: Harness, kind: str, ref: str, of_tenant: str = "acme", **body: Any) -> None:
    async with notes.context.sessions.begin([of_tenant], now=notes.now) as session:
        await session.schedule(kind, ref, DUE, body)


async def done(notes: Harness, of_tenant: str = "acme") -> set[str]:
    return {row["ref"] for row in await notes.rows(of_tenant, "SELECT ref FROM effect")}


async def due(notes: Harness) -> dict[str, tuple[Any, int]]:
    rows = await notes.rows("acme", "SELECT ref, at, attempts FROM due_item")
    return {row["ref"]: (row["at"], row["attempts"]) for row in rows}


async def test_nothing_before_its_time_and_once_after_it(notes: Harness) -> None:
    await schedule(notes, "remind", "a")
    assert await notes.tick(DUE - timedelta(seconds=1)) == 0
    assert await done(notes) == set()
    assert await notes.tick(DUE) == 1
    assert await notes.tick(DUE + MINUTE) == 0
    assert await done(notes) == {"a"}
    assert await due(notes) == {}


async def test_the_same_thing_scheduled_again_is_moved_and_can_be_called_off(notes: Harness) -> None:
    await schedule(notes, "remind", "a")
    async with notes.context.sessions.begin(["acme"], now=notes.now) as session:
        await session.schedule("remind", "a", DUE + MINUTE)
        await session.schedule("remind", "b", DUE)
        await session.unschedule("remind", "b")
    assert await notes.tick(DUE) == 0
    assert await notes.tick(DUE + MINUTE) == 1
    assert await done(notes) == {"a"}


async def test_a_handler_sees_its_own_tenant_only(notes: Harness) -> None:
    await schedule(notes, "remind", "a")
    await schedule(notes, "remind", "z", "zeta")
    await notes.tick(DUE)
    assert await done(notes) == {"a"}
    assert await done(notes, "zeta") == {"z"}
    (row,) = await notes.rows("zeta", "SELECT seen FROM effect")
    assert row["seen"] == 0


def clocked(moment: str) -> TenantChanged:
    return tenant("acme", simulated=True, clock=parse_instant(moment))


async def test_a_simulated_tenant_lives_by_its_own_clock(own_notes: Harness) -> None:
    await own_notes.apply_directory("acme", of_tenant=clocked("2026-03-02T08:59Z"))
    await schedule(own_notes, "remind", "a")
    await schedule(own_notes, "remind", "z", "zeta")
    await own_notes.tick(DUE + timedelta(days=300))
    assert await done(own_notes) == set()
    assert await done(own_notes, "zeta") == {"z"}
    await own_notes.apply_directory("acme", of_tenant=clocked("2026-03-02T09:00Z"))
    await own_notes.tick(DUE - timedelta(days=300))
    assert await done(own_notes) == {"a"}


async def test_a_tenant_that_is_no_longer_simulated_is_back_in_wall_time(own_notes: Harness) -> None:
    await own_notes.apply_directory("acme", of_tenant=clocked("2026-03-02T08:59Z"))
    await own_notes.apply_directory("acme", of_tenant=tenant("acme"))
    await schedule(own_notes, "remind", "a")
    assert await own_notes.tick(DUE) == 1


async def test_what_fails_waits_longer_each_time_and_is_never_dropped(notes: Harness) -> None:
    await schedule(notes, "fragile", "f")
    now, pauses = DUE + timedelta(hours=5), list[float]()
    for attempt in range(1, 15):
        assert await notes.tick(now) == 0
        assert await notes.tick(now) == 0, "it is not tried again before its time"
        again, attempts = (await due(notes))["f"]
        assert attempts == attempt
        pauses.append((again - now).total_seconds())
        now = again
    assert pauses[:5] == [1, 2, 4, 8, 16]
    assert pauses[-1] == 3600
    assert await done(notes) == set(), "what a failed attempt did is taken back"
    notes.running.parts.state.fail_due = False
    assert await notes.tick(now) == 1
    assert await done(notes) == {"f"}


async def test_what_fails_and_what_nobody_handles_keeps_nothing_else_waiting(notes: Harness) -> None:
    for number in range(3):
        await schedule(notes, "fragile", f"f{number}")
        await schedule(notes, "no-such-kind", f"n{number}")
    await schedule(notes, "remind", "a")
    await notes.tick(DUE)
    assert await done(notes) == {"a"}
    assert len(await due(notes)) == 6


async def test_two_workers_handle_everything_once(notes: Harness) -> None:
    for number in range(20):
        await schedule(notes, "remind", str(number), slow=0.05)
    other = ClockDoor(notes.context.sessions, notes.running.parts.due_handlers)
    # Nothing is due yet: both open their connections, which may take longer than all items.
    assert await asyncio.gather(notes.tick(DUE - MINUTE), other.tick(DUE - MINUTE)) == [0, 0]
    first = asyncio.create_task(notes.tick(DUE))
    # A worker that looks while another one leases may find every item locked, and would end.
    await wait_until_true(lambda: done(notes))
    counts = [await other.tick(DUE), await first]
    assert sum(counts) == 20
    assert min(counts) > 0, "they share the work"
    assert sorted(notes.running.parts.state.handled, key=int) == [str(number) for number in range(20)]
    rows = await notes.rows("acme", "SELECT times FROM effect")
    assert {row["times"] for row in rows} == {1}


async def test_the_loop_keeps_the_wall_clock_until_it_is_stopped(notes: Harness) -> None:
    await schedule(notes, "remind", "a")
    stopping = asyncio.Event()
    loop = asyncio.create_task(notes.running.clock.run(stopping, every_seconds=0.01))
    await wait_until_true(lambda: done(notes))
    await schedule(notes, "remind", "b")

    async def both() -> bool:
        return await done(notes) == {"a", "b"}

    await wait_until_true(both)
    stopping.set()
    await asyncio.wait_for(loop, 1)
