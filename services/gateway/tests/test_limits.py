"""What is too much: requests, bodies, headers, slowness, connections. Others are never harmed by it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress

import httpx
import pytest
from joserfc import jwt
from testkit import TestIssuer, wait_until_true
from testkit.programs.envoy import Envoy

API = "/api/training/v1"


@pytest.fixture(scope="module")
def narrow(gateway_for: Callable[..., Envoy]) -> Envoy:
    return gateway_for(
        tenant_rate=1, tenant_burst=5, address_rate=1, address_burst=5, body_bytes=1000, upload_bytes=5000,
        header_kb=8, header_count=40, header_seconds=1, idle_seconds=1, request_seconds=3, upload_idle_seconds=1,
        requests_per_service=2, waiting_per_service=1,
    )  # fmt: skip


@pytest.fixture
def somebody(issuer: TestIssuer) -> Callable[[str], dict[str, str]]:
    """`somebody(tenant)`: the header of a person there. Each test has tenants of its own: limits outlive tests."""
    return lambda tenant: {"authorization": f"Bearer {issuer.token('ada', tenant)}"}


def is_problem(answer: httpx.Response, status: int, slug: str) -> bool:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:uplift:problem:{slug}"
    return True


async def test_a_tenant_has_a_limit_of_its_own(narrow: Envoy, somebody: Callable[[str], dict[str, str]]) -> None:
    async with httpx.AsyncClient(base_url=narrow.url, timeout=20) as client:
        lie = {"x-tenant": "quiet", "x-uplift-tenant": "quiet", "x-uplift-organization": "quiet"}
        # Over all services together, whatever a header says.
        paths = ["/api/training/v1/x", "/api/identity/v1/x", "/api/kpi-engine/v1/x"] * 10
        answers = [await client.get(path, headers=somebody("loud") | lie) for path in paths]
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(refused) >= 15
        assert {answer.status_code for answer in answers} == {200, 429}
        for answer in refused:
            assert is_problem(answer, 429, "too-many")
            assert answer.headers["retry-after"] == "1"
        quiet = [await client.get(f"{API}/x", headers=somebody("quiet")) for _ in range(5)]
        assert [answer.status_code for answer in quiet] == [200] * 5

        async def again() -> bool:
            return (await client.get(f"{API}/x", headers=somebody("loud"))).status_code == 200

        await wait_until_true(again, seconds=20)


@pytest.mark.parametrize(
    "claim", [["ORG"], {"ORG": {"id": "4711"}}, {"ORG": {}}], ids=["list", "object", "empty object"]
)
async def test_a_persons_tenant_is_the_organization_of_the_token(
    narrow: Envoy, issuer: TestIssuer, claim: list[str] | dict[str, object], request: pytest.FixtureRequest
) -> None:
    def token(name: str) -> dict[str, str]:
        chosen = [name] if isinstance(claim, list) else {name: claim["ORG"]}
        whole = {"tenant": None, "organization": chosen}
        claims = {name: value for name, value in (issuer.claims("ada", "x") | whole).items() if value is not None}
        return {"authorization": f"Bearer {jwt.encode({'alg': 'RS256', 'kid': 'test-key'}, claims, issuer.key)}"}

    tenant = request.node.callspec.id.replace(" ", "-")
    async with httpx.AsyncClient(base_url=narrow.url, timeout=20) as client:
        answers = await asyncio.gather(*(client.get(f"{API}/x", headers=token(tenant)) for _ in range(30)))
        assert sum(answer.status_code == 429 for answer in answers) >= 15
        for number in range(10):
            other = await client.get(f"{API}/x", headers=token(f"{tenant}-{number}"))
            assert other.status_code == 200
            assert not [name for name in other.json()["headers"] if name.startswith("x-uplift-")]


async def test_fifty_tenants_have_fifty_limits(narrow: Envoy, somebody: Callable[[str], dict[str, str]]) -> None:
    async with httpx.AsyncClient(base_url=narrow.url, timeout=20) as client:
        for number in range(50):
            headers = somebody(f"tenant-{number}")
            assert [(await client.get(f"{API}/x", headers=headers)).status_code for _ in range(2)] == [200, 200]


async def test_a_client_without_a_token_has_a_limit_too(narrow: Envoy) -> None:
    async with httpx.AsyncClient(base_url=narrow.url, timeout=20) as client:
        answers = await asyncio.gather(*(client.get(path) for path in ["/", "/realms/uplift/x", f"{API}/docs"] * 10))
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) >= 15
    assert all(answer.headers["retry-after"] == "1" for answer in refused)


async def parts(*sizes: int) -> AsyncIterator[bytes]:
    for size in sizes:
        yield b"x" * size


async def test_a_body_that_is_too_large(narrow: Envoy, somebody: Callable[[str], dict[str, str]]) -> None:
    async with httpx.AsyncClient(base_url=narrow.url, headers=somebody("large"), timeout=20) as client:
        assert (await client.post(f"{API}/x", content=b"x" * 1000)).json()["bytes"] == 1000
        is_problem(await client.post(f"{API}/x", content=b"x" * 1001), 413, "too-large")
        is_problem(await client.post(f"{API}/x", content=parts(600, 600)), 413, "too-large")
        is_problem(await client.post("/api/ingest/v1/sources/a/records", content=b"x" * 5001), 413, "too-large")
        assert (await client.post("/api/ingest/v1/sources/a/records", content=b"x" * 5000)).json()["bytes"] == 5000


async def test_nobody_unknown_is_listened_to(narrow: Envoy) -> None:
    """The refusal comes before the body does."""
    async with httpx.AsyncClient(base_url=narrow.url, timeout=20) as client:
        is_problem(await client.post(f"{API}/x", content=b"x" * 500), 401, "no-token")


async def test_headers_that_are_too_large(narrow: Envoy, somebody: Callable[[str], dict[str, str]]) -> None:
    async with httpx.AsyncClient(base_url=narrow.url, headers=somebody("headers"), timeout=20) as client:
        assert (await client.get(f"{API}/x", headers={"a": "x" * 9000})).status_code == 431
        assert (await client.get(f"{API}/x", headers={f"a{n}": "1" for n in range(50)})).status_code == 431
        assert (await client.get(f"{API}/x", headers={"x_tenant": "a"})).status_code == 400


async def cut(port: int, begin: bytes, every: bytes = b"") -> bytes:
    """What a slow caller hears until it is cut off; it sends `every` again and again."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(begin)

    async def trickle() -> None:
        with suppress(ConnectionError):
            while every:
                writer.write(every)
                await writer.drain()
                await asyncio.sleep(0.1)  # sleep: a client that trickles

    slow = asyncio.create_task(trickle())
    try:
        heard = b""
        with suppress(ConnectionError):
            async with asyncio.timeout(30):
                heard = await reader.read()
        return heard
    finally:
        slow.cancel()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def test_slow_callers_are_cut_off_and_harm_nobody(
    narrow: Envoy, somebody: Callable[[str], dict[str, str]]
) -> None:
    def post(path: str, tenant: str, size: str = "content-length: 900") -> bytes:
        token = somebody(tenant)["authorization"]
        return f"POST {path} HTTP/1.1\r\nhost: g\r\nauthorization: {token}\r\n{size}\r\n\r\n".encode()

    chunked = "transfer-encoding: chunked"
    slow = [
        *(cut(narrow.port, b"GET /healthz HTTP/1.1\r\nhost: g\r\n") for _ in range(20)),
        *(cut(narrow.port, b"GET /healthz HTTP/1.1\r\nhost: g\r\n", b"a: b\r\n") for _ in range(5)),
        *(cut(narrow.port, post(f"{API}/x", f"stops-{n}") + b"begun") for n in range(10)),
        *(cut(narrow.port, post(f"{API}/x", f"trickles-{n}"), b"x") for n in range(5)),
        *(cut(narrow.port, post(f"{API}/x", f"endless-{n}", chunked), b"1\r\nx\r\n") for n in range(5)),
        cut(narrow.port, post("/api/ingest/v1/sources/a/records", "upload", chunked) + b"1\r\nx\r\n"),
    ]
    waiting = asyncio.gather(*slow)
    async with httpx.AsyncClient(base_url=narrow.url, timeout=20) as client:
        for number in range(50):
            answer = await client.get(f"{API}/x", headers=somebody(f"quick-{number}"))
            assert answer.status_code == 200
    heard = await waiting
    assert {each.split(b" ")[1] for each in heard if each} == {b"408"}
    assert sum(1 for each in heard if each) >= 30


async def test_two_thousand_idle_connections_harm_nobody(gateway: Envoy, client: httpx.AsyncClient) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(2000):
            _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            stack.callback(writer.close)

        async def all_there() -> bool:
            return await asyncio.to_thread(gateway.stat, "http.public.downstream_cx_active") >= 2000

        await wait_until_true(all_there, seconds=30)
        answers = [await client.get(f"{API}/x") for _ in range(50)]
    assert {answer.status_code for answer in answers} == {200}


async def test_connections_have_a_limit(gateway_for: Callable[..., Envoy]) -> None:
    gateway = await asyncio.to_thread(gateway_for, connections=20)
    writers = [(await asyncio.open_connection("127.0.0.1", gateway.port))[1] for _ in range(20)]
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    with suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), 20) == b""
    for each in (*writers, writer):
        each.close()

    async def free_again() -> bool:
        try:
            async with httpx.AsyncClient(base_url=gateway.url) as client:
                return (await client.get("/healthz")).status_code == 200
        except httpx.TransportError:
            return False

    await wait_until_true(free_again, seconds=20)


async def test_a_service_that_hangs_does_not_take_the_others_with_it(
    narrow: Envoy, somebody: Callable[[str], dict[str, str]]
) -> None:
    async with httpx.AsyncClient(base_url=narrow.url, timeout=30) as client:
        hanging = [client.get("/api/gamification/v1/hang", headers=somebody(f"hang-{n}")) for n in range(8)]
        waiting = asyncio.gather(*hanging)
        for number in range(10):
            other = await client.get("/api/forms/v1/x", headers=somebody(f"other-{number}"))
            assert other.status_code == 200
        answers = await waiting
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(refused) >= 5  # two are let in, one may wait
    for answer in refused:
        assert is_problem(answer, 503, "service-away")
        assert answer.headers["retry-after"] == "2"
    for answer in answers:
        if answer not in refused:
            assert is_problem(answer, 504, "no-answer")
