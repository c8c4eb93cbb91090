"""Several replicas of a service: retries, crashes, orderly stops; and the gateway's own."""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from testkit import ISSUER, wait_until_true
from testkit.programs import Program, free_port, run_tool
from testkit.programs.envoy import Envoy
from testkit.programs.program import is_listening

API = "/api/training/v1"


@dataclass
class Pair:
    gateway: Envoy
    replicas: tuple[Any, Any]

    async def hits(self, what: str) -> int:
        counts = [await asyncio.to_thread(each.hits) for each in self.replicas if each.program.running]
        return sum(each.get(what, 0) for each in counts)

    async def until_healthy(self, *replicas: Any) -> None:
        addresses = {each.address for each in replicas}

        async def seen() -> bool:
            return await asyncio.to_thread(self.gateway.healthy, "training") == addresses

        await wait_until_true(seen, seconds=30)


@pytest.fixture
async def pair(upstream_for: Callable[[str], Any], gateway_for: Callable[..., Envoy]) -> Pair:
    """A gateway before two replicas, none of them used by another test."""
    first, second = [await asyncio.to_thread(upstream_for, name) for name in ("first", "second")]
    both = f"{first.address},{second.address}"
    gateway = await asyncio.to_thread(gateway_for, upstreams={"training": both}, tenant_rate=5000, tenant_burst=10000)
    made = Pair(gateway, (first, second))
    await made.until_healthy(first, second)
    return made


@pytest.fixture
def client_of(bearer: dict[str, str]) -> Callable[[str], httpx.AsyncClient]:
    return lambda url: httpx.AsyncClient(base_url=url, headers=bearer, timeout=20)


async def test_reads_are_tried_again_elsewhere_and_nothing_else_is(
    pair: Pair, client_of: Callable[[str], httpx.AsyncClient]
) -> None:
    async with client_of(pair.gateway.url) as client:
        read = await client.get(f"{API}/unavailable")
        assert read.json() == {"type": "urn:uplift:problem:own"}
        assert min(each.hits()["GET unavailable"] for each in pair.replicas) >= 1
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer = await client.request(method, f"{API}/unavailable")
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "7"
            assert await pair.hits(f"{method} unavailable") == 1
        killed = await client.post(f"{API}/die")
        assert killed.status_code == 503
        assert killed.json()["type"] == "urn:uplift:problem:service-away"

        async def alive() -> list[Any]:
            found = [each for each in pair.replicas if each.program.running]
            return found if len(found) == 1 else []

        (left,) = await wait_until_true(alive, seconds=20)
        assert "POST die" not in left.hits()
        # Its neighbour is still believed to be well, or just found not to be: no reader notices.
        answers = await asyncio.gather(*(client.get(f"{API}/x") for _ in range(50)))
        assert Counter((answer.status_code, answer.json()["replica"]) for answer in answers) == {
            (200, left.program.name): 50
        }


async def test_orderly_stops_in_turn_fail_no_request(pair: Pair, client_of: Callable[[str], httpx.AsyncClient]) -> None:
    answers: Counter[tuple[str, int]] = Counter()
    done = asyncio.Event()

    async def load(method: str) -> None:
        while not done.is_set():
            answer = await client.request(method, f"{API}/x", content=b"{}" if method == "POST" else None)
            answers[method, answer.status_code] += 1

    async def is_left_alone(replica: Any) -> bool:
        before, so_far = await asyncio.to_thread(replica.hits), answers.total()
        await wait_until_true(partial(served, so_far + 20), seconds=30)
        return await asyncio.to_thread(replica.hits) == before

    async def served(count: int) -> bool:
        return answers.total() >= count

    async with client_of(pair.gateway.url) as client:
        tasks = [asyncio.create_task(load(method)) for method in ("GET", "GET", "POST", "POST")]
        try:
            for number, replica in enumerate(pair.replicas):
                replica.program.signal(signal.SIGTERM)  # from now on it is not ready, and still serves
                await pair.until_healthy(pair.replicas[1 - number])
                await wait_until_true(partial(is_left_alone, replica), seconds=30)
                assert await asyncio.to_thread(replica.program.stop) is not None
                await asyncio.to_thread(replica.program.start)
                await pair.until_healthy(*pair.replicas)
        finally:
            done.set()
            await asyncio.gather(*tasks)
    assert set(answers) == {("GET", 200), ("POST", 200)}
    assert min(answers.values()) > 50


async def test_a_service_that_is_away_is_said_to_be(
    gateway_for: Callable[..., Envoy], client_of: Callable[[str], httpx.AsyncClient]
) -> None:
    gateway = gateway_for(upstreams={"training": f"127.0.0.1:{free_port()}"})
    async with client_of(gateway.url) as client:
        for method in ("GET", "POST"):
            answer = await client.request(method, f"{API}/x")
            assert answer.status_code == 503
            assert answer.headers["retry-after"] == "2"
            assert answer.json()["type"] == "urn:uplift:problem:service-away"
        assert (await client.get("/api/identity/v1/x")).status_code == 200
        assert (await client.get("/readyz")).status_code == 200


async def test_without_the_issuers_keys_nobody_is_called_a_stranger(
    gateway_for: Callable[..., Envoy], client_of: Callable[[str], httpx.AsyncClient]
) -> None:
    gateway = gateway_for(jwks_url=f"http://127.0.0.1:{free_port()}/keys")
    async with client_of(gateway.url) as client:
        answer = await client.get(f"{API}/x")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert answer.json()["type"] == "urn:uplift:problem:issuer-away"


async def test_the_gateway_leaves_in_order_and_comes_back(
    upstream: Any, envoy_binary: str, tmp_path: Path, client_of: Callable[[str], httpx.AsyncClient]
) -> None:
    port, admin_port = free_port(), free_port()
    environment = {
        "GATEWAY_PORT": str(port), "GATEWAY_ADMIN_PORT": str(admin_port), "GATEWAY_UPSTREAM": f"http://{upstream.address}",
        "GATEWAY_PROVIDER": upstream.address, "GATEWAY_DRAIN_SECONDS": "0.2", "UPLIFT_ISSUER": ISSUER,
    }  # fmt: skip
    command = [sys.executable, "-m", "gateway"]
    url = f"http://127.0.0.1:{port}"
    program = Program(
        "gateway",
        [*command, "run", "--envoy", envoy_binary],
        log=tmp_path / "gateway.log",
        ready=lambda: is_listening(port),
        env=environment,
    )

    async def serves() -> bool:
        return (await client.get(f"{API}/x")).status_code == 200

    async with client_of(url) as client:
        try:
            await asyncio.to_thread(program.start)
            await wait_until_true(serves, seconds=20)
            await asyncio.to_thread(run_tool, [*command, "drain"], cwd=tmp_path, env=environment)
            assert (await client.get("/readyz")).status_code == 503
            answer = await client.get(f"{API}/x")
            assert answer.status_code == 200
            assert answer.headers["connection"] == "close"
            assert await asyncio.to_thread(program.stop) == 0
            await asyncio.to_thread(program.start)
            await wait_until_true(serves, seconds=20)
        finally:
            program.kill()
