"""`make load`: what the embedded shape does with two cores, beside the limits of its parts in the same run.

Prints records a second through the HTTP door, from the door to the value, and the time from a record to the assignment that a
person can see; each beside plain JSON decoding and a plain COPY of the same records into the same PostgreSQL.
"""

import argparse
import gzip
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psycopg
from storage.embedded import EmbeddedPostgres

from tests.flow.scenario import SOURCE, blueprint, ndjson
from tests.flow.suite import Embedded
from tests.load.traffic import AGENTS, call, load_blueprint

FILE_RECORDS = 2000


def say(text: str = "") -> None:
    print(text, flush=True)


def measure_seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def json_rate(lines: list[bytes]) -> float:
    """Records a second of msgspec's JSON decoder into dicts, one process."""
    decode = msgspec.json.Decoder().decode
    return len(lines) / min(measure_seconds(lambda: [decode(line) for line in lines]) for _ in range(3))


def copy_rate(data: Path, lines: list[bytes]) -> float:
    """Records a second of COPY into a plain jsonb table, in transactions of the size of a file."""
    with psycopg.connect(EmbeddedPostgres(data).dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE load_limit (n bigint PRIMARY KEY, record jsonb NOT NULL)")

        def copy() -> None:
            connection.execute("TRUNCATE load_limit")
            for start in range(0, len(lines), FILE_RECORDS):
                with connection.cursor() as cursor, cursor.copy("COPY load_limit FROM STDIN") as out:
                    for number, line in enumerate(lines[start : start + FILE_RECORDS], start):
                        out.write_row((number, line.decode()))

        best = min(measure_seconds(copy) for _ in range(3))
        connection.execute("DROP TABLE load_limit")
    return len(lines) / best


def files_of(records: list[dict[str, Any]]) -> Iterator[bytes]:
    for start in range(0, len(records), FILE_RECORDS):
        yield gzip.compress(ndjson(records[start : start + FILE_RECORDS]), 3)


def post(client: httpx.Client, token: str, body: bytes) -> dict[str, Any]:
    answer = client.post(
        f"/api/ingest/v1/sources/{SOURCE}/records",
        content=body,
        headers={
            "authorization": f"Bearer {token}",
            "content-type": "application/x-ndjson",
            "content-encoding": "gzip",
        },
    )
    if answer.is_error:
        sys.exit(f"the door said {answer.status_code}: {answer.text[:500]}")
    return answer.json()


def measure_throughput(suite: Embedded, client: httpx.Client, calls: int) -> tuple[float, float, list[bytes]]:
    """Records a second through the door, and from the door to the value."""
    # Two weeks of the same agents; the group of a batch is as many agents and days as real traffic would touch.
    records = [record for number in range(calls) for record in call(number)]
    lines = ndjson(records).splitlines()
    bodies = list(files_of(records))
    token = suite.token("boss")
    began = time.perf_counter()
    for body in bodies:
        receipt = post(client, token, body)
        assert receipt["rejected"] == 0, receipt
    door = time.perf_counter() - began
    while count_counted_calls(suite) < calls:
        time.sleep(0.02)  # sleep: asking more often would be load of its own
    value = time.perf_counter() - began
    return len(records) / door, len(records) / value, lines


def count_counted_calls(suite: Embedded) -> int:
    found = suite.call(
        "boss",
        "GET",
        "/api/kpi-engine/v1/kpis/silence_pct/values",
        params={"by": "queue", "grain": "total", "from": "2026-03-01", "to": "2026-04-01"},
    )["items"]
    return sum(each["sample"] for each in found)


def measure_latency(suite: Embedded, *, per_second: float, seconds: float) -> list[float]:
    """Milliseconds from the moment a call's records are sent until the assignment they cause can be read."""
    total = int(per_second * seconds)
    sent: dict[str, float] = {}
    seen: dict[str, float] = {}
    stop = threading.Event()

    def look() -> None:
        token = suite.token("boss")
        with httpx.Client(base_url=suite.url, timeout=30, headers={"authorization": f"Bearer {token}"}) as client:
            while not stop.is_set():
                page = client.get("/api/training/v1/assignments", params={"limit": 1000, "template": "load"}).json()
                now = time.perf_counter()
                for each in page["items"]:
                    seen.setdefault(each["agent"], now)
                time.sleep(0.05)  # sleep: asking more often would be load of its own

    watcher = threading.Thread(target=look)
    watcher.start()
    token = suite.token("boss")
    began = time.perf_counter()
    with httpx.Client(base_url=suite.url, timeout=30) as client:
        for number in range(total):
            due = began + number / per_second
            time.sleep(max(0.0, due - time.perf_counter()))  # sleep: an open loop at a fixed rate
            agent = f"fresh-{number:04d}"
            # An open loop: the clock starts when the call was due to be sent, not when the door was free.
            sent[agent] = due
            post(client, token, gzip.compress(ndjson(list(call(number, agent=agent, silence=65))), 1))
    deadline = time.monotonic() + 30
    while len(seen.keys() & sent.keys()) < total and time.monotonic() < deadline:
        time.sleep(0.05)  # sleep: asking more often would be load of its own
    stop.set()
    watcher.join()
    missing = sent.keys() - seen.keys()
    assert not missing, f"{len(missing)} calls led to no assignment"
    return sorted(1000 * (seen[agent] - sent[agent]) for agent in sent)


def percentile(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    options = argparse.ArgumentParser(prog="make load")
    options.add_argument("--calls", type=int, default=20_000, help="two records each")
    options.add_argument("--per-second", type=float, default=5, help="of the steady load, in calls")
    options.add_argument("--seconds", type=float, default=20)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="uplift-load-") as folder:
        suite = Embedded(Path(folder) / "data", deliver_twice=False)
        say("starting …")
        suite.start("--no-demo")
        try:
            run(suite, chosen)
        finally:
            suite.stop()


def run(suite: Embedded, chosen: argparse.Namespace) -> None:
    suite.set_platform_password()
    suite.create_account("boss", "load")
    suite.call("platform", "POST", "/api/identity/v1/tenants", json={"slug": "load", "name": "Load"})
    fresh = int(chosen.per_second * chosen.seconds)
    suite.call("platform", "PUT", "/api/identity/v1/tenants/load/blueprint", json=load_blueprint(blueprint(), fresh))
    suite.wait_until_idle()
    with httpx.Client(base_url=suite.url, timeout=120) as client:
        say(f"{2 * chosen.calls} records of {AGENTS} agents through the door …")
        door, value, lines = measure_throughput(suite, client, chosen.calls)
    suite.wait_until_idle(seconds=600)
    size = statistics.mean(len(line) for line in lines)
    decode, copy = json_rate(lines), copy_rate(suite.data, lines)
    say(f"{chosen.per_second:g} calls a second for {chosen.seconds:g} s, each leading to an assignment …")
    waits = measure_latency(suite, per_second=chosen.per_second, seconds=chosen.seconds)
    say()
    say(f"records of {size:.0f} bytes; PostgreSQL with fsync on; one Python process and PostgreSQL on this machine")
    say(f"{'':34}{'records/s':>12}{'of decode':>12}{'of COPY':>12}")
    for name, rate in (
        ("JSON decode alone (msgspec, dicts)", decode),
        ("COPY alone (jsonb table)", copy),
        ("through the HTTP door", door),
        ("from the door to the value", value),
    ):
        say(f"{name:34}{rate:12,.0f}{rate / decode:12.3f}{rate / copy:12.3f}")
    say(
        f"record to visible assignment at {chosen.per_second:g} calls/s: "
        f"p50 {percentile(waits, 0.5):.0f} ms, p99 {percentile(waits, 0.99):.0f} ms, worst {waits[-1]:.0f} ms"
    )
    say(
        json.dumps(
            {
                "decode": decode,
                "copy": copy,
                "door": door,
                "value": value,
                "p50_ms": percentile(waits, 0.5),
                "p99_ms": percentile(waits, 0.99),
            }
        )
    )


if __name__ == "__main__":
    main()
