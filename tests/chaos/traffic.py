"""Requests of all kinds through Envoy: while replicas are replaced, and more than can be served."""

import asyncio
import itertools
import socket
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import httpx
from testkit.programs import Program

from tests.chaos.crowd import Crowd, create_crowd
from tests.chaos.sending import Sender
from tests.flow.scenario import SOURCE, ndjson
from tests.flow.stack import StackSuite
from tests.flow.steps import set_up_tenant, user
from tests.flow.suite import PLAIN

RECORDS = f"/api/ingest/v1/sources/{SOURCE}/records"
REPLICAS = ("ingest.api", "ingest.api.2")


@dataclass
class TrafficResult:
    what: str
    figures: dict[str, Any]
    answers: Counter[str] = field(default_factory=Counter)

    def line(self) -> str:
        told = "; ".join(f"{name} {value}" for name, value in self.figures.items())
        return f"| {self.what} | {sum(self.answers.values()):,} requests | {dict(self.answers)} | {told} |"


class RecordFiles:
    """Small files of one tenant's records, each another one."""

    def __init__(self, suite: StackSuite, tenant: str) -> None:
        self.suite = suite
        self._boss = user("boss", tenant)
        self._crowd: Crowd = create_crowd(6)
        self._numbers = itertools.count()
        set_up_tenant(suite, tenant, self._crowd.blueprint())

    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.suite.token(self._boss)}", "content-type": "application/x-ndjson"}

    def sender(self) -> Sender:
        return Sender("127.0.0.1", self.suite.stack.port)

    def body(self) -> bytes:
        number = next(self._numbers)
        day, agent = number % 10, self._crowd.agents[number // 10 % len(self._crowd.agents)]
        records = self._crowd.records(day, (agent,))
        for record in records:
            for place in (record, record.get("CustomerMetadata", {})):
                if "ContactId" in place:
                    place["ContactId"] += f"-{number}"
        return ndjson(records)


def run_rolling_restart(suite: StackSuite, tenant: str, *, requests: int, clients: int = 8) -> TrafficResult:
    """Reads and small uploads while each replica of ingest's API gets SIGTERM in turn and is started again."""
    files, seen = RecordFiles(suite, tenant), TrafficResult("two replicas, SIGTERM to each in turn", {})
    left = iter(range(requests))
    lock = threading.Lock()

    too_many = 0

    def ask(http: httpx.Client, *, upload: bool) -> str:
        nonlocal too_many
        try:
            headers = files.headers()
            answer = (
                http.post(RECORDS, content=files.body(), headers=headers)
                if upload
                else http.get("/api/ingest/v1/sources", headers=headers)
            )
        except httpx.HTTPError as error:
            return type(error).__name__
        if answer.status_code == 429:  # one replica takes four uploads of a tenant at a time
            with lock:
                too_many += 1
            time.sleep(float(answer.headers["retry-after"]))  # sleep: as long as the answer asks for
        return str(answer.status_code)

    def client() -> None:
        with httpx.Client(base_url=suite.url, timeout=30, verify=PLAIN) as http:
            while True:
                with lock:
                    number = next(left, None)
                if number is None:
                    return
                what = "429"
                while what == "429":
                    what = ask(http, upload=number % 10 == 0)
                with lock:
                    seen.answers[what] += 1

    began = time.monotonic()
    replaced = 0
    with ThreadPoolExecutor(clients) as pool:
        running = [pool.submit(client) for _ in range(clients)]
        while replaced < len(REPLICAS) or not all(each.done() for each in running):
            name = REPLICAS[replaced % len(REPLICAS)]
            suite.stack.parts[name].stop()
            suite.stack.start_part(name)
            time.sleep(2)  # sleep: as long as a gateway needs to see it
            replaced += 1
        for each in running:
            each.result()
    seen.figures = {"replaced": replaced, "told to come again": too_many, "s": round(time.monotonic() - began, 1)}
    return seen


def resident_mb(suite: StackSuite, name: str) -> float:
    program = suite.stack.parts[name]
    assert isinstance(program, Program)
    assert program.process
    with open(f"/proc/{program.process.pid}/smaps_rollup") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("Pss:")) / 1024


def overload(suite: StackSuite, tenant: str, *, seconds: float, calm: float = 10) -> TrafficResult:
    """Small uploads: as many as can be served, then twice that many whatever comes back."""
    files, seen = RecordFiles(suite, tenant), TrafficResult("twice the capacity, open loop", {})
    # As many at a time as are taken of one tenant, and half of them: whichever serves more.
    capacity = max(asyncio.run(_measure_closed_loop(files, calm / 2, clients)) for clients in (4, 8))
    before = {name: resident_mb(suite, name) for name in (*REPLICAS, "envoy")}
    waits, answers, lasted = asyncio.run(_measure_open_loop(files, 2 * capacity, seconds))
    after = {name: resident_mb(suite, name) for name in before}
    seen.answers = answers
    taken = sorted(waits)
    seen.figures = {
        "capacity, requests/s": round(capacity, 1),
        "offered": round(sum(answers.values()) / lasted, 1),
        "goodput": round(len(taken) / lasted, 1),
        "goodput of capacity": round(len(taken) / lasted / capacity, 2),
        "p99 of the accepted, s": round(taken[int(0.99 * len(taken))], 2) if taken else None,
        "memory, MB": {name: f"{before[name]:.0f} -> {after[name]:.0f}" for name in before},
    }
    return seen


async def _measure_closed_loop(files: RecordFiles, seconds: float, clients: int) -> float:
    """Requests served in a second with so many clients that send again as soon as they have their answer."""
    sender = files.sender()
    began = time.perf_counter()

    async def ask() -> int:
        done = 0
        while time.perf_counter() < began + seconds:
            what = await sender.post(RECORDS, files.headers(), files.body())
            done += what == "200"
            if what != "200":  # both replicas were not equally busy
                await asyncio.sleep(0.05)  # sleep: a client that was refused
        return done

    done = sum(await asyncio.gather(*(ask() for _ in range(clients))))
    sender.close()
    return done / (time.perf_counter() - began)


async def _measure_open_loop(
    files: RecordFiles, rate: float, seconds: float
) -> tuple[list[float], Counter[str], float]:
    """Seconds that the accepted took from when they were due, what was answered, and how long all of it lasted."""
    answers: Counter[str] = Counter()
    waits: list[float] = []
    bodies = [files.body() for _ in range(int(rate * seconds))]
    sender = files.sender()

    async def ask(body: bytes, due: float) -> None:
        what = await sender.post(RECORDS, files.headers(), body)
        answers[what] += 1
        if what == "200":
            waits.append(time.perf_counter() - due)

    began = time.perf_counter()
    asked: list[asyncio.Task[None]] = []
    for number, body in enumerate(bodies):
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))  # sleep: an open loop at a fixed rate
        asked.append(asyncio.create_task(ask(body, due)))
    await asyncio.gather(*asked)
    sender.close()
    return waits, answers, time.perf_counter() - began


def slow_clients(suite: StackSuite, tenant: str, *, idle: int, seconds: float) -> TrafficResult:
    """Connections that say nothing, one whose body never ends, and meanwhile ordinary requests."""
    files, seen = RecordFiles(suite, tenant), TrafficResult("slow clients", {})
    host, port = "127.0.0.1", suite.stack.port
    with ExitStack() as open_ones:
        for _ in range(idle):
            open_ones.enter_context(socket.create_connection((host, port)))
        endless = open_ones.enter_context(socket.create_connection((host, port)))
        head = {**files.headers(), "host": f"{host}:{port}", "transfer-encoding": "chunked"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        endless.sendall(f"POST {RECORDS} HTTP/1.1\r\n{lines}\r\n".encode())
        waits: list[float] = []
        ends = time.monotonic() + seconds
        with httpx.Client(base_url=suite.url, timeout=30, verify=PLAIN) as http:
            while time.monotonic() < ends:
                endless.sendall(b"1\r\n\n\r\n")  # an empty line, again and again
                began = time.perf_counter()
                answer = http.get("/api/ingest/v1/sources", headers=files.headers())
                waits.append(time.perf_counter() - began)
                seen.answers[str(answer.status_code)] += 1
    waits.sort()
    seen.figures = {"idle connections": idle, "p99, ms": round(1000 * waits[int(0.99 * len(waits))], 1)}
    return seen
