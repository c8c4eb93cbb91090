"""Query parameters and addresses: what is unknown is refused with the nearest, what is odd is the caller's mistake."""

import pytest

from tests.hostile.conftest import HostileSuite
from tests.hostile.routes import PROBLEM, answered, routes


async def test_a_parameter_that_a_route_does_not_know_is_refused(suite: HostileSuite) -> None:
    """Every route of every service, also those that write: a `dry_run` that is passed over goes live."""
    for route in routes(suite):
        if "security" not in route.described and "tenant" not in route.path and route.path == "/back-channel-logout":
            continue  # a stranger's request is refused before
        known = list(route.parameters("query"))
        address = f"{route.address(suite.ids)}?{(known[0] + 'x') if known else 'dry_run'}=1"
        answer = await suite.client(route.service).request(route.method, address)
        assert (answer.status_code, answer.headers["content-type"]) == (422, PROBLEM), f"{route.name}: {answer.text}"
        (problem,) = answer.json()["errors"]
        assert problem["pointer"].startswith("/query/")
        assert known == [] or f"`{known[0]}`" in problem["cure"], f"{route.name}: {problem}"


# "…", "W10" is [], "WzFd" is [1], "bnVsbA" is null, "e30" is {}
CURSORS = [
    "%E2%80%A6",
    "not-base64!",
    "bnVsbA",
    "e30",
    "WzFd",
    "",
    "////",
    "W1tbW1tbW1tbW1tbW10",
    "A" * 44,
    "A" * 1999,
    "%00",
]


async def test_no_made_up_cursor_is_taken(suite: HostileSuite) -> None:
    tried = 0
    for route in routes(suite, "GET"):
        if "after" not in route.parameters("query"):
            continue
        tried += 1
        needed = "".join(f"&{each}={value}" for each, value in route.needed.items())
        who = "root" if route.path == "/tenants" else "boss"
        for cursor in CURSORS:
            address = f"{route.address(suite.ids)}?after={cursor}{needed}"
            answer = await answered(suite.client(route.service, who), route, address)
            assert answer.status_code == 422, f"{route.name} {cursor}: {answer.text}"
            assert "/after" in answer.json()["errors"][0]["pointer"]
    assert tried > 15


@pytest.mark.parametrize(
    "query", ["from=0001-01-01&to=9999-12-31", "from=2000-01-01&to=2026-01-01", "from=2026-01-02&to=2026-01-01"]
)
async def test_no_range_of_days_is_longer_than_is_said(suite: HostileSuite, query: str) -> None:
    tried = 0
    for route in routes(suite, "GET"):
        if "from" in route.parameters("query"):
            tried += 1
            needed = "".join(f"&{each}={value}" for each, value in route.needed.items())
            answer = await answered(suite.client(route.service), route, f"{route.address(suite.ids)}?{query}{needed}")
            assert answer.status_code == 422, f"{route.name}: {answer.text[:300]}"
            assert answer.json()["errors"][0]["cure"]
    assert tried >= 3
