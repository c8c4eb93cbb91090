"""A look at what holds the event loop."""

import gc
import time
from asyncio import events
from collections.abc import Iterator
from contextlib import contextmanager

from servicekit.run import reduce_garbage_collection

MAX_BLOCK_SECONDS = 0.05


@contextmanager
def record_loop_blockers() -> Iterator[list[tuple[float, str]]]:
    """What held this thread's loop for too long. Counted is the thread's own time on the processor, so that neither a
    loaded machine nor another thread is taken for a fault."""
    held: list[tuple[float, str]] = []
    original = events.Handle._run

    def run(self: events.Handle) -> None:
        began = time.thread_time()
        try:
            original(self)
        finally:
            took = time.thread_time() - began
            if took > MAX_BLOCK_SECONDS:
                held.append((took, repr(self)[:300]))

    events.Handle._run = run
    try:
        yield held
    finally:
        events.Handle._run = original


@contextmanager
def collected_as_in_a_server() -> Iterator[None]:
    """The garbage collector runs as seldom as in a process that serves."""
    known = gc.get_threshold()
    reduce_garbage_collection()
    try:
        yield
    finally:
        gc.set_threshold(*known)
        gc.unfreeze()
