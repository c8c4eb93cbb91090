"""`make load-stack`: the real stack on this machine, beside a peer that does the same durable work by hand.

Prints records a second from the first byte at the door to the last event in Kafka, for Uplift and for the peer, and their ratio, for small
requests and for files; then how long it takes from a call to the assignment it causes, seen through Envoy, at a steady rate of interactions.
While Uplift is measured its readers take part: KPIs, bands, trainings, points and notices of the same records. The peer has none, and
while it is measured nothing else is under way.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
from testkit import wait_for
from testkit.programs import free_port
from testkit.stack import Stack

from tests.flow.scenario import SOURCE, blueprint, ndjson
from tests.flow.stack import StackSuite
from tests.flow.suite import PLAIN
from tests.load.traffic import AGENTS, call, load_blueprint

CLIENTS = 4  # as many uploads of one tenant as ingest takes at a time
RECORDS_A_REQUEST = 50
RECORDS_A_FILE = 1000
TENANT = "load"
WARMING = 500  # calls
CALM = 0.85  # share of the machine that must be idle before anything is measured


def say(text: str = "") -> None:
    print(text, flush=True)


def post_all(url: str, bodies: list[bytes], headers: Callable[[], dict[str, str]]) -> float:
    """Posts all bodies with `CLIENTS` clients side by side. Returns seconds."""
    waiting = iter(bodies)
    lock = threading.Lock()

    def client() -> None:
        with httpx.Client(timeout=120, verify=PLAIN) as http:
            while True:
                with lock:
                    body = next(waiting, None)
                if body is None:
                    return
                answer = http.post(url, content=body, headers={**headers(), "content-type": "application/x-ndjson"})
                answer.raise_for_status()

    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        for done in [pool.submit(client) for _ in range(CLIENTS)]:
            done.result()
    return time.perf_counter() - began


def bodies_of(calls: int, size: int, first: int = 0) -> list[bytes]:
    """Requests of `size` records, of calls that are numbered from `first` on."""
    records = [record for number in range(first, first + calls) for record in call(number)]
    return [ndjson(records[start : start + size]) for start in range(0, len(records), size)]


def wait_for_calm(seconds: float = 120) -> None:
    """Until what has just been started has warmed up: Keycloak goes on compiling itself for a while."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        before = _ticks()
        time.sleep(3)  # sleep: the interval over which the load is measured
        idle, total = (now - then for now, then in zip(_ticks(), before, strict=True))
        if idle > CALM * total:
            return
    say("the machine is busy with something else: the figures are worse than they need be")


def _ticks() -> tuple[int, int]:
    """Idle and all, of all cores."""
    with open("/proc/stat") as file:
        ticks = [int(each) for each in file.readline().split()[1:]]
    return ticks[3] + ticks[4], sum(ticks)


def wait_for_events(suite: StackSuite) -> None:
    """Until ingest's outbox is empty: Kafka has acknowledged the last event."""
    url = f"http://127.0.0.1:{suite.stack.ports['ingest.work']}/lag"
    wait_for(lambda: not httpx.get(url, verify=PLAIN).json()["ingest"]["outbox"], seconds=600)


def uplift_rate(suite: StackSuite, bodies: list[bytes], records: int) -> float:
    headers = {"authorization": f"Bearer {suite.token('boss')}"}
    url = f"{suite.url}/api/ingest/v1/sources/{SOURCE}/records"
    began = time.perf_counter()
    post_all(url, bodies, lambda: headers)
    wait_for_events(suite)
    return records / (time.perf_counter() - began)


def peer_rate(stack: Stack, warming: list[bytes], bodies: list[bytes], records: int) -> float:
    port = free_port()
    environment = {"PATH": "/usr/bin:/bin", "PEER_DSN": stack.database_dsn, "PEER_KAFKA": stack.kafka.address}
    asyncio.run(make_topic(stack.kafka.address))
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "tests.load.peer:app", "--port", str(port), "--no-access-log"],
        env=environment,
        cwd=Path(__file__).parents[2],
    )
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                httpx.get(f"http://127.0.0.1:{port}/docs", verify=PLAIN)
                break
            except httpx.ConnectError:
                time.sleep(0.1)  # sleep: until the port is open
        url = f"http://127.0.0.1:{port}/records"
        post_all(url, warming, dict)
        return records / post_all(url, bodies, dict)
    finally:
        process.terminate()
        process.wait()


async def make_topic(address: str) -> None:
    from aiokafka.admin import AIOKafkaAdminClient, NewTopic
    from aiokafka.errors import TopicAlreadyExistsError

    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        await admin.create_topics([NewTopic("peer", num_partitions=12, replication_factor=1)])
    except TopicAlreadyExistsError:
        pass
    finally:
        await admin.close()


def latency(suite: StackSuite, *, per_second: int, seconds: int, first: int = 0) -> tuple[list[float], float]:
    """Milliseconds from the moment a call was due to be sent until its assignment can be read, both through Envoy; and
    the rate that was really sent. One call in each request is of an agent who gets an assignment by it; these agents
    are numbered from `first` on."""
    calls_a_request = RECORDS_A_REQUEST // 2
    requests = per_second * seconds // calls_a_request
    sent: dict[str, float] = {}
    seen: dict[str, float] = {}
    stop = threading.Event()
    token = {"authorization": f"Bearer {suite.token('boss')}"}

    def look() -> None:
        with httpx.Client(base_url=suite.url, timeout=30, headers=token, verify=PLAIN) as client:
            while not stop.is_set():
                page = client.get("/api/training/v1/assignments", params={"limit": 100, "template": "load"}).json()
                now = time.perf_counter()
                for each in page["items"]:
                    seen.setdefault(each["agent"], now)
                time.sleep(0.05)  # sleep: asking more often would be load of its own

    def send(number: int, due: float) -> None:
        agent = f"fresh-{first + number:04d}"
        others = 9_000_000 + (first + number) * calls_a_request
        records = [record for each in range(others, others + calls_a_request - 1) for record in call(each)]
        records += call(number, agent=agent, silence=65)
        body = ndjson(records)
        time.sleep(max(0.0, due - time.perf_counter()))  # sleep: an open loop at a fixed rate
        sent[agent] = due
        with clients[number % CLIENTS]:
            answer = https[number % CLIENTS].post(
                f"/api/ingest/v1/sources/{SOURCE}/records",
                content=body,
                headers={**token, "content-type": "application/x-ndjson"},
            )
        answer.raise_for_status()

    clients = [threading.Lock() for _ in range(CLIENTS)]
    https = [httpx.Client(base_url=suite.url, timeout=60, verify=PLAIN) for _ in range(CLIENTS)]
    watcher = threading.Thread(target=look)
    watcher.start()
    began = time.perf_counter() + 1
    with ThreadPoolExecutor(CLIENTS) as pool:
        done = [pool.submit(send, number, began + number * calls_a_request / per_second) for number in range(requests)]
        for each in done:
            each.result()
    rate = requests * calls_a_request / (time.perf_counter() - began)
    deadline = time.monotonic() + 60
    while len(seen.keys() & sent.keys()) < requests and time.monotonic() < deadline:
        time.sleep(0.05)  # sleep: asking more often would be load of its own
    stop.set()
    watcher.join()
    missing = sent.keys() - seen.keys()
    assert not missing, f"{len(missing)} of {requests} calls led to no assignment"
    return sorted(1000 * (seen[agent] - sent[agent]) for agent in sent), rate


def percentile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    options = argparse.ArgumentParser(prog="make load-stack", description=__doc__)
    options.add_argument("--calls", type=int, default=5_000, help="two records each")
    options.add_argument("--per-second", type=int, default=500, help="interactions, for the latency")
    options.add_argument("--seconds", type=int, default=60)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="uplift-load-") as folder:
        stack = Stack(Path(folder), durable=True, say=say)
        try:
            stack.start()
            figures = run(StackSuite(stack), chosen)
        finally:
            stack.stop()
    say(json.dumps(figures))


def set_up_load_tenant(suite: StackSuite, fresh: int) -> None:
    """The tenant of the load with its boss, and `fresh` people who have no call yet; all services know them."""
    suite.call("platform", "POST", "/api/identity/v1/tenants", json={"slug": TENANT, "name": "Load"})
    bundle = load_blueprint(blueprint(), fresh)
    bundle["sections"]["identity"]["people"][0]["login"] = suite.create_account("boss", TENANT)
    suite.call("platform", "PUT", f"/api/identity/v1/tenants/{TENANT}/blueprint", json=bundle)
    time.sleep(1)  # sleep: the blueprint's events are on their way
    suite.wait_until_idle(seconds=300)


def run(suite: StackSuite, chosen: argparse.Namespace) -> dict[str, Any]:
    set_up_load_tenant(suite, chosen.per_second * chosen.seconds // (RECORDS_A_REQUEST // 2))
    say("warming up")
    first = 1_000_000
    warming = bodies_of(WARMING, RECORDS_A_REQUEST, first)
    uplift_rate(suite, warming, 2 * WARMING)
    figures: dict[str, Any] = {}
    say(f"{2 * chosen.calls} records of {AGENTS} agents, {CLIENTS} clients")
    say(f"{'records a request':>20}{'Uplift':>10}{'plain FastAPI':>15}{'ratio':>8}")
    for size in (RECORDS_A_REQUEST, RECORDS_A_FILE):
        first += 1_000_000
        bodies = bodies_of(chosen.calls, size, first)
        suite.wait_until_idle(seconds=300)
        wait_for_calm()
        ours = uplift_rate(suite, bodies, 2 * chosen.calls)
        suite.wait_until_idle(seconds=300)
        wait_for_calm()
        theirs = peer_rate(suite.stack, warming, bodies, 2 * chosen.calls)
        say(f"{size:20}{ours:8,.0f}/s{theirs:13,.0f}/s{ours / theirs:8.2f}")
        figures |= {f"uplift_{size}": ours, f"peer_{size}": theirs, f"ratio_{size}": ours / theirs}
    suite.wait_until_idle(seconds=300)
    wait_for_calm()
    say(f"{chosen.per_second} interactions/s for {chosen.seconds} s through Envoy …")
    waits, rate = latency(suite, per_second=chosen.per_second, seconds=chosen.seconds)
    p50, p99 = percentile(waits, 0.5), percentile(waits, 0.99)
    say(f"call to visible assignment at {rate:.0f} interactions/s: p50 {p50:.0f} ms, p99 {p99:.0f} ms, n {len(waits)}")
    return {**figures, "rate": rate, "p50_ms": p50, "p99_ms": p99}


if __name__ == "__main__":
    main()
