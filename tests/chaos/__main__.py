"""`make chaos`: every fault at full size on the real stack, as a table of figures."""

import argparse
import sys
import tempfile
from pathlib import Path

from contracts import ALL_SERVICES
from testkit.stack import Stack

from tests.chaos.crowd import create_crowd
from tests.chaos.faults import FaultResult, kill_each, rebalance_storm, run_under_fault, stop_for
from tests.chaos.traffic import overload, run_rolling_restart, slow_clients
from tests.conftest import UNLIMITED
from tests.flow.stack import StackSuite

HEAD = """| fault | interactions | against a recomputation | s | requests | |
|---|---|---|---|---|---|"""


def main() -> int:
    options = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    options.add_argument("--interactions", type=int, default=50_000, help="of each fault")
    options.add_argument("--spread", type=float, default=90, help="seconds over which they come")
    options.add_argument("--away", type=float, default=60, help="seconds without Kafka; PostgreSQL a third of it")
    options.add_argument("--storm", type=float, default=60, help="seconds of consumers coming and going")
    options.add_argument("--overload", type=float, default=60, help="seconds at twice the capacity")
    chosen = options.parse_args()
    processes = [f"{service}.{role}" for role in ("work", "api") for service in ALL_SERVICES]
    faults = {
        "SIGKILL of each process in turn": kill_each([*processes, "envoy", "kafka", "mongodb", "postgres"], every=1),
        "rebalance storm": rebalance_storm("kpi-engine", every=2, seconds=chosen.storm),
        f"Kafka away {chosen.away:g} s": stop_for("kafka", chosen.away),
        f"PostgreSQL away {chosen.away / 3:g} s": stop_for("postgres", chosen.away / 3),
    }
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="uplift-chaos-") as folder:
        stack = Stack(Path(folder), durable=True, replicas={"ingest.api": 2}, environment=UNLIMITED, say=print)
        try:
            stack.start()
            suite = StackSuite(stack)
            print(HEAD, flush=True)
            for number, (name, disturb) in enumerate(faults.items()):
                told: FaultResult = run_under_fault(
                    name, suite, f"chaos-{number}", create_crowd(chosen.interactions), disturb, spread=chosen.spread
                )
                print(told.line(), flush=True)
                wrong += len(told.differences)
            print(run_rolling_restart(suite, "rolling", requests=10_000).line(), flush=True)
            print(overload(suite, "overload", seconds=chosen.overload).line(), flush=True)
            print(slow_clients(suite, "slow", idle=2_000, seconds=20).line(), flush=True)
        finally:
            stack.stop()
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
