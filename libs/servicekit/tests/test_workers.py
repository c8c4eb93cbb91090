"""Worker processes: what is over its deadline is ended, and what comes next is served, in a process that lives."""

import asyncio
import operator
import os
import time
from typing import Any

import pytest
from notes import texts
from servicekit.errors import Invalid
from servicekit.workers import WORKERS, TookTooLong, run_in_worker
from testkit import Harness, wait_until_true


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def until_gone(pid: int) -> None:
    await wait_until_true(lambda: is_gone(pid), seconds=15)


@pytest.mark.parametrize(
    ("work", "args"),
    [(time.sleep, (60,)), (operator.pow, (7, 10**9)), (texts.deaf, (60,)), (os._exit, (1,)), (os.abort, ())],
    ids=["waits", "computes in C", "does not hear", "ends its process", "crashes"],
)
async def test_work_over_its_deadline_is_ended_and_the_next_is_served(work: Any, args: tuple[Any, ...]) -> None:
    """In every process there is, so that the next has none that was spared."""
    asked = time.monotonic()
    ended = await asyncio.gather(
        *(run_in_worker(work, *args, seconds=0.5) for _ in range(WORKERS)), return_exceptions=True
    )
    assert [type(each) for each in ended] == [TookTooLong] * WORKERS
    assert await run_in_worker(len, "abc") == 3
    assert time.monotonic() - asked < 30


async def test_the_process_of_what_took_too_long_is_gone() -> None:
    pid = await run_in_worker(os.getpid)
    working = [asyncio.create_task(run_in_worker(time.sleep, 60, seconds=1)) for _ in range(WORKERS)]
    await asyncio.wait(working)
    await until_gone(pid)
    assert await run_in_worker(os.getpid) != pid


async def test_the_loop_goes_on_meanwhile() -> None:
    slow = asyncio.create_task(run_in_worker(operator.pow, 7, 10**9, seconds=1))
    longest = 0.0
    while not slow.done():
        began = time.monotonic()
        await asyncio.sleep(0.01)  # sleep: how long the loop is held is measured
        longest = max(longest, time.monotonic() - began)
    assert longest < 0.9  # not for as long as it took; a busy machine may take a moment
    with pytest.raises(TookTooLong):
        slow.result()


async def test_what_waits_for_a_process_has_its_whole_time() -> None:
    """The deadline counts from when a process has begun with it."""
    ended = await asyncio.gather(
        *(run_in_worker(time.sleep, 60, seconds=1) for _ in range(WORKERS)), run_in_worker(time.sleep, 0.5, seconds=1),
        return_exceptions=True,
    )  # fmt: skip
    assert [type(each) for each in ended] == [TookTooLong] * WORKERS + [type(None)]


async def test_what_is_wrong_with_the_text_comes_back_as_it_was_raised() -> None:
    with pytest.raises(Invalid) as raised:
        await run_in_worker(texts.refuse)
    assert raised.value.slug == "not-this"


async def test_the_next_request_is_served(notes: Harness) -> None:
    """A request whose text is over its deadline is answered, and so is what comes with it and after it."""
    http = notes.client_as("ada", "acme")
    slow = [asyncio.create_task(http.post("/readings", json={"seconds": 60})) for _ in range(WORKERS)]
    other = await http.post("/readings", json={"seconds": 0})
    assert other.status_code == 200
    for answer in await asyncio.gather(*slow):
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:uplift:problem:took-too-long")
    assert (await http.post("/readings", json={"seconds": 0})).status_code == 200
