"""Long loops on the event loop that yield to other tasks at regular intervals."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import TypeVar

Item = TypeVar("Item")

TIME_SLICE_SECONDS = 0.01


async def iterate_cooperatively(items: Iterable[Item]) -> AsyncGenerator[Item]:
    """Yields the items, and lets other tasks run after each TIME_SLICE_SECONDS. Handling one item must take much less."""
    now = asyncio.get_running_loop().time
    until = now() + TIME_SLICE_SECONDS
    for item in items:
        yield item
        if now() > until:
            await asyncio.sleep(0)
            until = now() + TIME_SLICE_SECONDS
