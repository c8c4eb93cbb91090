"""Long work on the event loop, done in turns: between them everybody else gets theirs."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import TypeVar

Item = TypeVar("Item")

TURN_SECONDS = 0.01


async def by_turns(items: Iterable[Item]) -> AsyncGenerator[Item]:
    """The items, each of which is dealt with in much less than a turn."""
    now = asyncio.get_running_loop().time
    until = now() + TURN_SECONDS
    for item in items:
        yield item
        if now() > until:
            await asyncio.sleep(0)
            until = now() + TURN_SECONDS
