"""Time slices: while a body is read, other tasks of the process run between its records and pieces."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from itertools import islice

from ingest.model.payload import Payload, Record

SLICE_SECONDS = 0.005
STEPS_PER_THREAD_CALL = 100
_END = Record(0, 0, "")


class TimeSlice:
    """Measures the time since other tasks ran last."""

    def __init__(self) -> None:
        self._until = asyncio.get_running_loop().time() + SLICE_SECONDS

    def is_over(self) -> bool:
        """Whether `SLICE_SECONDS` have passed."""
        return asyncio.get_running_loop().time() > self._until

    async def yield_to_loop(self) -> None:
        """Lets other tasks run, and begins the next slice."""
        await asyncio.sleep(0)
        self._until = asyncio.get_running_loop().time() + SLICE_SECONDS


async def iterate_in_slices(
    steps: Iterator[Record | None], payload: Payload, time_slice: TimeSlice
) -> AsyncGenerator[Record]:
    """The records of the steps. Steps that read much at once run in a thread."""
    while True:
        if payload.is_heavy:
            some = await asyncio.to_thread(lambda: list(islice(steps, STEPS_PER_THREAD_CALL)))
            if not some:
                return
        elif (step := next(steps, _END)) is _END:
            return
        else:
            some = [step]
        for record in some:
            if record is not None:
                yield record
            if time_slice.is_over():
                await time_slice.yield_to_loop()
