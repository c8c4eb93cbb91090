"""The same gateway as objects of the Gateway API and of Envoy Gateway, for the Helm chart.

charts/uplift/generated/gateway.yaml holds what `render_values` returns; the chart adds names, hosts, the issuer and backends.
docs/guides/gateway.md lists the differences between Envoy Gateway and the configuration that `gateway.bootstrap` renders.
"""

from collections.abc import Mapping
from typing import Any

from gateway.headers import INTERNAL_HEADERS, cors_policy
from gateway.routes import ORGANIZATION_HEADER, PUBLIC_SUFFIXES, SIGN_OUT_PATH, STREAMS, UPLOADS
from gateway.settings import GatewaySettings

TENANT_HEADER = "x-uplift-tenant"
"""Carries the claim `tenant` of the verified token to the rate limit. Services do not get this header."""
_READ_METHODS = ("GET", "HEAD")

Fields = dict[str, Any]


def render_values(settings: GatewaySettings) -> Fields:
    """The chart's values as plain data: `client` (spec of the ClientTrafficPolicy), `cors`, `claims`, `keysCacheDuration`,
    `classes` with the policies of each class of routes, and `routes`, each of which belongs to one class."""
    return {
        "client": _client_policy(settings),
        "cors": _cors(settings),
        "claims": {TENANT_HEADER: "tenant", ORGANIZATION_HEADER: "organization"},
        "keysCacheDuration": _duration(settings.jwks_seconds),
        "classes": _classes(settings),
        "routes": [
            *(route for name in settings.services for route in _service_routes(name)),
            _route("page", "page", "public", *(_match("Exact", "/", method) for method in _READ_METHODS)),
            _route(
                "provider-read", "keycloak", "provider-read",
                *(_match("PathPrefix", each, method) for each in settings.provider_paths for method in _READ_METHODS),
            ),
            _route("provider", "keycloak", "provider", *(_match("PathPrefix", each) for each in settings.provider_paths)),
            _route("hidden", None, "hidden", *(_match("PathPrefix", each) for each in settings.provider_hidden)),
        ],
    }  # fmt: skip


def _service_routes(name: str) -> list[Fields]:
    """The routes of a service. The Gateway API prefers the most specific match: an exact path, then a regular expression, then a
    prefix; among equals, the one with more headers."""
    prefix = f"/api/{name}/v1"
    public = [_match("RegularExpression", f"{prefix}({'|'.join(PUBLIC_SUFFIXES)})", method) for method in _READ_METHODS]
    upgrade = {"type": "RegularExpression", "name": "upgrade", "value": "(?i)websocket"}
    streams = [{**_match("PathPrefix", prefix, "GET"), "headers": [upgrade]}]
    if name in STREAMS:
        streams.append(_match("Exact", prefix + STREAMS[name], "GET"))
    routes = [
        _route(f"{name}-public", name, "public", *public),
        _route(f"{name}-read", name, "read", *(_match("PathPrefix", prefix, method) for method in _READ_METHODS)),
        _route(f"{name}-write", name, "write", _match("PathPrefix", prefix)),
        _route(f"{name}-stream", name, "stream", *streams),
    ]
    if name in UPLOADS:
        upload = _match("RegularExpression", prefix + UPLOADS[name], "POST")
        routes.append(_route(f"{name}-upload", name, "upload", upload))
    if SIGN_OUT_PATH.startswith(f"{prefix}/"):
        routes.append(_route(f"{name}-sign-out", name, "sign-out", _match("Exact", SIGN_OUT_PATH, "POST")))
    return routes


def _classes(settings: GatewaySettings) -> dict[str, Fields]:
    """The classes of routes. `token` says whether a valid access token is needed, `cors` whether pages may call the route,
    `policy` is the spec of the BackendTrafficPolicy. `hidden` has no policy, because it answers 404."""
    body = {"requestBuffer": {"limit": str(settings.body_bytes)}, "compressor": [{"type": "Gzip", "gzip": {}}]}
    ordinary = {**_policy(settings, settings.idle_seconds, settings.request_seconds), **body}
    upload = _policy(settings, settings.upload_seconds, settings.upload_seconds)
    stream = _policy(settings, 0, 0, connections=settings.streams_per_service)
    tenant, address = _rate_per_tenant(settings), _rate_per_address(settings)
    return {
        "public": {"token": False, "cors": True, "policy": {**ordinary, **_retries(), **address}},
        "read": {"token": True, "cors": True, "policy": {**ordinary, **_retries(), **tenant}},
        "write": {"token": True, "cors": True, "policy": {**ordinary, **tenant}},
        "upload": {"token": True, "cors": True, "policy": {**upload, **tenant}},
        "stream": {"token": True, "cors": True, "policy": {**stream, **tenant}},
        "sign-out": {"token": False, "cors": True, "policy": {**ordinary, **address}},
        "provider-read": {"token": False, "cors": False, "policy": {**ordinary, **_retries(), **address}},
        "provider": {"token": False, "cors": False, "policy": {**ordinary, **address}},
        "hidden": {"token": False, "cors": False},
    }


def _policy(
    settings: GatewaySettings, answer_seconds: float, total_seconds: float, *, connections: int | None = None
) -> Fields:
    """Timeouts and circuit breakers. A timeout of 0 s means none."""
    limit = connections or settings.requests_per_service
    return {
        "timeout": {
            "tcp": {"connectTimeout": "1s"},
            "http": {
                "requestTimeout": _duration(answer_seconds),
                "maxStreamDuration": _duration(total_seconds),
                "connectionIdleTimeout": _duration(settings.upstream_idle_seconds),
            },
        },
        "circuitBreaker": {
            "maxConnections": limit,
            "maxParallelRequests": limit,
            "maxPendingRequests": settings.waiting_per_service,
        },
    }


def _retries() -> Fields:
    """The retries of routes that match GET and HEAD only, because no other request may be sent twice."""
    return {
        "retry": {
            "numRetries": 2,
            "retryOn": {
                "triggers": [
                    "connect-failure", "refused-stream", "reset-before-request", "reset", "retriable-status-codes",
                ],
                "httpStatusCodes": [503],
            },
            "perRetry": {"backOff": {"baseInterval": "25ms", "maxInterval": "250ms"}},
        }
    }  # fmt: skip


def _rate_per_tenant(settings: GatewaySettings) -> Fields:
    """A bucket for each tenant of verified tokens, in each replica of Envoy and each route."""
    limit = {"requests": settings.tenant_rate, "unit": "Second"}
    return _rules(
        *(
            {"clientSelectors": [{"headers": [{"name": header, "type": "Distinct"}]}], "limit": limit}
            for header in (TENANT_HEADER, ORGANIZATION_HEADER)
        )
    )


def _rate_per_address(settings: GatewaySettings) -> Fields:
    limit = {"requests": settings.address_rate, "unit": "Second"}
    everybody = ("0.0.0.0/0", "::/0")
    return _rules(
        *(
            {"clientSelectors": [{"sourceCIDR": {"type": "Distinct", "value": each}}], "limit": limit}
            for each in everybody
        )
    )


def _rules(*rules: Fields) -> Fields:
    return {"rateLimit": {"local": {"rules": list(rules)}}}


def _client_policy(settings: GatewaySettings) -> Fields:
    """The limits that apply before a route is chosen: time for a request, connections, paths, headers that clients must not set."""
    return {
        "timeout": {
            "http": {
                "requestReceivedTimeout": _duration(settings.upload_seconds),
                "idleTimeout": _duration(settings.connection_idle_seconds),
                "streamIdleTimeout": _duration(settings.stream_idle_seconds),
            }
        },
        "connection": {"connectionLimit": {"value": settings.connections}, "bufferLimit": "64Ki"},
        "http2": {
            "maxConcurrentStreams": 100,
            "initialStreamWindowSize": "64Ki",
            "initialConnectionWindowSize": "1Mi",
        },
        "path": {"escapedSlashesAction": "RejectRequest"},
        "headers": {
            "withUnderscoresAction": "RejectRequest",
            "requestID": "PreserveOrGenerate",
            "earlyRequestHeaders": {"remove": sorted({TENANT_HEADER, ORGANIZATION_HEADER, *INTERNAL_HEADERS})},
        },
        "healthCheck": {"path": "/healthz"},
    }


def _cors(settings: GatewaySettings) -> Fields:
    (policy,) = cors_policy(settings).values()
    return {
        "allowMethods": policy["allow_methods"].split(", "),
        "allowHeaders": policy["allow_headers"].split(", "),
        "exposeHeaders": policy["expose_headers"].split(", "),
        "maxAge": _duration(float(policy["max_age"])),
        "allowCredentials": policy["allow_credentials"],
    }


def _route(name: str, backend: str | None, kind: str, *matches: Mapping[str, Any]) -> Fields:
    return {"name": name, "backend": backend, "class": kind, "matches": list(matches)}


def _match(kind: str, value: str, method: str | None = None) -> Fields:
    return {"path": {"type": kind, "value": value}, **({"method": method} if method else {})}


def _duration(seconds: float) -> str:
    """A duration of the Gateway API: `30s`, `250ms`."""
    return f"{seconds:.0f}s" if seconds == int(seconds) else f"{seconds * 1000:.0f}ms"
