"""Runs work whose duration depends on a tenant's text in another process, which is killed at a deadline.

The grammar and limits of each kind of text normally keep such work short. This covers what they do not foresee: a thread
cannot be killed, and one that computes blocks its whole process.
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
_MAX_TASKS_PER_PROCESS = 500
"""A worker process is replaced after so many tasks, with the memory that it has accumulated."""


class TookTooLong(Invalid):
    """The work exceeded its deadline and was killed, or its process died."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            "took-too-long",
            f"Reading this took longer than {seconds:g} s and was given up. Write it shorter or flatter.",
        )
        self.seconds = seconds

    def __reduce__(self) -> Any:
        return TookTooLong, (self.seconds,)


async def run_in_worker(work: Callable[..., Result], *args: Any, seconds: float = DEADLINE_SECONDS) -> Result:
    """Calls `work(*args)` in a worker process and returns or raises what it does; everything must be picklable. Raises
    TookTooLong when it takes longer than `seconds`, not counting the time in the queue."""
    # In a thread: the first call starts the processes, which is slow.
    future = await asyncio.to_thread(_pool.submit, work, args, seconds)
    try:
        return await asyncio.wrap_future(future)
    except (TimeoutError, ProcessExpired) as error:
        raise TookTooLong(seconds) from error


class _Pool:
    """The worker processes, started at the first call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: ProcessPool | None = None

    def submit(self, work: Callable[..., Any], args: tuple[Any, ...], seconds: float) -> "Future[Any]":
        with self._lock:
            if self._processes is None:
                # The tracker starts before the fork server, which would start it later and so unblock the signal blocked below.
                resource_tracker.ensure_running()
                # Not forked from this process: workers must not inherit its threads and connections.
                context: Any = multiprocessing.get_context("forkserver")
                context.set_forkserver_preload(["__main__", work.__module__])
                self._processes = ProcessPool(WORKERS, max_tasks=_MAX_TASKS_PER_PROCESS, context=context)
            # Ctrl-C in a terminal reaches every process. Workers ignore it, so that they end with this process, not before.
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
