"""What browsers are told with every answer, and that the pages still work under it."""

import re
from collections.abc import Mapping

import httpx
import pytest
from all_in_one.front_page import PAGE_HEADERS, front_page
from contracts import ALL_SERVICES
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, JSONResponse
from servicekit.door import SecurityHeaders

from tests.hostile.conftest import HostileSuite
from tests.hostile.routes import routes


def check(name: str, headers: Mapping[str, str]) -> None:
    assert headers.get("x-content-type-options") == "nosniff", name
    assert headers.get("x-frame-options") == "DENY", name
    assert "frame-ancestors 'none'" in headers.get("content-security-policy", ""), name
    assert headers.get("referrer-policy"), name


async def test_every_answer_says_how_it_may_be_used(suite: HostileSuite) -> None:
    for route in routes(suite, "GET"):
        if route.streams:
            continue
        address, needed = route.address(suite.ids), "&".join(f"{each}={one}" for each, one in route.needed.items())
        for who in ("boss", None):
            answer = await suite.client(route.service, who).get(f"{address}?{needed}" if needed else address)
            check(route.name, answer.headers)
            assert "no-store" in answer.headers["cache-control"], route.name


@pytest.mark.parametrize("service", ALL_SERVICES)
async def test_the_documentation_can_be_read_and_not_be_framed(suite: HostileSuite, service: str) -> None:
    client = suite.client(service, None)
    for page in ("/docs", "/redoc"):
        answer = await client.get(page)
        assert answer.status_code == 200
        check(page, answer.headers)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        for source in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
            assert not re.match(r"https?://(?!test/)", source), "the policy lets it load from here only"
        assert "script-src 'self'" in policy
        assert "connect-src 'self'" in policy
    answer = await client.get("/nowhere")
    check("/nowhere", answer.headers)


async def test_what_an_answer_says_itself_stays() -> None:
    app = FastAPI()
    app.add_middleware(SecurityHeaders)
    app.add_api_route(
        "/own", lambda: JSONResponse({}, headers={"cache-control": "max-age=60", "referrer-policy": "no-referrer"})
    )
    app.add_api_route("/tagged", lambda: JSONResponse({}, headers={"etag": '"1"'}))
    app.add_api_route(
        "/", lambda: HTMLResponse(front_page([], url="http://x", uplift="uplift", demo=True), headers=PAGE_HEADERS)
    )
    client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")
    own = (await client.get("/own")).headers
    assert (own["cache-control"], own["referrer-policy"]) == ("max-age=60", "no-referrer")
    assert "cache-control" not in (await client.get("/tagged")).headers
    check("/", (await client.get("/")).headers)
    await client.aclose()
