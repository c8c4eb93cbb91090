"""The routes: public paths, their clusters, timeouts and retries."""

import re
from collections.abc import Mapping
from typing import Any

from gateway.headers import cors_policy
from gateway.proto import Message, extension, seconds, typed
from gateway.settings import GatewaySettings

PUBLIC_SUFFIXES = (r"/openapi\.json", "/docs(/oauth2-redirect)?", "/redoc", "/static-offline-docs/[^/]+")
"""Regular expressions of paths below a service's prefix that need no token: its API description."""
SIGN_OUT_PATH = "/api/identity/v1/back-channel-logout"
"""The identity provider posts a signed logout token here; no access token is needed."""

ORGANIZATION_HEADER = "x-uplift-organization"
"""Carries a claim of the verified token from one filter to another. Clients cannot set this header, and services do not get
it."""

UPLOADS: Mapping[str, str] = {"ingest": "/sources/[^/]+/records"}
"""By service, the regular expression of the path that takes large bodies."""
STREAMS: Mapping[str, str] = {"notification": "/stream"}
"""By service, the path of its event stream."""
_READ_METHOD_MATCHES = [{"name": ":method", "string_match": {"exact": method}} for method in ("GET", "HEAD")]


def virtual_host(settings: GatewaySettings) -> Message:
    """The one virtual host, with all routes in the order in which they match."""
    return {
        "name": "uplift",
        "domains": ["*"],
        "request_headers_to_remove": ["x-envoy-internal", ORGANIZATION_HEADER],
        "routes": [
            _liveness_route(),
            *(route for service in settings.services for route in _service(settings, service)),
            *(
                {"match": {"path_separated_prefix": path}, "direct_response": {"status": 404}}
                for path in settings.provider_hidden
            ),
            *(_provider(settings, path) for path in settings.provider_paths),
            _page(settings),
            {"match": {"prefix": "/"}, "direct_response": {"status": 404}},
        ],
    }


def _service(settings: GatewaySettings, name: str) -> list[Message]:
    """The routes of a service, specific ones first. Bodies are buffered, except on the routes for uploads and streams."""
    prefix = f"/api/{name}/v1"
    public = {"safe_regex": {"regex": f"{prefix}({'|'.join(PUBLIC_SUFFIXES)})"}, "headers": [_method("GET", "HEAD")]}
    routes = [_ordinary(settings, name, public)]
    if SIGN_OUT_PATH.startswith(f"{prefix}/"):
        routes += _size_limited_routes(settings, name, {"path": SIGN_OUT_PATH})
    if name in UPLOADS:
        match = {"safe_regex": {"regex": prefix + UPLOADS[name]}, "headers": [_method("POST")]}
        routes += [_too_large(match, settings.upload_bytes), _upload(settings, name, match)]
    if name in STREAMS:
        routes.append(_stream(settings, name, {"path": prefix + STREAMS[name], "headers": [_method("GET")]}))
    upgrade = {"name": "upgrade", "string_match": {"exact": "websocket", "ignore_case": True}}
    routes.append(_stream(settings, name, {"path_separated_prefix": prefix, "headers": [_method("GET"), upgrade]}))
    return routes + _size_limited_routes(settings, name, {"path_separated_prefix": prefix})


def _size_limited_routes(settings: GatewaySettings, name: str, match: Message) -> list[Message]:
    """An ordinary route, with one before it that refuses a Content-Length above `body_bytes` at once. Bodies without a
    Content-Length are measured by the buffer filter."""
    return [_too_large(match, settings.body_bytes), _ordinary(settings, name, match)]


def _ordinary(settings: GatewaySettings, name: str, match: Message) -> Message:
    return _route(
        match,
        {
            "cluster": name,
            "timeout": seconds(settings.idle_seconds),
            "idle_timeout": seconds(settings.idle_seconds),
            "max_stream_duration": {"max_stream_duration": seconds(settings.request_seconds)},
            "retry_policy": _retries(),
        },
        cors_policy(settings),
    )


def _upload(settings: GatewaySettings, name: str, match: Message) -> Message:
    return _route(
        match,
        {
            "cluster": name,
            "timeout": seconds(settings.upload_seconds),
            "idle_timeout": seconds(settings.upload_idle_seconds),
            "max_stream_duration": {"max_stream_duration": seconds(settings.upload_seconds)},
        },
        {**cors_policy(settings), **_disable_buffering()},
    )


def _stream(settings: GatewaySettings, name: str, match: Message) -> Message:
    """A route for server-sent events and WebSockets. The priority HIGH has connections of its own, so that streams do not take
    those of requests."""
    return _route(
        match,
        {
            "cluster": name,
            "priority": "HIGH",
            "timeout": "0s",
            "idle_timeout": seconds(settings.stream_idle_seconds),
            "max_stream_duration": {"max_stream_duration": "0s"},
            "upgrade_configs": [{"upgrade_type": "websocket"}],
        },
        {**cors_policy(settings), **_disable_buffering()},
    )


def _provider(settings: GatewaySettings, path: str) -> Message:
    """A route to the identity provider. It is not traced, because its URLs hold codes and login hints."""
    off = {"numerator": 0}
    untraced = {"client_sampling": off, "random_sampling": off, "overall_sampling": off}
    action = {
        "cluster": "provider",
        "timeout": seconds(settings.idle_seconds),
        "max_stream_duration": {"max_stream_duration": seconds(settings.request_seconds)},
        "retry_policy": _retries(),
    }
    return {**_route({"path_separated_prefix": path}, action, {}), "tracing": untraced}


def _page(settings: GatewaySettings) -> Message:
    return _ordinary(settings, "page", {"path": "/", "headers": [_method("GET", "HEAD")]})


def _route(match: Message, action: Message, per_filter: Message) -> Message:
    return {"match": match, "route": action, **({"typed_per_filter_config": per_filter} if per_filter else {})}


def _too_large(match: Message, limit: int) -> Message:
    """Answers 413 to requests whose Content-Length is above `limit` bytes."""
    length = {"name": "content-length", "range_match": {"start": limit + 1, "end": (1 << 63) - 1}}
    headers: list[Any] = [*match.get("headers", []), length]
    return {"match": {**match, "headers": headers}, "direct_response": {"status": 413}}


def _retries() -> Message:
    """Retries of GET and HEAD; no other request may be sent twice. A retry goes to another replica, if there is one."""
    return {
        "retry_on": "connect-failure,refused-stream,reset-before-request,reset,retriable-status-codes",
        "retriable_status_codes": [503],
        "retriable_request_headers": _READ_METHOD_MATCHES,
        "num_retries": 2,
        "retry_host_predicate": [
            extension(
                "envoy.retry_host_predicates.previous_hosts",
                "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
            )
        ],
        "host_selection_retry_max_attempts": 5,
        "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.25s"},
    }


def _disable_buffering() -> Message:
    return {"envoy.filters.http.buffer": typed("extensions.filters.http.buffer.v3.BufferPerRoute", disabled=True)}


def _method(*names: str) -> Message:
    return {"name": ":method", "string_match": {"safe_regex": {"regex": "|".join(map(re.escape, names))}}}


def _liveness_route() -> Message:
    content_type = {
        "header": {"key": "content-type", "value": "application/json"},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }
    return {
        "match": {"path": "/healthz"},
        "direct_response": {"status": 200, "body": {"inline_string": '{"status":"alive"}'}},
        "response_headers_to_add": [content_type],
    }
