"""Calls that flow while something is killed, is away, or comes and goes."""

import gzip
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
from testkit.programs import Program

from tests.chaos.crowd import DAYS, Crowd
from tests.chaos.outcome import find_differences, load_outcome
from tests.flow.scenario import SOURCE, ndjson
from tests.flow.stack import StackSuite
from tests.flow.steps import set_up_tenant, user
from tests.flow.suite import PLAIN

FEEDERS = 4
TRIES_SECONDS = 240
RECORDS_A_REQUEST = 500


def _create_set_event() -> threading.Event:
    event = threading.Event()
    event.set()
    return event


@dataclass
class FeedStats:
    """The calls on their way, and what they met. `flowing` is cleared to hold them back, `over` set at their end."""

    requests: int = 0
    taken: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    worst_seconds: float = 0.0
    without_retry_after: int = 0
    seconds: float = 0.0
    flowing: threading.Event = field(default_factory=_create_set_event)
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def record_answer(self, what: str, *, told_when: bool = True) -> None:
        with self.lock:
            self.requests += 1
            if what == "200":
                self.taken += 1
                return
            self.refused[what] = self.refused.get(what, 0) + 1
            self.without_retry_after += not told_when


Fault = Callable[[StackSuite, FeedStats], dict[str, Any]]
"""Does its worst while calls flow, and tells figures of it."""


def feed(suite: StackSuite, tenant: str, crowd: Crowd, feed_stats: FeedStats, *, spread: float = 0) -> None:
    """Every call of the crowd, each agent's days in order, each request again until it was taken. A small crowd's requests
    are spread over so many seconds."""
    began = time.monotonic()
    shares = [crowd.agents[number::FEEDERS] for number in range(FEEDERS)]
    try:
        with ThreadPoolExecutor(FEEDERS) as pool:
            for done in [pool.submit(_feed_share, suite, tenant, crowd, share, feed_stats, spread) for share in shares]:
                done.result()
    finally:
        feed_stats.seconds = time.monotonic() - began
        feed_stats.over.set()


def _feed_share(
    suite: StackSuite, tenant: str, crowd: Crowd, agents: tuple[str, ...], met: FeedStats, spread: float
) -> None:
    began = time.monotonic()
    with httpx.Client(base_url=suite.url, timeout=60, verify=PLAIN) as client:
        for day in range(DAYS):
            records = crowd.records(day, agents)
            for start in range(0, len(records), RECORDS_A_REQUEST):
                due = began + spread * (day + start / len(records)) / DAYS
                time.sleep(max(0.0, due - time.monotonic()))  # sleep: a feed at a fixed rate
                body = gzip.compress(ndjson(records[start : start + RECORDS_A_REQUEST]), 1)
                _post_until_accepted(client, suite, tenant, body, met)


def _post_until_accepted(client: httpx.Client, suite: StackSuite, tenant: str, body: bytes, met: FeedStats) -> None:
    deadline = time.monotonic() + TRIES_SECONDS
    while True:
        began = time.monotonic()
        met.flowing.wait()
        deadline += time.monotonic() - began  # being held back is no try
        began = time.monotonic()
        wait = 0.2
        try:
            answer = client.post(
                f"/api/ingest/v1/sources/{SOURCE}/records",
                content=body,
                headers={
                    "authorization": f"Bearer {suite.token(user('boss', tenant))}",
                    "content-type": "application/x-ndjson",
                    "content-encoding": "gzip",
                },
            )
            what = str(answer.status_code)
            met.record_answer(what, told_when="retry-after" in answer.headers)
            if answer.status_code == 200:
                assert answer.json()["rejected"] == 0, answer.text
                return
            assert answer.status_code in (429, 502, 503, 504), answer.text
            wait = min(2.0, float(answer.headers.get("retry-after", "0.2")))
        except httpx.HTTPError as error:
            met.record_answer(type(error).__name__)
        finally:
            met.worst_seconds = max(met.worst_seconds, time.monotonic() - began)
        assert time.monotonic() < deadline, f"not taken within {TRIES_SECONDS} s: {met.refused}"
        time.sleep(wait)  # sleep: as long as the answer asks for


@dataclass
class FaultResult:
    """One line of the table of figures."""

    fault: str
    interactions: int
    differences: list[str]
    feed: FeedStats
    figures: dict[str, Any]

    def line(self) -> str:
        """Of the table in `docs/chaos.md`."""
        met = self.feed
        refused = ", ".join(f"{count} x {what}" for what, count in sorted(met.refused.items())) or "none"
        told = "; ".join(f"{name} {value}" for name, value in self.figures.items())
        wrong = "equal" if not self.differences else f"**{len(self.differences)} differences**: {self.differences[:3]}"
        return (
            f"| {self.fault} | {self.interactions:,} | {wrong} | {met.seconds:.0f} | {met.taken} taken, refused: {refused}; "
            f"slowest {met.worst_seconds:.1f} s | {told} |"
        )


def run_under_fault(
    fault: str, suite: StackSuite, tenant: str, crowd: Crowd, disturb: Fault, *, spread: float = 0
) -> FaultResult:
    """Feeds a new tenant while `disturb` does its worst; then waits until nothing is under way and compares."""
    set_up_tenant(suite, tenant, crowd.blueprint())
    met = FeedStats()
    with ThreadPoolExecutor(1) as pool:
        disturbing = pool.submit(disturb, suite, met)
        feed(suite, tenant, crowd, met, spread=spread)
        figures = disturbing.result()
    began = time.monotonic()
    suite.wait_until_idle(seconds=300)
    figures["drained after the last request, s"] = round(time.monotonic() - began, 1)
    return FaultResult(fault, crowd.interactions, find_differences(crowd, load_outcome(suite, tenant)), met, figures)


# What may happen


def kill_each(names: list[str], *, every: float) -> Fault:
    """SIGKILL to each part in turn, started again at once; the whole list at least once, however soon the feed ends."""

    def disturb(suite: StackSuite, met: FeedStats) -> dict[str, Any]:
        flowing = 0
        for name in names:
            time.sleep(every)  # sleep: the pause between two kills
            flowing += not met.over.is_set()
            suite.stack.restart(name)
        return {"killed": len(names), "of these while calls flowed": flowing}

    return disturb


def stop_for(name: str, seconds: float) -> Fault:
    """Stopped for a while, then started again. How long the backlog takes is measured without new calls."""

    def disturb(suite: StackSuite, met: FeedStats) -> dict[str, Any]:
        time.sleep(0.5)  # sleep: calls flow before the fault
        suite.stack.parts[name].kill()
        time.sleep(seconds)  # sleep: how long the part is away
        met.flowing.clear()
        try:
            suite.stack.start_part(name)
            back = time.monotonic()
            suite.wait_until_idle(seconds=300)
            return {"away, s": seconds, "drained, s": round(time.monotonic() - back, 1)}
        finally:
            met.flowing.set()

    return disturb


def rebalance_storm(service: str, *, every: float, seconds: float) -> Fault:
    """More workers of one service come and are killed."""

    def disturb(suite: StackSuite, met: FeedStats) -> dict[str, Any]:
        extra: list[Program] = []
        killed = number = 0
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            if len(extra) < 2:
                number += 1
                extra.append(suite.stack.launch_replica(f"{service}.work.{100 + number}"))
            else:
                extra.pop(0).kill()
                killed += 1
            time.sleep(every)  # sleep: the pause between two changes
        for each in extra:
            each.kill()
        return {"workers added": number, "killed": killed + len(extra)}

    return disturb
