"""What takes too long is ended: the culprit and nobody else, and the reader goes on behind it."""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from contracts import derived_id
from contracts.scores import BandEntered
from messaging.broker import TopicPartition
from messaging.consumer import OffsetStep
from messaging.retry import is_transient
from servicekit import ReceivedEvent
from servicekit.budget import OverBudget, run_with_budget
from servicekit.event_door import EventDoor
from sqlalchemy.exc import OperationalError
from storage import Session
from testkit import Harness

SHORT = 0.3


def burn() -> None:
    """Holds the loop: no await, no end."""
    while True:
        sum(range(1000))


async def forever() -> None:
    await asyncio.Event().wait()


async def spin() -> None:
    burn()


async def spin_after_a_while() -> None:
    await asyncio.sleep(0.01)  # sleep: the loop takes another turn first
    burn()


async def match() -> None:
    """In C, by an engine that tries everything: it looks for signals now and then."""
    re.match(r"(a+)+$", "a" * 64 + "b")


async def sleep_in_the_loop() -> None:
    time.sleep(60)  # noqa: ASYNC251  # sleep: what is tested


async def catch_all() -> None:
    """A handler that takes every error for one of its items'."""
    for _ in range(3):
        with suppress(Exception):
            burn()


@pytest.mark.parametrize("work", [forever, spin, spin_after_a_while, match, sleep_in_the_loop, catch_all])
async def test_it_is_ended(work: Callable[[], Awaitable[None]]) -> None:
    began = time.monotonic()
    with pytest.raises(OverBudget) as ended:
        await run_with_budget(work(), seconds=2.0, step_seconds=SHORT)
    assert time.monotonic() - began < 20
    assert not is_transient(ended.value)


async def test_only_the_culprit_is_ended() -> None:
    """Others work beside it all the time: in short steps with a budget, and in a long one without any."""
    stop = asyncio.Event()

    async def busy() -> int:
        rounds = 0
        while not stop.is_set():
            sum(range(10_000))
            rounds += 1
            await asyncio.sleep(0)
        return rounds

    async def long_without_a_budget() -> None:
        until = time.monotonic() + 4 * SHORT
        while time.monotonic() < until:
            sum(range(1000))

    others = [asyncio.create_task(run_with_budget(busy(), step_seconds=SHORT)) for _ in range(3)]
    for _ in range(2):
        with pytest.raises(OverBudget):
            await run_with_budget(spin_after_a_while(), step_seconds=SHORT)
        await long_without_a_budget()
    stop.set()
    assert all(await asyncio.gather(*others))


async def test_what_is_within_its_budget_gives_what_it_gives_and_raises_what_it_raises() -> None:
    async def give() -> str:
        await asyncio.sleep(0)
        return "it"

    async def fail(error: Exception) -> None:
        await asyncio.sleep(0)
        raise error

    assert await run_with_budget(give()) == "it"
    for error in (ValueError("x"), TimeoutError("of its own")):
        with pytest.raises(type(error)) as raised:
            await run_with_budget(fail(error))
        assert raised.value is error


async def test_it_can_be_cancelled_and_cleans_up() -> None:
    cleaned = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.set()

    task = asyncio.create_task(run_with_budget(work()))
    await asyncio.sleep(0.01)  # sleep: the work has begun
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned.is_set()


# At the event door


def band(name: str, kpi: str = "silence_pct") -> BandEntered:
    return BandEntered.model_validate({**BandEntered.example, "band_event_id": derived_id(name), "kpi": kpi})


def door_with(notes: Harness, hostile: Callable[[Session], Awaitable[None]], seconds: float) -> EventDoor:
    """The door of `bands`, whose handler does what is hostile with the KPI of that name."""
    door = notes.running.doors["bands"]
    usual: Any = door.subscription.handlers[BandEntered]

    async def handle(session: Session, event: ReceivedEvent[BandEntered]) -> None:
        await usual(session, event)
        if event.body.kpi == "hostile":
            await hostile(session)

    door.subscription = replace(door.subscription, handlers={BandEntered: handle}, max_seconds=seconds)
    return door


async def asks_for_ever(session: Session) -> None:
    await session.execute("SELECT pg_sleep(600)")


async def waits_for_ever(_: Session) -> None:
    await forever()


@pytest.mark.slow
def test_a_process_that_takes_long_to_end_is_not_killed_by_the_timer() -> None:
    program = """
import asyncio, time
from servicekit.budget import run_with_budget

class Tidy:
    def __del__(self, clock=time.process_time):
        end = clock() + 0.6
        while clock() < end:
            pass

tidy = Tidy()
asyncio.run(run_with_budget(asyncio.sleep(0)))
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("hostile", [asks_for_ever, waits_for_ever])
async def test_a_message_over_its_budget_is_buried_and_the_next_is_handled(
    notes: Harness, hostile: Callable[[Session], Awaitable[None]]
) -> None:
    door = door_with(notes, hostile, seconds=1.0)
    partition = TopicPartition("bands", 0)
    await door.load_next_offset("training", partition)
    message = notes.message(band("h", "hostile"), tenant="acme")
    with pytest.raises(OverBudget) as ended:
        await door.apply([message], [OffsetStep("training", partition, 0, 1)])
    await door.bury(message, ended.value, OffsetStep("training", partition, 0, 1))
    await door.apply([notes.message(band("a"), tenant="zeta")], [OffsetStep("training", partition, 1, 2)])
    (letter,) = await notes.rows("acme", "SELECT error FROM dead_letter")
    assert letter["error"].startswith("OverBudget: handling this took longer than 1 s")
    assert await notes.rows("acme", "SELECT 1 FROM effect") == []
    assert len(await notes.rows("zeta", "SELECT 1 FROM effect")) == 1
    # The database does not work on at it either.
    busy = "SELECT count(*) AS n FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
    assert (await notes.rows("acme", busy))[0]["n"] == 0


async def test_whoever_waits_for_a_lock_is_not_to_blame(notes: Harness) -> None:
    async def locks(session: Session) -> None:
        await session.execute("SELECT pg_advisory_xact_lock(4711)")

    door, partition = door_with(notes, locks, seconds=2.0), TopicPartition("bands", 0)
    await door.load_next_offset("training", partition)
    async with notes.context.sessions.begin(["zeta"], now=notes.now) as other:
        await other.execute("SELECT pg_advisory_xact_lock(4711)")
        with pytest.raises(OperationalError) as failed:
            message = notes.message(band("h", "hostile"), tenant="acme")
            await door.apply([message], [OffsetStep("training", partition, 0, 1)])
    assert is_transient(failed.value), "it is tried again, not buried"


async def test_attempts_are_counted_until_the_offset_moves(notes: Harness) -> None:
    door, partition = notes.running.doors["bands"], TopicPartition("bands", 0)
    await door.load_next_offset("training", partition)
    counts = [await door.count_attempts(partition)]
    for _ in range(2):
        await door.begin_attempt(partition)
        counts.append(await door.count_attempts(partition))
    await door.end_attempt(partition)
    counts.append(await door.count_attempts(partition))
    await door.begin_attempt(partition)
    await door.apply([notes.message(band("a"), tenant="acme")], [OffsetStep("training", partition, 0, 1)])
    counts.append(await door.count_attempts(partition))
    await door.begin_attempt(partition)
    counts.append(await door.count_attempts(partition))
    assert counts == [0, 1, 2, 0, 0, 1]
