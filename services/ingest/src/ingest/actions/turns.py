"""A body is read in turns: between its records and pieces others of this process get theirs."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from itertools import islice

from ingest.model.payload import Payload, Record

TURN_S = 0.005
STEPS = 100
_END = Record(0, 0, "")


class Turn:
    """Between records and pieces of a body others get their turn, as often as time has passed."""

    def __init__(self) -> None:
        self._until = asyncio.get_running_loop().time() + TURN_S

    def over(self) -> bool:
        return asyncio.get_running_loop().time() > self._until

    async def give(self) -> None:
        await asyncio.sleep(0)
        self._until = asyncio.get_running_loop().time() + TURN_S


async def in_turns(steps: Iterator[Record | None], payload: Payload, turn: Turn) -> AsyncGenerator[Record]:
    """The records of the steps. Where one has much to read at once, it does so in a thread."""
    while True:
        if payload.heavy:
            some = await asyncio.to_thread(lambda: list(islice(steps, STEPS)))
            if not some:
                return
        elif (step := next(steps, _END)) is _END:
            return
        else:
            some = [step]
        for record in some:
            if record is not None:
                yield record
            if turn.over():
                await turn.give()
