"""Whatever stands in a query parameter or in an address, it is the caller's mistake and never the service's."""

import asyncio
from urllib.parse import quote

from tests.hostile.conftest import HostileSuite
from tests.hostile.routes import Route, answered, routes

ODD = [
    "", " ", "%00", "a%00b", "%FF%FE", "%ED%A0%80", "%F0%9F%98%80", "-1", "0", "1e309", "NaN", "inf", "-inf", "null", "true",
    "9" * 20, "9" * 400, "9" * 3000, "0x10", "2147483648", "9223372036854775808", "0001-01-01", "9999-12-31", "10000-01-01",
    "2026-02-30", "0000-00-00", "1970-01-01", "2199-12-31", "2026-03-03T00:00:00Z", "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff", "'; DROP TABLE x; --", "%25%25", "..%2F..%2Fetc", "{}", "[]", "a" * 3000,
    "%E2%80%AE", "attributes.", "attributes.%00", "attributes." + "x" * 3000, "agent", "\\", "%0A", "W10",
]  # fmt: skip
NAMES = ["%00", "a%00", "%FF", "%ED%A0%80", "9" * 400, "-1", "9223372036854775808", "a" * 3000, "%25", "."]


async def test_no_value_of_a_parameter_breaks_a_route(suite: HostileSuite) -> None:
    for route in routes(suite, "GET"):
        client, address = suite.client(route.service), route.address(suite.ids)
        for name in sorted(route.parameters("query").keys() - {"limit", "after"}):
            if route.streams or (route.path == "/dead-letters" and route.service != "forms"):
                continue  # a stream has no end, and a list that all services have is tried in one
            others = "".join(f"&{each}={value}" for each, value in route.needed.items() if each != name)
            asked = [answered(client, route, f"{address}?{name}={value}{others}") for value in ODD]
            for number in range(0, len(asked), 8):
                await asyncio.gather(*asked[number : number + 8])


async def test_no_address_breaks_a_route(suite: HostileSuite) -> None:
    for route in routes(suite, "GET", "POST", "DELETE"):
        client = suite.client(route.service)
        for name in route.parameters("path"):
            for value in NAMES:
                address = Route(route.service, route.method, route.path.replace(f"{{{name}}}", value), {}).address(
                    suite.ids
                )
                query = "&".join(f"{each}={quote(one)}" for each, one in route.needed.items())
                await answered(client, route, f"{address}?{query}" if query else address)
