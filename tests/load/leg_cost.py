"""What a leg costs each process in CPU, and how long a process takes to start: the defaults of `uplift scaling`.

`python -m tests.load.leg_cost` starts the real stack, sends calls as a phone system does, one interaction a request, and reads
`process_cpu_seconds_total` of every process before and after. What a process uses while nothing comes is taken off.
CPU time, unlike a rate, hardly changes when the machine has other work; the time to start does."""

import argparse
import json
import re
import statistics
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
from testkit.stack import Stack

from tests.flow.scenario import SOURCE
from tests.flow.stack import StackSuite
from tests.flow.suite import PLAIN
from tests.load.on_stack import bodies_of, post_all, say, set_up_load_tenant

IDLE_SECONDS = 30
STARTED = ("ingest.api", "kpi-engine.work")


def read_cpu_seconds(ports: Mapping[str, int]) -> dict[str, float]:
    """By process, `ingest.api`."""
    found: dict[str, float] = {}
    for name, port in ports.items():
        if name.endswith((".api", ".work")):
            text = httpx.get(f"http://127.0.0.1:{port}/metrics", verify=PLAIN, timeout=30).text
            figure = re.search(r"^process_cpu_seconds_total (\S+)$", text, re.MULTILINE)
            assert figure, name
            found[name] = float(figure[1])
    return found


def measure_start(stack: Stack, name: str) -> float:
    """Seconds from the start of a process to its first ready answer."""
    part = stack.parts[name]
    part.stop()
    began = time.perf_counter()
    part.start()
    return time.perf_counter() - began


def measure_legs(suite: StackSuite, calls: int, first: int) -> dict[str, float]:
    """CPU milliseconds a leg, by process. Sends so many calls, numbered from `first`, and waits until all has followed."""
    headers = {"authorization": f"Bearer {suite.token('boss')}"}
    suite.wait_until_idle(seconds=300)
    idle = read_cpu_seconds(suite.stack.ports)
    time.sleep(IDLE_SECONDS)  # sleep: what a process uses while nothing comes
    before = read_cpu_seconds(suite.stack.ports)
    began = time.perf_counter()
    post_all(f"{suite.url}/api/ingest/v1/sources/{SOURCE}/records", bodies_of(calls, 2, first), lambda: headers)
    suite.wait_until_idle(seconds=600)
    seconds = time.perf_counter() - began
    after = read_cpu_seconds(suite.stack.ports)
    return {
        name: 1000 * (after[name] - used - (used - idle[name]) / IDLE_SECONDS * seconds) / calls
        for name, used in before.items()
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--calls", type=int, default=2_000, help="a leg each")
    options.add_argument("--starts", type=int, default=5)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="uplift-load-") as folder:
        stack = Stack(Path(folder), durable=True, say=say)
        try:
            stack.start()
            suite = StackSuite(stack)
            set_up_load_tenant(suite, fresh=10)
            measure_legs(suite, chosen.calls // 4, 1_000_000)
            figures = measure_legs(suite, chosen.calls, 2_000_000)
            for name, milliseconds in sorted(figures.items()):
                say(f"{name:20} {milliseconds:7.2f} ms of CPU a leg")
            starts = {name: [measure_start(stack, name) for _ in range(chosen.starts)] for name in STARTED}
            for name, seconds in starts.items():
                say(
                    f"{name:20} ready after {statistics.median(seconds):.1f} s ({min(seconds):.1f} to {max(seconds):.1f})"
                )
        finally:
            stack.stop()
    say(json.dumps({"leg_ms": figures, "start_seconds": starts}))


if __name__ == "__main__":
    main()
