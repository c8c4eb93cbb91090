"""The clusters: each service with its replicas, the front page, the identity provider, the issuer's keys, the trace collector,
and Envoy's admin interface for metrics."""

from urllib.parse import urlsplit

from gateway.proto import Message, address, extension, seconds, typed
from gateway.settings import GatewaySettings, parse_addresses

_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def clusters(settings: GatewaySettings) -> list[Message]:
    """All clusters. Raises ValueError for malformed addresses."""
    all_clusters = [_service_cluster(settings, name, settings.addresses(name), "/readyz") for name in settings.services]
    all_clusters.append(_service_cluster(settings, "page", parse_addresses(settings.page), None))
    if settings.provider_paths:
        all_clusters.append(_service_cluster(settings, "provider", parse_addresses(settings.provider), None))
    all_clusters.append(
        {**_url_cluster("keys", settings.keys_url), "typed_extension_protocol_options": _strip_forwarded_for()}
    )
    if settings.otlp_endpoint:
        all_clusters.append(_url_cluster("traces", settings.otlp_endpoint))
    if settings.metrics_port is not None:
        all_clusters.append(_cluster("admin", [("127.0.0.1", settings.admin_port)]))
    return all_clusters


def _service_cluster(
    settings: GatewaySettings, name: str, hosts: list[tuple[str, int]], health_path: str | None
) -> Message:
    return {
        **_cluster(name, hosts),
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        "ignore_health_on_host_removal": True,
        # Without panic mode a replica that is not ready gets no requests, even when none is ready. Without a merge window
        # the results of health checks apply at once, and not after Envoy's default of one second.
        "common_lb_config": {"healthy_panic_threshold": {"value": 0}, "update_merge_window": "0s"},
        "circuit_breakers": _circuit_breakers(settings),
        "outlier_detection": _outlier_detection(),
        "typed_extension_protocol_options": {
            _HTTP: typed(
                "extensions.upstreams.http.v3.HttpProtocolOptions",
                common_http_protocol_options={"idle_timeout": seconds(settings.upstream_idle_seconds)},
                explicit_http_config={"http_protocol_options": {}},
            )
        },
        **({"health_checks": [_health(settings, health_path)]} if health_path else {}),
    }


def _health(settings: GatewaySettings, path: str) -> Message:
    return {
        "http_health_check": {"path": path, "host": "gateway"},
        "timeout": seconds(max(1.0, settings.health_seconds)),
        "interval": seconds(settings.health_seconds),
        "no_traffic_interval": seconds(settings.health_seconds),
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
    }


def _outlier_detection() -> Message:
    """Ejects only replicas that cannot be reached. A 503 of a service is no reason, because it is usually caused by something on
    which all replicas depend."""
    return {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 3,
        "enforcing_consecutive_local_origin_failure": 100,
        "enforcing_local_origin_success_rate": 0,
        "enforcing_consecutive_5xx": 0,
        "enforcing_consecutive_gateway_failure": 0,
        "enforcing_success_rate": 0,
        "interval": "1s",
        "base_ejection_time": "2s",
        "max_ejection_percent": 50,
    }


def _circuit_breakers(settings: GatewaySettings) -> Message:
    budget = {"budget_percent": {"value": 20}, "min_retry_concurrency": 5}
    requests, streams = settings.requests_per_service, settings.streams_per_service
    return {
        "thresholds": [
            {
                "priority": "DEFAULT",
                "max_connections": requests,
                "max_requests": requests,
                "max_pending_requests": settings.waiting_per_service,
                "retry_budget": budget,
            },
            {
                "priority": "HIGH",
                "max_connections": streams,
                "max_requests": streams,
                "max_pending_requests": settings.waiting_per_service,
                "retry_budget": budget,
            },
        ]
    }


def _url_cluster(name: str, url: str) -> Message:
    """A cluster of one address, with TLS for https. Raises ValueError for anything but an http or https URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not an http or https URL")
    cluster = _cluster(name, [(parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))])
    if parts.scheme == "https":
        trusted = {"trusted_ca": {"filename": "/etc/ssl/certs/ca-certificates.crt"}}
        names = [{"san_type": "DNS", "matcher": {"exact": parts.hostname}}]
        cluster["transport_socket"] = extension(
            "envoy.transport_sockets.tls",
            "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            sni=parts.hostname,
            common_tls_context={"validation_context": {**trusted, "match_typed_subject_alt_names": names}},
        )
    return cluster


def _strip_forwarded_for() -> Message:
    """Removes X-Forwarded-For from Envoy's own requests, where it holds Envoy's address. An identity provider that demands TLS
    from external clients would take Envoy for one of them."""
    mutations = {"request_mutations": [{"remove": "x-forwarded-for"}]}
    remove = extension(
        "envoy.filters.http.header_mutation", "extensions.filters.http.header_mutation.v3.HeaderMutation",
        mutations=mutations,
    )  # fmt: skip
    send = extension("envoy.filters.http.upstream_codec", "extensions.filters.http.upstream_codec.v3.UpstreamCodec")
    return {
        _HTTP: typed(
            "extensions.upstreams.http.v3.HttpProtocolOptions",
            explicit_http_config={"http_protocol_options": {}},
            http_filters=[remove, send],
        )
    }


def _cluster(name: str, hosts: list[tuple[str, int]]) -> Message:
    endpoints = [{"endpoint": {"address": address(host, port)}} for host, port in hosts]
    return {
        "name": name,
        "cluster_type": extension(
            "envoy.clusters.dns",
            "extensions.clusters.dns.v3.DnsCluster",
            dns_refresh_rate="5s",
            dns_lookup_family="V4_PREFERRED",
        ),
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    }
