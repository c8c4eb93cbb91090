"""The simulated call centre of the demo tenant as a process of its own. It runs the history with a progress bar, and then
shift after shift until it is stopped or its parent process exits."""

import argparse
import asyncio
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from simulator import demo
from simulator.centre import Centre, build_centre
from simulator.driver import HistoryProgress, run_history, run_live
from simulator.tenant import Access, SimulationFailed, TenantClient

log = logging.getLogger("uplift.simulation")

_RETRY_SECONDS = 3
_PARENT_CHECK_SECONDS = 2
_PROGRESS_SECONDS = 10
"""The time between lines of progress when there is no terminal for a bar."""


def main() -> None:
    """Parses the command line and runs until SIGTERM, Ctrl-C, or the end of the parent process; with `--history-only` until the
    history has reached the present."""
    parser = argparse.ArgumentParser(prog="python -m simulator", description=__doc__)
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="the URL of Uplift")
    parser.add_argument("--keycloak", metavar="REALM", help="the realm in which people and the phone system sign in")
    parser.add_argument("--lag-url", action="append", help="/lag of a process that consumes events; may be repeated")
    parser.add_argument(
        "--speed",
        type=float,
        default=1.0,
        help="speed of the newest shift until it has reached the present; 1 is real time",
    )
    parser.add_argument("--history-only", action="store_true", help="stop when history has reached the present")
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    with suppress(KeyboardInterrupt):
        sys.exit(asyncio.run(_until_stopped(options)))


async def _until_stopped(options: argparse.Namespace) -> int:
    work = asyncio.create_task(_run(options))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    watch = asyncio.create_task(_cancel_without_parent(work))
    try:
        await work
    except asyncio.CancelledError:
        return 0
    finally:
        watch.cancel()
    return 0


async def _run(options: argparse.Namespace) -> None:
    # The start date does not matter: agents and their calls do not depend on the bundle's dates.
    bundle = demo.load_blueprint(demo.history_start(datetime.now(UTC).date()))
    centre = build_centre(bundle["sections"]["identity"], featured="agent")
    async with httpx.AsyncClient(base_url=options.url, timeout=120) as client:
        access = _access(client, options)
        tenant = TenantClient(access)
        await _history(tenant, centre, to_present=options.history_only)
        if not options.history_only:
            await run_live(tenant, centre, options.speed, on_present=_print_caught_up)


def _access(client: httpx.AsyncClient, options: argparse.Namespace) -> Access:
    lag = {"lag_urls": options.lag_url} if options.lag_url else {}
    if options.keycloak is None:
        return Access(client, demo.TENANT, demo.PHONE_SYSTEM, demo.PHONE_SYSTEM_SECRET, demo.PASSWORD, **lag)
    return Access(
        client,
        demo.TENANT,
        demo.PHONE_SYSTEM_CLIENT,
        demo.PHONE_SYSTEM_SECRET,
        demo.LONG_PASSWORD,
        token_path=demo.token_path(options.keycloak),
        **lag,
    )


def _print_caught_up() -> None:
    print("The simulated shift has reached the present, and goes on in real time.", flush=True)


async def _history(tenant: TenantClient, centre: Centre, *, to_present: bool) -> None:
    """Runs history up to the newest shift, or to now with `to_present`. Tries again while services do not answer."""
    console = Console()
    columns = [
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[day]}"),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Simulated history", total=None, day="")

        printed_at = time.monotonic()

        def show(progress: HistoryProgress) -> None:
            nonlocal printed_at
            day = centre.calendar_day(progress.now).isoformat()
            bar.update(task, total=progress.total, completed=progress.done, day=day)
            if not console.is_terminal and time.monotonic() - printed_at >= _PROGRESS_SECONDS:
                printed_at = time.monotonic()
                print(f"Simulated history: {progress.done} of {progress.total} slices, at {day}", flush=True)

        while True:
            began = datetime.now(UTC)
            try:
                until = began if to_present else centre.last_shift(began)
                progress = await run_history(tenant, centre, until, show)
                break
            except (httpx.HTTPError, SimulationFailed) as error:
                log.warning("the simulated history waits: %s", error)
                await asyncio.sleep(_RETRY_SECONDS)
    if progress.records:
        seconds = (datetime.now(UTC) - began).total_seconds()
        print(f"Simulated history: {progress.records:,} records in {seconds:.0f} s.", flush=True)


async def _cancel_without_parent(work: "asyncio.Task[None]") -> None:
    parent = os.getppid()
    while os.getppid() == parent:
        await asyncio.sleep(_PARENT_CHECK_SECONDS)
    work.cancel()


if __name__ == "__main__":
    main()
