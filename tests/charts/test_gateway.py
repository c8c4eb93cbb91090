"""The chart's gateway does what the plain Envoy configuration does. Where Envoy Gateway cannot: docs/guides/gateway.md."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from contracts import ALL_SERVICES
from gateway.headers import INTERNAL_HEADERS
from gateway.kubernetes import TENANT_HEADER
from gateway.routes import ORGANIZATION_HEADER, SIGN_OUT_PATH
from gateway.settings import GatewaySettings
from ingest.settings import IngestSettings

from tests.charts.conftest import Render
from tests.charts.envoy_routes import EnvoyGateway, PlainEnvoy, Request, Way, seconds
from tests.charts.objects import Objects

pytestmark = pytest.mark.cluster

SETTINGS = GatewaySettings(
    public_url="https://uplift.example.org",
    jwks_url="http://keycloak-service.keycloak.svc:8080/realms/uplift/protocol/openid-connect/certs",
)


@pytest.fixture(scope="module")
def plain() -> PlainEnvoy:
    return PlainEnvoy(SETTINGS)


@pytest.fixture(scope="module")
def objects(render: Render) -> Objects:
    return render("prod")


def _requests() -> Iterator[Request]:
    methods = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
    below = (
        "", "/", "/things", "/things/1", "/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc", "/openapijson",
        "/static-offline-docs/swagger-ui.css", "/sources/x/records", "/sources/x/y/records", "/stream", "/streams",
    )  # fmt: skip
    for method in methods:
        for service in ALL_SERVICES:
            for rest in below:
                yield Request(method, f"/api/{service}/v1{rest}")
                if rest in ("/things", "/stream", "/docs"):
                    yield Request(method, f"/api/{service}/v1{rest}", upgrade="WebSocket")
            yield Request(method, f"/api/{service}/v12/things")
        for path in (
            SIGN_OUT_PATH, f"{SIGN_OUT_PATH}/x", "/", "/metrics", "/lag", "/api", "/api/nobody/v1/things", "/realms",
            "/realms/uplift", "/realms/master", "/realms/master/x", "/realms/masters", "/realmsx", "/resources/x.js",
        ):  # fmt: skip
            yield Request(method, path)


def test_every_request_goes_the_same_way(plain: PlainEnvoy, objects: Objects) -> None:
    gateway = EnvoyGateway(objects)
    different = {each: ways for each in _requests() if (ways := (plain.way(each), gateway.way(each)))[0] != ways[1]}
    assert different == {}


def test_the_ways_are_not_all_one(plain: PlainEnvoy) -> None:
    ways = {plain.way(each) for each in _requests()}
    assert len(ways) > 30
    assert Way(None) in ways


def test_rates_are_the_same(plain: PlainEnvoy, objects: Objects) -> None:
    for each in objects.of_kind("BackendTrafficPolicy").values():
        for selector, rate in EnvoyGateway.selectors(each["spec"]):
            assert rate == plain.rates()["tenant" if "headers" in selector else "address"]


def test_tokens_are_checked_alike(plain: PlainEnvoy, objects: Objects) -> None:
    expected = plain.filters["jwt_authn"]["providers"]["issuer"]
    found = [each["spec"]["jwt"] for each in objects.of_kind("SecurityPolicy").values() if "jwt" in each["spec"]]
    assert len(found) == 4
    for jwt in found:
        (provider,) = jwt["providers"]
        assert not jwt.get("optional")
        assert provider["issuer"] == expected["issuer"]
        assert provider["audiences"] == expected["audiences"]
        assert provider["remoteJWKS"] == {
            "uri": expected["remote_jwks"]["http_uri"]["uri"],
            "cacheDuration": expected["remote_jwks"]["cache_duration"],
        }
        assert provider["extractFrom"] == {"headers": [{"name": "Authorization", "valuePrefix": "Bearer "}]}


def test_the_tenant_is_that_of_the_token_and_never_of_a_header(objects: Objects) -> None:
    (client,) = objects.of_kind("ClientTrafficPolicy").values()
    removed = set(client["spec"]["headers"]["earlyRequestHeaders"]["remove"])
    claims = {TENANT_HEADER: "tenant", ORGANIZATION_HEADER: "organization"}
    assert {*claims, *INTERNAL_HEADERS} == removed
    for each in objects.of_kind("SecurityPolicy").values():
        for provider in each["spec"].get("jwt", {}).get("providers", ()):
            assert {to["header"]: to["claim"] for to in provider["claimToHeaders"]} == claims
    for route in objects.of_kind("HTTPRoute").values():
        for rule in route["spec"]["rules"]:
            for each in rule["filters"]:
                if each["type"] == "RequestHeaderModifier":
                    assert set(each["requestHeaderModifier"]["remove"]) == set(claims)


def test_pages_of_the_same_origins_may_call(plain: PlainEnvoy, objects: Objects) -> None:
    route = next(each for each in plain.routes if "typed_per_filter_config" in each)
    expected = route["typed_per_filter_config"]["envoy.filters.http.cors"]
    for each in objects.of_kind("SecurityPolicy").values():
        cors = each["spec"]["cors"]
        assert [{"exact": origin} for origin in cors["allowOrigins"]] == expected["allow_origin_string_match"]
        for name, text in (
            ("allowMethods", "allow_methods"),
            ("allowHeaders", "allow_headers"),
            ("exposeHeaders", "expose_headers"),
        ):
            assert ", ".join(cors[name]) == expected[text]
        assert seconds(cors["maxAge"]) == float(expected["max_age"])
        assert cors["allowCredentials"] is expected["allow_credentials"] is False


def test_clients_are_bounded_alike(plain: PlainEnvoy, objects: Objects) -> None:
    (client,) = objects.of_kind("ClientTrafficPolicy").values()
    spec, manager = client["spec"], plain.manager
    http = spec["timeout"]["http"]
    assert http["requestReceivedTimeout"] == manager["request_timeout"]
    assert http["idleTimeout"] == manager["common_http_protocol_options"]["idle_timeout"]
    streams = [
        each["route"]["idle_timeout"] for each in plain.routes if each.get("route", {}).get("priority") == "HIGH"
    ]
    assert {http["streamIdleTimeout"]} == set(streams)
    assert spec["http2"]["maxConcurrentStreams"] == manager["http2_protocol_options"]["max_concurrent_streams"]
    monitors = plain.configuration["overload_manager"]["resource_monitors"]
    most = monitors[1]["typed_config"]["max_active_downstream_connections"]
    assert spec["connection"]["connectionLimit"]["value"] == most
    assert spec["path"]["escapedSlashesAction"] == "RejectRequest"
    assert manager["path_with_escaped_slashes_action"] == "REJECT_REQUEST"


def test_an_upload_is_bounded_by_ingest_where_the_gateway_does_not() -> None:
    assert IngestSettings().body_mb << 20 == SETTINGS.upload_bytes


def test_the_gateway_listens_at_the_public_address(objects: Objects, render: Render) -> None:
    (secure,) = objects.of_kind("Gateway")["uplift"]["spec"]["listeners"]
    assert secure["hostname"] == urlsplit(SETTINGS.public_url).hostname
    assert (secure["port"], secure["protocol"]) == (443, "HTTPS")
    (plain,) = render("dev").of_kind("Gateway")["uplift"]["spec"]["listeners"]
    assert (plain["port"], plain["protocol"], plain["hostname"]) == (80, "HTTP", "uplift.localhost")
    assert "tls" not in plain


def test_every_backend_is_a_service_with_that_port(objects: Objects) -> None:
    services = {name: each["spec"]["ports"][0]["port"] for name, each in objects.of_kind("Service").items()}
    pods = [template["metadata"]["labels"].items() for _, template in objects.pods()]
    for route in objects.of_kind("HTTPRoute").values():
        for rule in route["spec"]["rules"]:
            for backend in rule.get("backendRefs", ()):
                if backend.get("namespace") != "keycloak":
                    assert services[backend["name"]] == backend["port"]
    for service in objects.of_kind("Service").values():
        assert sum(service["spec"]["selector"].items() <= labels for labels in pods) == 1
