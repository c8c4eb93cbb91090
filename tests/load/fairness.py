"""`make load-fairness`: how long a live call of one tenant waits for its value while another's backlog is worked off."""

import argparse
import gzip
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.flow.scenario import AHT_MODEL, SOURCE, blueprint, contact, ndjson
from tests.flow.steps import post_records, set_up_tenant, user
from tests.flow.suite import PLAIN, Embedded, Suite
from tests.load.traffic import call, load_blueprint

FILE_RECORDS = 2000
AGENTS = 400
DAYS = 20
KPIS = 4
BUSY, LIVE = "busy", "live"
PAUSE_SECONDS = 0.3
GIVE_UP_SECONDS = 100.0


@dataclass
class WaitTimes:
    """Seconds from sending a call to seeing its value, and of how many calls it was not seen in time."""

    seconds: list[float]
    unseen: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)

    def __str__(self) -> str:
        told = ", ".join(f"{each:.2f}" for each in self.seconds)
        return f"median {self.median:.2f} s, worst {max(self.seconds):.2f} s, {self.unseen} not seen ({told})"


def set_up(suite: Suite, *, agents: int = AGENTS) -> None:
    """Two tenants: one with many people and KPIs, one with the six people of the flow tests."""
    bundle = load_blueprint(blueprint(), agents)
    bundle["sections"]["kpi-engine"]["kpis"] += [AHT_MODEL | {"kpi": f"aht_{number}"} for number in range(KPIS)]
    set_up_tenant(suite, BUSY, bundle)
    set_up_tenant(suite, LIVE)


def busy_call(number: int, agents: int = AGENTS) -> dict[str, Any]:
    """Scattered over agents and days, so that little of it falls together."""
    mixed = number * 2_654_435_761 % 2**32
    record = contact(f"fresh-{mixed % agents:04d}", mixed // agents % DAYS, number % 24)
    record["ContactId"] = f"busy-{number}"
    return record


def send_backlog(suite: Suite, legs: int, *, agents: int = AGENTS, first: int = 0, mode: str = "live") -> None:
    """Finished calls of the busy tenant, as many files at the same time as one tenant may send."""

    def send_file(start: int) -> None:
        calls = range(start, min(start + FILE_RECORDS, first + legs))
        answer = httpx.post(
            f"{suite.url}/api/ingest/v1/sources/{SOURCE}/records",
            timeout=600,
            verify=PLAIN,
            params={"mode": mode},
            content=gzip.compress(ndjson([busy_call(number, agents) for number in calls]), 1),
            headers={
                "authorization": f"Bearer {token}",
                "content-type": "application/x-ndjson",
                "content-encoding": "gzip",
            },
        )
        answer.raise_for_status()
        assert answer.json()["rejected"] == 0, answer.text

    token = suite.token(user("boss", BUSY))
    with ThreadPoolExecutor(4) as senders:
        list(senders.map(send_file, range(first, first + legs, FILE_RECORDS)))


def live_waits(suite: Suite, calls: int, *, first: int) -> WaitTimes:
    """Sends calls of the live tenant one after the other, and waits for the value of each."""
    found = WaitTimes([])
    record = next(call(0, agent="cleo"))
    before = count_counted_calls(suite, LIVE)
    for number in range(first, first + calls):
        record["ContactId"] = f"live-{number}"
        began = time.monotonic()
        post_records(suite, LIVE, [record])
        before += 1
        while count_counted_calls(suite, LIVE) < before and time.monotonic() < began + GIVE_UP_SECONDS:
            time.sleep(0.02)  # sleep: the pace of a measurement, which ends by a limit of its own
        waited = time.monotonic() - began
        found.seconds.append(waited)
        found.unseen += waited >= GIVE_UP_SECONDS
        if found.unseen:
            return found
        time.sleep(PAUSE_SECONDS)  # sleep: the pause between two calls
    return found


def count_counted_calls(suite: Suite, tenant: str) -> int:
    """Of how many calls the tenant's values know."""
    found: list[dict[str, Any]] = suite.call(
        user("boss", tenant),
        "GET",
        "/api/kpi-engine/v1/kpis/aht/values",
        params={"by": "queue", "grain": "total", "from": "2026-03-01", "to": "2026-04-01"},
    )["items"]
    return sum(each["sample"] for each in found)


def records_waiting(suite: Suite) -> int:
    """Legs that ingest has taken in and nobody has counted."""
    lag = suite.lag()
    return lag["ingest"]["outbox"] + lag["kpi-engine"]["legs"] + lag["kpi-engine"]["legs.history"]


def main() -> None:
    options = argparse.ArgumentParser(prog="make load-fairness")
    options.add_argument("--legs", type=int, default=185_000, help="of the backlog")
    options.add_argument("--calls", type=int, default=20, help="live ones, of the other tenant")
    options.add_argument("--mode", choices=("live", "history"), default="live")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="uplift-fairness-") as folder:
        suite = Embedded(Path(folder) / "data", deliver_twice=False)
        suite.start("--no-demo")
        try:
            suite.set_platform_password()
            set_up(suite)
            idle = live_waits(suite, chosen.calls, first=0)
            print(f"idle:     {idle}", flush=True)
            began = time.monotonic()
            send_backlog(suite, chosen.legs, mode=chosen.mode)
            taken = time.monotonic() - began
            print(f"sent:     {chosen.legs} legs in {taken:.1f} s, {records_waiting(suite)} wait", flush=True)
            loaded = live_waits(suite, chosen.calls, first=chosen.calls)
            print(f"loaded:   {loaded}; {records_waiting(suite)} still wait", flush=True)
            suite.wait_until_idle(seconds=1200)
            print(f"settled:  {time.monotonic() - began:.1f} s after the first file", flush=True)
        finally:
            suite.stop()


if __name__ == "__main__":
    main()
