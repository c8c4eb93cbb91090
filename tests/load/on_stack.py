"""`make load-stack`: the real stack on this machine, beside a peer that does the same durable work by hand.

Prints records a second from the first byte at the door to the last event in Kafka, for Uplift and for the peer, and their ratio; then
how long it takes from a call to the assignment it causes, seen through Envoy, at a steady rate of interactions.
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
from testkit.stack import Stack

from tests.flow.scenario import SOURCE, blueprint, ndjson
from tests.flow.stack import OnStack
from tests.flow.suite import PLAIN, free_port
from tests.load.traffic import AGENTS, call, load_blueprint

CLIENTS = 4  # as many uploads of one tenant as ingest takes at a time
RECORDS_A_REQUEST = 50
TENANT = "load"


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


def bodies_of(calls: int, first: int = 0) -> list[bytes]:
    records = [record for number in range(first, first + calls) for record in call(number)]
    return [ndjson(records[start : start + RECORDS_A_REQUEST]) for start in range(0, len(records), RECORDS_A_REQUEST)]


def wait_for_events(suite: OnStack) -> None:
    """Until ingest's outbox is empty: Kafka has acknowledged the last event."""
    url = f"http://127.0.0.1:{suite.stack.ports['ingest.work']}/lag"
    while httpx.get(url, verify=PLAIN).json()["ingest"]["outbox"]:
        time.sleep(0.02)


def uplift_rate(suite: OnStack, calls: int) -> float:
    headers = {"authorization": f"Bearer {suite.token('boss')}"}
    url = f"{suite.url}/api/ingest/v1/sources/{SOURCE}/records"
    bodies = bodies_of(calls)
    began = time.perf_counter()
    post_all(url, bodies, lambda: headers)
    wait_for_events(suite)
    return 2 * calls / (time.perf_counter() - began)


def peer_rate(stack: Stack, calls: int) -> float:
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
                time.sleep(0.1)
        bodies = bodies_of(calls)
        return 2 * calls / post_all(f"http://127.0.0.1:{port}/records", bodies, dict)
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


def latency(suite: OnStack, *, per_second: int, seconds: int, first: int = 0) -> tuple[list[float], float]:
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
                time.sleep(0.05)

    def send(number: int, due: float) -> None:
        agent = f"fresh-{first + number:04d}"
        others = 1_000_000 + (first + number) * calls_a_request
        records = [record for each in range(others, others + calls_a_request - 1) for record in call(each)]
        records += call(number, agent=agent, silence=65)
        body = ndjson(records)
        time.sleep(max(0.0, due - time.perf_counter()))
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
        time.sleep(0.05)
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
            figures = run(OnStack(stack), chosen)
        finally:
            stack.stop()
    say(json.dumps(figures))


def run(suite: OnStack, chosen: argparse.Namespace) -> dict[str, Any]:
    fresh = chosen.per_second * chosen.seconds // (RECORDS_A_REQUEST // 2)
    suite.call("platform", "POST", "/api/identity/v1/tenants", json={"slug": TENANT, "name": "Load"})
    bundle = load_blueprint(blueprint(), fresh)
    bundle["sections"]["identity"]["people"][0]["login"] = suite.account("boss", TENANT)
    suite.call("platform", "PUT", f"/api/identity/v1/tenants/{TENANT}/blueprint", json=bundle)
    time.sleep(1)
    suite.settle(seconds=300)
    say(
        f"warming up, then {2 * chosen.calls} records of {AGENTS} agents, {RECORDS_A_REQUEST} a request, {CLIENTS} clients"
    )
    post_all(
        f"{suite.url}/api/ingest/v1/sources/{SOURCE}/records",
        bodies_of(200, first=900_000),
        lambda: {"authorization": f"Bearer {suite.token('boss')}"},
    )
    suite.settle(seconds=300)
    ours = uplift_rate(suite, chosen.calls)
    suite.settle(seconds=300)
    theirs = peer_rate(suite.stack, chosen.calls)
    say(f"{'door to last event in Kafka':34}{ours:10,.0f} records/s")
    say(f"{'peer: plain FastAPI':34}{theirs:10,.0f} records/s")
    say(f"{'ratio':34}{ours / theirs:10.2f}")
    say(f"{chosen.per_second} interactions/s for {chosen.seconds} s through Envoy …")
    waits, rate = latency(suite, per_second=chosen.per_second, seconds=chosen.seconds)
    p50, p99 = percentile(waits, 0.5), percentile(waits, 0.99)
    say(f"call to visible assignment at {rate:.0f} interactions/s: p50 {p50:.0f} ms, p99 {p99:.0f} ms, n {len(waits)}")
    return {"uplift": ours, "peer": theirs, "ratio": ours / theirs, "rate": rate, "p50_ms": p50, "p99_ms": p99}


if __name__ == "__main__":
    main()
