"""Time limits for handlers. A handler over its limit is stopped, so that its event can become a dead letter and the next
one is handled.

There are two limits. The total limit cancels the handler, together with its database statement. The step limit bounds the
time between two awaits, during which a handler blocks the event loop for everybody. Signals enforce the step limit: a
timer signal for each quarter of a second of CPU time, and signals from a watchdog thread for a step that blocks without
using CPU. The signal handler runs in the loop's thread and raises only while a step over its limit is running, so no
other code is interrupted. C code that does not check for signals cannot be stopped this way. Then the process exits
(`exit_when_hung`), and the reader's count of attempts keeps the next process from hanging on the same event forever.
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
"""Default total limit: many times what a full batch takes."""
MAX_STEP_SECONDS = 10.0
HUNG_SECONDS = 120.0
_CHECK_INTERVAL_SECONDS = 0.5
_REPEAT_SECONDS = 2.0
_SIGNAL = signal.SIGURG
"""Sent by the watchdog thread. Processes without a handler ignore this signal, and nothing else here uses it."""
_CPU_TIMER_SECONDS = 0.25
"""The watchdog thread does not run while C code holds the interpreter lock, such as a regular expression. This timer does."""


class OverBudget(Exception):
    """The handler exceeded its time limit. A retry would take as long, so this is not transient."""

    transient = False
    caused_by_content = True
    """The message is at fault, not the consumer; such errors are not checked against FailureLimits."""


class _EndStep(BaseException):
    """Raised inside a step over its limit. A BaseException, so that `except Exception` in the handler does not catch it."""


@dataclass(slots=True)
class _CurrentStep:
    """The budgeted step that is running in the loop's thread, if any. Only that thread writes it."""

    since: float | None = None
    limit: float = 0.0
    interrupted_at: float = 0.0
    """When the step was last interrupted. It is interrupted again after _REPEAT_SECONDS, in case it caught the first one."""

    def seconds_over(self) -> float:
        """Seconds beyond the limit; 0 or less while the step is within it, or no step is running."""
        since = self.since
        return 0.0 if since is None else time.monotonic() - since - self.limit


_current_step = _CurrentStep()


async def run_with_budget(
    work: Awaitable[Result], *, seconds: float | None = MAX_HANDLING_SECONDS, step_seconds: float = MAX_STEP_SECONDS
) -> Result:
    """Awaits `work` and returns its result. Raises OverBudget, and stops `work`, when it took longer than `seconds` in total
    (None: no total limit) or blocked the event loop for longer than `step_seconds` at once."""
    _watchdog.start()
    total_timeout = asyncio.timeout(seconds)
    try:
        async with total_timeout:
            result = await _StepTimer(_await_result(work), step_seconds)
    except TimeoutError as error:
        if not total_timeout.expired():
            raise
        raise OverBudget(f"handling this took longer than {seconds:g} s and was ended") from error
    if total_timeout.expired():
        raise OverBudget(f"handling this took longer than {seconds:g} s")
    return result


async def _await_result(work: Awaitable[Result]) -> Result:
    return await work


class _StepTimer(Generic[Result]):
    """Awaits a coroutine and records when each of its steps begins."""

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
            except BaseException as error:  # such as a cancellation: the coroutine handles it
                thrown = error

    def _step(self, value: Any, thrown: BaseException | None) -> Any:
        _current_step.limit, _current_step.interrupted_at = self._limit, 0.0
        _current_step.since = time.monotonic()
        try:
            return self._work.send(value) if thrown is None else self._work.throw(thrown)
        finally:
            _current_step.since = None


def _end_step(_: int, __: Any) -> None:
    """The signal handler. Runs in the loop's thread, between two bytecode instructions."""
    if _current_step.seconds_over() > 0 and time.monotonic() > _current_step.interrupted_at + _REPEAT_SECONDS:
        _current_step.interrupted_at = time.monotonic()
        raise _EndStep


class _Watchdog:
    """Watches the loop's thread from another thread."""

    def __init__(self) -> None:
        self._loop_thread: int | None = None
        self.exit_seconds: float | None = None

    def start(self) -> None:
        """Starts the watchdog; does nothing when it runs already. Python delivers signals to the main thread only, so a
        loop in another thread is not watched."""
        if self._loop_thread is not None or threading.current_thread() is not threading.main_thread():
            return
        self._loop_thread = threading.get_ident()
        signal.signal(_SIGNAL, _end_step)
        signal.signal(signal.SIGVTALRM, _end_step)
        signal.setitimer(signal.ITIMER_VIRTUAL, _CPU_TIMER_SECONDS, _CPU_TIMER_SECONDS)
        # At exit, the interpreter removes signal handlers before it has finished. The timer's next signal would then kill
        # the process, which would look like a crash.
        atexit.register(signal.setitimer, signal.ITIMER_VIRTUAL, 0)
        threading.Thread(target=self._run, name="budget", daemon=True).start()

    def _run(self) -> None:
        assert self._loop_thread is not None
        while True:
            if self.exit_seconds is not None:
                # faulthandler's C thread exits the process if C code holds the interpreter lock and stops this thread.
                faulthandler.dump_traceback_later(self.exit_seconds, exit=True)
            over = _current_step.seconds_over()
            if over > 0:
                signal.pthread_kill(self._loop_thread, _SIGNAL)
            if self.exit_seconds is not None and over > self.exit_seconds:
                log.critical("a handler blocks the event loop and cannot be stopped: this process exits")
                faulthandler.dump_traceback()
                os._exit(os.EX_SOFTWARE)
            time.sleep(_CHECK_INTERVAL_SECONDS)


_watchdog = _Watchdog()


def exit_when_hung(seconds: float = HUNG_SECONDS) -> None:
    """From now on, this process exits when a handler that cannot be stopped has blocked its event loop for `seconds` beyond
    its limit. Its supervisor is expected to restart it."""
    _watchdog.exit_seconds = seconds
    _watchdog.start()
