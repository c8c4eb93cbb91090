"""HEAD wherever GET is: the same status and headers, without a body."""

import asyncio
from collections.abc import Mapping

import httpx
import pytest
from contracts import ALL_SERVICES

from tests.hostile.conftest import HostileSuite
from tests.hostile.routes import NOBODY, Route, routes


def told(headers: Mapping[str, str], path: str = "") -> dict[str, str]:
    # How long something waits is a longer number a moment later.
    return {name: value for name, value in headers.items() if (path, name) != ("/behind", "content-length")}


def addresses(suite: HostileSuite, route: Route) -> list[str]:
    """What is there, what is not, and what is not taken."""
    query = "&".join(f"{name}={value}" for name, value in route.needed.items())
    whole = f"{route.address(suite.ids)}?{query}" if query else route.address(suite.ids)
    nowhere = Route(route.service, route.method, route.path, {}).address(
        dict.fromkeys(("receipt", "interaction", "assignment", "submission", "dead_letter"), NOBODY)
    )
    return [whole, nowhere, f"{route.address(suite.ids)}?no_such_parameter=1"]


@pytest.mark.parametrize("service", ALL_SERVICES)
@pytest.mark.parametrize("who", ["boss", None])
async def test_head_tells_what_get_tells(suite: HostileSuite, service: str, who: str | None) -> None:
    client, tried = suite.client(service, who), 0
    for route in routes(suite, "GET"):
        if route.service != service or route.streams:
            continue
        tried += 1
        for address in addresses(suite, route):
            get, head = await client.get(address), await client.head(address)
            assert head.status_code == get.status_code, f"{route.name} {address}"
            assert told(head.headers, route.path) == told(get.headers, route.path), f"{route.name} {address}"
            assert head.content == b"", f"{route.name} {address}"
            if tag := get.headers.get("etag"):
                same = await client.head(address, headers={"if-none-match": tag})
                assert (same.status_code, same.headers["etag"]) == (304, tag), f"{route.name} {address}"
    assert tried >= 4, "/behind, /dead-letters, and a list and a thing of its own"


async def test_head_of_what_get_does_not_answer_is_refused_alike(suite: HostileSuite) -> None:
    for route in routes(suite, "POST", "PUT", "DELETE"):
        address = route.address(suite.ids)
        client = suite.client(route.service)
        get, head = await client.get(address), await client.head(address)
        if get.status_code == 405:
            assert (head.status_code, head.headers["allow"], head.content) == (405, get.headers["allow"], b"")


async def test_head_of_a_stream_ends(suite: HostileSuite) -> None:
    """Each leaves its place to the next one: there are a few for each person."""
    client = suite.client("notification")
    places = suite.harnesses["notification"].running.parts.state.stream_slots
    for _ in range(places.max_per_person + 2):
        async with asyncio.timeout(10):
            answer = await client.head("/stream")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.content == b""
    assert not places._open
    assert (await suite.client("notification", None).head("/stream")).status_code == 401


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/nowhere"])
async def test_head_of_pages(suite: HostileSuite, path: str) -> None:
    client: httpx.AsyncClient = suite.client("identity", None)
    get, head = await client.get(path), await client.head(path)
    assert (head.status_code, told(head.headers), head.content) == (get.status_code, told(get.headers), b"")
