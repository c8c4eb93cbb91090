"""What an ordinary request meets: routes, tokens, headers, compression."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from contracts import ALL_SERVICES
from joserfc import jwt
from joserfc.jwk import RSAKey
from testkit import TestIssuer, wait_until_true
from testkit.programs.envoy import Envoy

API = "/api/training/v1"


def problem(answer: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json()
    assert document["type"] == f"urn:uplift:problem:{slug}"
    assert document["status"] == status
    assert document["instance"] == answer.request.url.raw_path.decode().partition("?")[0]
    assert document["title"]
    assert document["detail"]
    return document


@pytest.mark.parametrize("service", ALL_SERVICES)
async def test_each_service_is_below_its_prefix(client: httpx.AsyncClient, service: str) -> None:
    answer = await client.get(f"/api/{service}/v1/people?limit=3")
    assert answer.status_code == 200
    assert answer.json()["path"] == f"/api/{service}/v1/people"
    assert answer.json()["query"] == "limit=3"


@pytest.mark.parametrize("path", ["/", "/realms/uplift/account", "/resources/theme.css"])
async def test_the_page_and_the_identity_provider_need_no_token(gateway: Envoy, path: str) -> None:
    async with httpx.AsyncClient(base_url=gateway.url) as anybody:
        answer = await anybody.get(path)
    assert answer.json()["path"] == path


@pytest.mark.parametrize(
    "path",
    [
        "/metrics", "/lag", "/admin", "/docs", "/hits", "/index.html", "/realmsx", "/realms/master/account",
        "/REALMS/uplift", "/realms/uplift/../master/account", "/realms//master/account", "/stats", "/config_dump",
    ],
)  # fmt: skip
async def test_nothing_else_is_public(gateway: Envoy, path: str) -> None:
    async with httpx.AsyncClient(base_url=gateway.url) as anybody:
        request = anybody.build_request("GET", gateway.url)
        request.url = httpx.URL(gateway.url).copy_with(raw_path=path.encode())
        answer = await anybody.send(request)
    assert answer.status_code == 404
    assert answer.json()["type"] == "urn:uplift:problem:not-found"


@pytest.mark.parametrize("path", ["/api/training/v2/x", "/api/nobody/v1/x", "/api", "/api/training/v1x"])
async def test_an_unknown_part_of_the_api_is_not_found_with_a_token(client: httpx.AsyncClient, path: str) -> None:
    problem(await client.get(path), 404, "not-found")


@pytest.mark.parametrize(
    "path", ["/api/training/v1%2Fdocs", "/api/training/v1/..%2F..%2Fidentity", "/api/training/v1/a%5Cb"]
)
async def test_escaped_slashes_are_refused(client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path)).status_code == 400


async def test_paths_are_made_plain_before_they_are_looked_at(gateway: Envoy) -> None:
    async with httpx.AsyncClient(base_url=gateway.url) as anybody:
        request = anybody.build_request("GET", gateway.url)
        request.url = httpx.URL(gateway.url).copy_with(raw_path=b"/api/training/v1/docs/../people")
        problem_answer = await anybody.send(request)
    assert problem_answer.status_code == 401


@pytest.mark.parametrize(
    "path", ["openapi.json", "docs", "docs/oauth2-redirect", "redoc", "static-offline-docs/swagger-ui.css"]
)
async def test_descriptions_need_no_token(gateway: Envoy, path: str) -> None:
    async with httpx.AsyncClient(base_url=gateway.url) as anybody:
        assert (await anybody.get(f"{API}/{path}")).status_code == 200
        assert (await anybody.post(f"{API}/{path}")).status_code == 401


async def test_the_identity_provider_can_end_sessions(gateway: Envoy) -> None:
    async with httpx.AsyncClient(base_url=gateway.url) as anybody:
        path = "/api/identity/v1/back-channel-logout"
        assert (await anybody.post(path, data={"logout_token": "x"})).status_code == 200
        problem(await anybody.get(path), 401, "no-token")
        problem(await anybody.post("/api/training/v1/back-channel-logout"), 401, "no-token")


async def test_health_is_the_gateways_own(gateway: Envoy) -> None:
    async with httpx.AsyncClient(base_url=gateway.url) as anybody:
        alive = await anybody.get("/healthz")
        assert alive.headers["content-type"] == "application/json"
        assert alive.json() == {"status": "alive"}
        assert (await anybody.get("/readyz")).status_code == 200


async def test_without_a_token(gateway: Envoy) -> None:
    async with httpx.AsyncClient(base_url=gateway.url) as anybody:
        answer = await anybody.get(f"{API}/people?secret=1")
        problem(answer, 401, "no-token")
        assert answer.headers["www-authenticate"] == 'Bearer error="no-token"'
        assert (await anybody.get(f"{API}/people?access_token=x")).status_code == 401


def bad_tokens(issuer: TestIssuer) -> dict[str, str]:
    stranger = RSAKey.generate_key(2048, {"kid": "test-key"}, auto_kid=False)
    good = issuer.token("ada", "acme")
    head, payload, signature = good.split(".")
    return {
        "expired": issuer.token("ada", "acme", exp=1_700_000_000, iat=1_600_000_000, nbf=1_600_000_000),
        "without expiry": issuer.token("ada", "acme", exp=None),
        "not yet valid": issuer.token("ada", "acme", nbf=4_000_000_000),
        "another issuer": issuer.token("ada", "acme", iss="https://elsewhere.test"),
        "another audience": issuer.token("ada", "acme", aud="elsewhere"),
        "another key": jwt.encode({"alg": "RS256", "kid": "test-key"}, issuer.claims("ada", "acme"), stranger),
        "unknown kid": issuer.token("ada", "acme", header={"kid": "nobody"}),
        "changed": f"{head}.{payload[:-4]}AAAA.{signature}",
        "unsigned": f"eyJhbGciOiJub25lIn0.{payload}.",
        "no token at all": "hello",
    }


@pytest.mark.parametrize(
    "kind",
    [
        "expired", "without expiry", "not yet valid", "another issuer", "another audience", "another key", "unknown kid",
        "changed", "unsigned", "no token at all",
    ],
)  # fmt: skip
async def test_a_bad_token_is_refused_as_a_problem(gateway: Envoy, issuer: TestIssuer, kind: str) -> None:
    async with httpx.AsyncClient(base_url=gateway.url) as anybody:
        answer = await anybody.get(f"{API}/people", headers={"authorization": f"Bearer {bad_tokens(issuer)[kind]}"})
    assert answer.status_code == 401, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer error=")
    assert answer.json()["status"] == 401


async def test_internal_headers_from_outside_do_not_arrive(client: httpx.AsyncClient) -> None:
    sent = {
        "x-uplift-tenant": "other", "X-Uplift-Anything": "1", "x-tenant": "other", "x-envoy-upstream-rq-timeout-ms": "1",
        "x-envoy-retry-on": "5xx", "x-envoy-internal": "true", "x-forwarded-host": "evil.test", "x-real-ip": "9.9.9.9",
        "forwarded": "for=9.9.9.9", "x-original-url": "/admin", "x-forwarded-proto": "https", "x-user": "root",
        "x-forwarded-client-cert": "By=x", "x-http-method-override": "DELETE",
    }  # fmt: skip
    arrived = (await client.post(f"{API}/people", headers=sent, content=b"{}")).json()["headers"]
    assert arrived.pop("x-forwarded-proto") == "http"
    assert not {name.lower() for name in sent} & arrived.keys()
    assert not [name for name in arrived if name.startswith("x-envoy-")]
    assert arrived["authorization"].startswith("Bearer ")


async def test_the_callers_address_is_the_connections(client: httpx.AsyncClient) -> None:
    arrived = (await client.get(f"{API}/people", headers={"x-forwarded-for": "9.9.9.9"})).json()["headers"]
    assert "9.9.9.9" not in arrived["x-forwarded-for"]


async def test_request_ids_and_traces_pass(client: httpx.AsyncClient) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    sent = {"x-request-id": "order-4711.a", "traceparent": trace}
    answer = await client.get(f"{API}/people", headers=sent)
    assert answer.headers["x-request-id"] == "order-4711.a"
    assert {name: answer.json()["headers"][name] for name in sent} == sent


@pytest.mark.parametrize("given", [None, "short", "x" * 129, "with space in it", "<script>alert</script>"])
async def test_a_request_id_is_made_where_there_is_no_good_one(client: httpx.AsyncClient, given: str | None) -> None:
    answer = await client.get(f"{API}/people", headers={"x-request-id": given} if given else {})
    made = answer.headers["x-request-id"]
    assert made != given
    assert len(made) == 36
    assert answer.json()["headers"]["x-request-id"] == made


async def test_a_refusal_has_a_request_id_too(gateway: Envoy) -> None:
    async with httpx.AsyncClient(base_url=gateway.url) as anybody:
        answer = await anybody.get(f"{API}/people", headers={"x-request-id": "order-4711.b"})
    assert answer.headers["x-request-id"] == "order-4711.b"


async def test_the_portals_pages_may_call(gateway: Envoy, client: httpx.AsyncClient) -> None:
    ask = {"access-control-request-method": "PUT", "access-control-request-headers": "authorization,idempotency-key"}
    async with httpx.AsyncClient(base_url=gateway.url) as browser:
        allowed = await browser.options(f"{API}/people", headers={"origin": "https://portal.test", **ask})
        stranger = await browser.options(f"{API}/people", headers={"origin": "https://evil.test", **ask})
        refused = await browser.get(f"{API}/people", headers={"origin": "https://portal.test"})
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://portal.test"
    assert "PUT" in allowed.headers["access-control-allow-methods"]
    assert "idempotency-key" in allowed.headers["access-control-allow-headers"]
    assert "access-control-allow-origin" not in stranger.headers
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://portal.test"
    answer = await client.get(f"{API}/people", headers={"origin": "https://portal.test"})
    assert answer.headers["access-control-allow-origin"] == "https://portal.test"
    assert "access-control-allow-credentials" not in answer.headers
    assert "x-request-id" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize("path", [f"{API}/large", f"{API}/page"])
async def test_text_is_compressed_for_those_who_can_read_it(client: httpx.AsyncClient, path: str) -> None:
    small = await client.get(path, headers={"accept-encoding": "gzip"})
    plain = await client.get(path, headers={"accept-encoding": "identity"})
    assert small.headers["content-encoding"] == "gzip"
    assert "accept-encoding" in small.headers["vary"].lower()
    assert "content-encoding" not in plain.headers
    assert small.content == plain.content


async def test_small_answers_are_not_compressed(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{API}/framed", headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in answer.headers


async def test_answers_protect_browsers_and_hide_what_is_behind(gateway: Envoy, client: httpx.AsyncClient) -> None:
    async with httpx.AsyncClient(base_url=gateway.url) as anybody:
        answers = [await client.get(f"{API}/large"), await anybody.get(f"{API}/x"), await anybody.get("/nothing")]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == "frame-ancestors 'none'"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "strict-origin-when-cross-origin"
        assert "strict-transport-security" not in answer.headers
        assert "server" not in answer.headers
        assert not [name for name in answer.headers if name.startswith("x-envoy-")]


async def test_what_a_service_says_itself_stays(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{API}/framed")
    assert answer.headers["content-security-policy"] == "frame-ancestors 'self'"
    own = await client.post(f"{API}/unavailable")
    assert own.json() == {"type": "urn:uplift:problem:own"}
    assert own.headers["retry-after"] == "7"


async def test_http2_without_tls_is_spoken(gateway: Envoy) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
    frame = await asyncio.wait_for(reader.readexactly(9), 20)
    assert frame[3] == 4  # SETTINGS
    writer.close()
    await writer.wait_closed()


async def test_the_access_log_names_nobody(client: httpx.AsyncClient, gateway: Envoy, bearer: dict[str, str]) -> None:
    await client.get(f"{API}/logged?email=ada@example.org", headers={"x-request-id": "logged-4711"})

    async def logged() -> list[dict[str, Any]]:
        return [line for line in gateway.access_log() if line.get("request_id") == "logged-4711"]

    (line,) = await wait_until_true(logged, seconds=20)
    assert line["path"] == f"{API}/logged"
    assert line["status"] == 200
    assert line["service"] == "training"
    whole = json.dumps(gateway.access_log())
    assert "ada@example.org" not in whole
    assert bearer["authorization"].split()[1] not in whole
