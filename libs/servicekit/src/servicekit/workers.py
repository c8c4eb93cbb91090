"""Work that a text of a customer decides the length of: done in another process, which is ended at its deadline.

The grammars and limits of each text come first and keep such work short. This is for what they do not foresee: no thread
can be ended from outside, and one that computes keeps its whole process from everything else.
"""

import asyncio
import atexit
import multiprocessing
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from multiprocessing import resource_tracker
from typing import Any, TypeVar

from pebble import ProcessExpired, ProcessPool

from servicekit.errors import Invalid

Result = TypeVar("Result")

WORKERS = 2
DEADLINE_SECONDS = 5.0
_TASKS_OF_ONE_PROCESS = 500
"""After which it makes room for a new one, with whatever has gathered in it."""


class TookTooLong(Invalid):
    """The work did not end in time and was ended, or it ended its process."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            "took-too-long",
            f"Reading this took longer than {seconds:g} s and was given up. Write it shorter or flatter.",
        )
        self.seconds = seconds

    def __reduce__(self) -> Any:
        return TookTooLong, (self.seconds,)


async def run_in_worker(work: Callable[..., Result], *args: Any, seconds: float = DEADLINE_SECONDS) -> Result:
    """What `work(*args)` returns or raises, all of it pickled. Raises TookTooLong at the deadline, which counts from when
    a process has begun with it."""
    # In a thread: the first call starts the processes, which takes a moment.
    future = await asyncio.to_thread(_pool.submit, work, args, seconds)
    try:
        return await asyncio.wrap_future(future)
    except (TimeoutError, ProcessExpired) as error:
        raise TookTooLong(seconds) from error


class _Pool:
    """The processes, started when they are first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: ProcessPool | None = None

    def submit(self, work: Callable[..., Any], args: tuple[Any, ...], seconds: float) -> "Future[Any]":
        with self._lock:
            if self._processes is None:
                # Before the fork server, which would start it: that unblocks the signal that is blocked below.
                resource_tracker.ensure_running()
                # Not forked from this process, whose threads and connections must not be in them.
                context: Any = multiprocessing.get_context("forkserver")
                context.set_forkserver_preload(["__main__", work.__module__])
                self._processes = ProcessPool(WORKERS, max_tasks=_TASKS_OF_ONE_PROCESS, context=context)
            # Ctrl-C in a terminal reaches every process: those that are started here end with this one, and not before.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                return self._processes.schedule(work, args=list(args), timeout=seconds)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def close(self) -> None:
        with self._lock:
            processes, self._processes = self._processes, None
        if processes is not None:
            processes.stop()
            processes.join()


_pool = _Pool()
atexit.register(_pool.close)
