"""Waits for conditions, so that tests need not sleep for as long as something usually takes."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any


def wait_for(condition: Callable[[], Any], *, seconds: float = 10, every: float = 0.02) -> Any:
    """Calls the condition `every` so many seconds and returns its first true value. Raises AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"did not come true within {seconds} s; last seen: {value!r}")
        time.sleep(every)
    return value


async def wait_until_true(condition: Callable[[], Any], *, seconds: float = 10, every: float = 0.02) -> Any:
    """As `wait_for`, without blocking the event loop. `condition` may be a coroutine function."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"did not come true within {seconds} s; last seen: {value!r}")
        await asyncio.sleep(every)
