"""The listeners: the public one, and the one for metrics."""

from typing import Any
from urllib.parse import urlsplit

from gateway.filters import http_filters
from gateway.headers import request_header_mutation
from gateway.proto import Message, address, extension, seconds, typed
from gateway.replies import local_replies
from gateway.routes import virtual_host
from gateway.settings import GatewaySettings

_MANAGER = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"


def listeners(settings: GatewaySettings) -> list[Message]:
    """The public listener, and that for metrics when a port is set."""
    return [_public(settings), *([_metrics(settings)] if settings.metrics_port is not None else [])]


def _public(settings: GatewaySettings) -> Message:
    chain: Message = {
        "filters": [extension("envoy.filters.network.http_connection_manager", _MANAGER, **_manager(settings))]
    }
    if settings.tls:
        chain["transport_socket"] = _tls(settings)
    return {
        "name": "public",
        "address": address(settings.host, settings.port),
        "per_connection_buffer_limit_bytes": 64 << 10,
        "filter_chains": [chain],
    }


def _manager(settings: GatewaySettings) -> dict[str, Any]:
    return {
        "stat_prefix": "public",
        "codec_type": "AUTO",
        **_forwarding_trust(settings),
        **_timeouts(settings),
        **_limits(settings),
        "generate_request_id": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "request_id_extension": {
            "typed_config": typed("extensions.request_id.uuid.v3.UuidRequestIdConfig", pack_trace_reason=False)
        },
        "early_header_mutation_extensions": [request_header_mutation(settings)],
        "local_reply_config": local_replies(),
        "access_log": [_access_log()],
        **_tracing(settings),
        "http_filters": http_filters(settings),
        "route_config": {"name": "public", "virtual_hosts": [virtual_host(settings)]},
    }


def _forwarding_trust(settings: GatewaySettings) -> dict[str, Any]:
    """Trusts X-Forwarded-* only from our own proxies, and normalises paths."""
    return {
        "use_remote_address": True,
        "xff_num_trusted_hops": settings.trusted_proxies,
        "internal_address_config": {"unix_sockets": False},
        "server_header_transformation": "PASS_THROUGH",
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
    }


def _timeouts(settings: GatewaySettings) -> dict[str, Any]:
    """The longest times of all routes; most routes set shorter ones."""
    return {
        "request_headers_timeout": seconds(settings.header_seconds),
        "request_timeout": seconds(settings.upload_seconds),
        "stream_idle_timeout": seconds(settings.idle_seconds),
        "drain_timeout": seconds(settings.drain_seconds),
        "delayed_close_timeout": "1s",
    }


def _limits(settings: GatewaySettings) -> dict[str, Any]:
    return {
        "max_request_headers_kb": settings.header_kb,
        "common_http_protocol_options": {
            "idle_timeout": seconds(settings.connection_idle_seconds),
            "max_headers_count": settings.header_count,
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "http2_protocol_options": {
            "max_concurrent_streams": 100,
            "initial_stream_window_size": 64 << 10,
            "initial_connection_window_size": 1 << 20,
            "allow_connect": True,
        },
        "upgrade_configs": [{"upgrade_type": "websocket", "enabled": False}],
    }


def _access_log() -> Message:
    """JSON lines without query, client address or token, so that they hold no personal data."""
    fields = {
        "time": "%START_TIME%",
        "method": "%REQ(:METHOD)%",
        "path": "%PATH(NQ)%",
        "protocol": "%PROTOCOL%",
        "status": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "details": "%RESPONSE_CODE_DETAILS%",
        "bytes_in": "%BYTES_RECEIVED%",
        "bytes_out": "%BYTES_SENT%",
        "milliseconds": "%DURATION%",
        "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "service": "%UPSTREAM_CLUSTER%",
        "upstream": "%UPSTREAM_HOST%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "traceparent": "%REQ(TRACEPARENT)%",
    }
    kind = "extensions.access_loggers.stream.v3.StdoutAccessLog"
    return extension("envoy.access_loggers.stdout", kind, log_format={"json_format": fields})


def _tracing(settings: GatewaySettings) -> dict[str, Any]:
    if not settings.otlp_endpoint:
        return {}
    uri = settings.otlp_endpoint.rstrip("/")
    uri = uri if urlsplit(uri).path else f"{uri}/v1/traces"
    provider = extension(
        "envoy.tracers.opentelemetry",
        "envoy.config.trace.v3.OpenTelemetryConfig",
        service_name="gateway",
        http_service={"http_uri": {"uri": uri, "cluster": "traces", "timeout": "2s"}},
    )
    return {"tracing": {"provider": provider, "random_sampling": {"value": settings.trace_percent}}}


def _tls(settings: GatewaySettings) -> Message:
    certificate = {
        "certificate_chain": {"filename": settings.tls_certificate},
        "private_key": {"filename": settings.tls_key},
    }
    return extension(
        "envoy.transport_sockets.tls",
        "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context={
            "tls_certificates": [certificate],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            "alpn_protocols": ["h2", "http/1.1"],
        },
    )


def _metrics(settings: GatewaySettings) -> Message:
    assert settings.metrics_port is not None
    route = {
        "match": {"path": "/metrics"},
        "route": {"cluster": "admin", "prefix_rewrite": "/stats/prometheus", "timeout": "5s"},
    }
    manager = extension(
        "envoy.filters.network.http_connection_manager",
        _MANAGER,
        stat_prefix="metrics",
        http_filters=[extension("envoy.filters.http.router", "extensions.filters.http.router.v3.Router")],
        route_config={"virtual_hosts": [{"name": "metrics", "domains": ["*"], "routes": [route]}]},
    )
    return {
        "name": "metrics",
        "address": address(settings.metrics_host, settings.metrics_port),
        "filter_chains": [{"filters": [manager]}],
    }
