"""What handling something may take: a handler that exceeds it is ended, so that what it was given is filed away and the
next in line goes on.

Two limits. One for all of it: at its end the handler is cancelled, and the database with it. One for a single step, the
time between two awaits: it holds the event loop, and with it everybody else, so signals look after it: one for each quarter
of a second that the process computes, and those of a thread beside the loop, for a step that only waits. Their handler runs
in the loop's thread and raises only while the very step that is over its limit is under way: nobody else can be hit. Code in
C that looks for no signals cannot be ended this way; then the process can be (`exit_when_hung`), and the reader's count of
attempts keeps the next process from doing the same for ever.
"""

import asyncio
import atexit
import faulthandler
import logging
import os
import signal
import threading
import time
from collections.abc import Awaitable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

log = logging.getLogger("uplift.budget")

Result = TypeVar("Result")

MAX_HANDLING_SECONDS = 300.0
"""Many times what a full batch takes."""
MAX_STEP_SECONDS = 10.0
HUNG_SECONDS = 120.0
_LOOK_SECONDS = 0.5
_AGAIN_SECONDS = 2.0
_SIGNAL = signal.SIGURG
"""Of the thread; ignored where nobody handles it, and used by nothing else here."""
_CPU_TIMER_SECONDS = 0.25
"""The thread does not run while code in C keeps the interpreter to itself, such as a regular expression: that timer does."""


class OverBudget(Exception):
    """Handling this took longer than it may. Trying it again would take as long."""

    transient = False
    caused_by_content = True


class _EndStep(BaseException):
    """Raised inside of a step that is over its limit; no handler of errors on the way takes it for one of its own."""


@dataclass(slots=True)
class _CurrentStep:
    """The step that is under way in the loop's thread, if any of ours is. Written by that thread only."""

    since: float | None = None
    limit: float = 0.0
    told_at: float = 0.0
    """When a step was last told to end; once more after a while, for one that took that for an error of its own."""

    def over(self) -> float:
        """Seconds beyond its limit; not above 0 while it is within, or none is under way."""
        since = self.since
        return 0.0 if since is None else time.monotonic() - since - self.limit


_current_step = _CurrentStep()


async def run_with_budget(
    work: Awaitable[Result], *, seconds: float | None = MAX_HANDLING_SECONDS, step_seconds: float = MAX_STEP_SECONDS
) -> Result:
    """What `work` gives. Raises OverBudget when it took longer than `seconds`, or held the loop for longer than
    `step_seconds` at once; it has been ended then."""
    _watchdog.start()
    whole = asyncio.timeout(seconds)
    try:
        async with whole:
            result = await _StepTimer(_await_result(work), step_seconds)
    except TimeoutError as error:
        if not whole.expired():
            raise
        raise OverBudget(f"handling this took longer than {seconds:g} s and was ended") from error
    if whole.expired():
        raise OverBudget(f"handling this took longer than {seconds:g} s")
    return result


async def _await_result(work: Awaitable[Result]) -> Result:
    return await work


class _StepTimer(Generic[Result]):
    """Awaits a coroutine, and notes when each of its steps began."""

    def __init__(self, work: Coroutine[Any, Any, Result], limit: float) -> None:
        self._work = work
        self._limit = limit

    def __await__(self) -> Generator[Any, Any, Result]:
        value: Any = None
        thrown: BaseException | None = None
        while True:
            try:
                awaited = self._step(value, thrown)
            except StopIteration as done:
                return done.value
            except _EndStep:
                _current_step.since = None
                self._work.close()
                raise OverBudget(f"handling this held everything else up for {self._limit:g} s and was ended") from None
            value = thrown = None
            try:
                value = yield awaited
            except GeneratorExit:
                self._work.close()
                raise
            except BaseException as error:  # such as being cancelled: the coroutine's to deal with
                thrown = error

    def _step(self, value: Any, thrown: BaseException | None) -> Any:
        _current_step.limit, _current_step.told_at = self._limit, 0.0
        _current_step.since = time.monotonic()
        try:
            return self._work.send(value) if thrown is None else self._work.throw(thrown)
        finally:
            _current_step.since = None


def _end_step(_: int, __: Any) -> None:
    """In the loop's thread, between two instructions of whatever runs there."""
    if _current_step.over() > 0 and time.monotonic() > _current_step.told_at + _AGAIN_SECONDS:
        _current_step.told_at = time.monotonic()
        raise _EndStep


class _Watchdog:
    """Looks at the loop's thread from another one."""

    def __init__(self) -> None:
        self._loop_thread: int | None = None
        self.exit_seconds: float | None = None

    def start(self) -> None:
        """Cheap when it runs already. Signals reach the main thread only: a loop in another one is not watched."""
        if self._loop_thread is not None or threading.current_thread() is not threading.main_thread():
            return
        self._loop_thread = threading.get_ident()
        signal.signal(_SIGNAL, _end_step)
        signal.signal(signal.SIGVTALRM, _end_step)
        signal.setitimer(signal.ITIMER_VIRTUAL, _CPU_TIMER_SECONDS, _CPU_TIMER_SECONDS)
        # An interpreter that ends takes handlers away, and what it still has to tidy up takes longer than that timer:
        # the process would be said to have been killed.
        atexit.register(signal.setitimer, signal.ITIMER_VIRTUAL, 0)
        threading.Thread(target=self._run, name="budget", daemon=True).start()

    def _run(self) -> None:
        assert self._loop_thread is not None
        while True:
            if self.exit_seconds is not None:
                # A thread in C looks at this one, which code that never lets go of the interpreter keeps from running.
                faulthandler.dump_traceback_later(self.exit_seconds, exit=True)
            over = _current_step.over()
            if over > 0:
                signal.pthread_kill(self._loop_thread, _SIGNAL)
            if self.exit_seconds is not None and over > self.exit_seconds:
                log.critical("a handler that cannot be ended holds the loop: this process ends")
                faulthandler.dump_traceback()
                os._exit(os.EX_SOFTWARE)
            time.sleep(_LOOK_SECONDS)


_watchdog = _Watchdog()


def exit_when_hung(seconds: float = HUNG_SECONDS) -> None:
    """From now on this process ends itself when a handler that cannot be ended has held its loop for so long: whoever
    started it starts it again, and a process that answers nobody helps nobody."""
    _watchdog.exit_seconds = seconds
    _watchdog.start()
