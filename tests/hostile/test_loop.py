"""Nothing holds the event loop for longer than 50 ms: every route of every service, with the largest that it takes."""

import asyncio
import gc
import json
import time
from collections.abc import AsyncIterator, Iterator
from importlib.resources import files
from typing import Any

import psycopg
import pytest
from servicekit.door.body import MAX_VALUES
from servicekit.door.policy import DEFAULT_BODY_BYTES, DEFINITION_BYTES
from testkit import Cluster

from tests.hostile.bodies import WRITES
from tests.hostile.conftest import HostileSuite, thorough
from tests.hostile.filling import fill
from tests.hostile.loop_watch import MAX_BLOCK_SECONDS, collected_as_in_a_server, record_loop_blockers
from tests.hostile.routes import Route, routes

pytestmark = [pytest.mark.timeout(7200), pytest.mark.slow]
LARGEST = {"limit": "1000", "from": "2025-02-01", "to": "2026-03-07"}
CUTS = ("", "agent", "team", "site", "queue", "hour", "attributes.a")


@pytest.fixture
async def full_suite(own_suite: HostileSuite, cluster: Cluster) -> AsyncIterator[HostileSuite]:
    banded = files("kpi_engine").joinpath("standard/silence_pct.yaml").read_bytes()
    (await own_suite.client("kpi-engine").put("/kpis/silence_pct", content=banded)).raise_for_status()
    url = cluster.server.url(database=own_suite.database).replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True) as admin:
        fill(admin)
    with collected_as_in_a_server():
        yield own_suite


def questions(suite: HostileSuite) -> list[tuple[Route, dict[str, str]]]:
    """Every route that is read, with what makes its answer largest."""
    found: list[tuple[Route, dict[str, str]]] = []
    for route in routes(suite, "GET"):
        known = route.parameters("query").keys()
        params = {**{name: value for name, value in LARGEST.items() if name in known}, **route.needed}
        if "by" in known and "grain" in known:
            found += [(route, {**params, "by": cut, "grain": grain}) for cut in CUTS for grain in ("workday", "month")]
        elif not route.streams:
            found.append((route, params))
    return found


async def test_no_read_holds_the_loop(full_suite: HostileSuite) -> None:
    found: list[str] = []
    for route, params in questions(full_suite):
        client, address = full_suite.client(route.service), route.address(full_suite.ids)
        # What is done once in a process is not measured.
        await client.get(address, params={**params, **({"limit": "1"} if "limit" in params else {})})
        with record_loop_blockers() as held:
            answer = await client.get(address, params=params)
        told = f"{route.name} {params.get('by', '')} {answer.status_code} {len(answer.content):,} bytes"
        assert answer.status_code < 500, f"{told}: {answer.text[:300]}"
        found += [f"{told}: {took * 1000:.0f} ms in {where}" for took, where in held]
    assert found == [], "\n".join(found)


def filled_to(most: int, piece: str, before: str) -> bytes:
    """JSON of that size, made of one piece."""
    count = (most - len(before) - 10) // (len(piece) + 1)
    return (before + ",".join([piece] * count) + "]}").encode()


def large_bodies(most: int, field: str) -> Iterator[bytes]:
    """As many small values as are taken, then as many bytes, then more of either."""
    before = f'{{"{field}": ['
    for piece in ("{}", '{"a":1}', "1", "[[[[]]]]", '"\\u00e9"', '"' + "x" * 900 + '"'):
        yield filled_to(min(most, MAX_VALUES // 4 * (len(piece) + 1)), piece, before)
        yield filled_to(most, piece, before)
    for count in (MAX_VALUES // 3, most // 12):
        yield json.dumps({f"k{number}": 1 for number in range(count)}).encode()[:most]
    for text in (
        "x" * (most - 100),
        "\\u0001" * (most // 6 - 20),
        "\\ud800" * (most // 6 - 20),
        "\\ud83d\\ude00" * (most // 12 - 20),
    ):
        yield f'{{"{field}": "{text}"}}'.encode()
        yield f'{{"{text}": 1}}'.encode()
    yield f'{{"{field}": {"1" * 299}e{"0," * 10}1'.encode() + b",".join([b"1" * 299] * (most // 300 - 10))


def first_field(suite: HostileSuite, route: Route) -> str:
    """A field that the body has, so that what is in it is looked at."""
    body = dict[str, Any](route.described.get("requestBody", {})).get("content", {}).get("application/json", {})
    schema = body.get("schema", {})
    name = schema.get("$ref", "").rpartition("/")[2]
    known = suite.app(route.service).openapi().get("components", {}).get("schemas", {}).get(name, schema)
    lists = [each for each, one in known.get("properties", {}).items() if one.get("type") in ("array", "object")]
    return (lists or [*known.get("properties", {}), "x"])[0]


async def test_no_body_holds_the_loop(full_suite: HostileSuite) -> None:
    known = {route.name: route for route in routes(full_suite)}
    writes = [each for each in WRITES if "requestBody" in known[each.name].described]
    found: list[str] = []
    for write in writes if thorough() else writes[::8]:
        route = known[write.name]
        client, address = full_suite.client(route.service, write.who), route.address(full_suite.ids)
        headers = {"content-type": "application/json", **write.headers}
        # As taken, which also makes what is done once in a process done.
        await client.request(route.method, address, json=write.body, content=write.content, headers=write.headers)
        for most in (DEFINITION_BYTES, DEFAULT_BODY_BYTES):
            bodies = list(large_bodies(most - 10, first_field(full_suite, route)))
            for body in bodies if thorough() else bodies[:: 4 if most > DEFAULT_BODY_BYTES else 7]:
                with record_loop_blockers() as held:
                    answer = await client.request(route.method, address, content=body, headers=headers)
                told = f"{route.name} {len(body):,} {body[:40]} {answer.status_code}"
                assert answer.status_code < 500, f"{told} {answer.text[:300]}"
                found += [f"{told}: {took * 1000:.0f} ms in {where}" for took, where in held]
    assert found == [], "\n".join(found)


async def test_the_watch_sees_what_holds_the_loop() -> None:
    async def busy() -> None:
        end = time.thread_time() + 0.06
        while time.thread_time() < end:
            json.dumps(1)

    with record_loop_blockers() as held:
        await asyncio.create_task(busy())
    assert len(held) == 1
    assert held[0][0] > MAX_BLOCK_SECONDS


def test_the_collector_holds_the_loop_for_a_moment_only() -> None:
    """However much a request makes: an import of 30,000 people has a million objects."""
    longest, began = 0.0, 0.0

    def watch(phase: str, info: dict[str, int]) -> None:
        nonlocal longest, began
        if phase == "start":
            began = time.thread_time()
        elif info["generation"] < 2:
            longest = max(longest, time.thread_time() - began)

    with collected_as_in_a_server():
        gc.callbacks.append(watch)
        try:
            made = [{"number": [number]} for number in range(600_000)]
        finally:
            gc.callbacks.remove(watch)
    assert len(made) == 600_000
    assert 0 < longest < MAX_BLOCK_SECONDS
