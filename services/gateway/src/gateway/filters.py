"""The HTTP filters, in the order in which they handle a request."""

from gateway.headers import response_header_mutation
from gateway.proto import Message, extension, percent, seconds
from gateway.routes import ORGANIZATION_HEADER, PUBLIC_SUFFIXES, SIGN_OUT_PATH
from gateway.settings import GatewaySettings

_CLAIMS = "metadata.filter_metadata['envoy.filters.http.jwt_authn']['claims']"
_PUBLIC_API = f"/api/[^/]+/v1({'|'.join(PUBLIC_SUFFIXES)})"
_PUBLIC_PATHS: tuple[Message, ...] = (
    {"string_match": {"prefix": "/api/"}, "invert_match": True},
    {"string_match": {"safe_regex": {"regex": rf"{_PUBLIC_API}(\?.*)?"}}},
    {"string_match": {"prefix": SIGN_OUT_PATH}},
)
_TEXT = (
    "application/json", "application/problem+json", "application/javascript", "application/x-ndjson", "application/xml",
    "image/svg+xml", "text/css", "text/csv", "text/html", "text/javascript", "text/plain", "text/xml",
)  # fmt: skip


def http_filters(settings: GatewaySettings) -> list[Message]:
    """All filters. Those that refuse cheaply come first: a body is buffered only after authentication and rate limits."""
    return [
        response_header_mutation(settings),
        _readiness(),
        extension("envoy.filters.http.cors", "extensions.filters.http.cors.v3.Cors"),
        _compression(),
        _jwt_authentication(settings),
        _rate_limits(settings),
        extension(
            "envoy.filters.http.buffer",
            "extensions.filters.http.buffer.v3.Buffer",
            max_request_bytes=settings.body_bytes,
        ),
        extension("envoy.filters.http.router", "extensions.filters.http.router.v3.Router", suppress_envoy_headers=True),
    ]


def _readiness() -> Message:
    """Answers /readyz of the gateway itself: 503 as soon as it drains."""
    return extension(
        "envoy.filters.http.health_check",
        "extensions.filters.http.health_check.v3.HealthCheck",
        pass_through_mode=False,
        headers=[{"name": ":path", "string_match": {"safe_regex": {"regex": r"/readyz(\?.*)?"}}}],
    )


def _compression() -> Message:
    """Compresses text, except event streams, whose events would wait until a block is full."""
    return extension(
        "envoy.filters.http.compressor",
        "extensions.filters.http.compressor.v3.Compressor",
        response_direction_config={
            "common_config": {"min_content_length": 1024, "content_type_matcher": [{"exact": each} for each in _TEXT]},
            "remove_accept_encoding_header": True,
            "weaken_etag_on_compress": True,
        },
        compressor_library=extension(
            "gzip", "extensions.compression.gzip.compressor.v3.Gzip", compression_level="COMPRESSION_LEVEL_3"
        ),
        choose_first=True,
    )


def _jwt_authentication(settings: GatewaySettings) -> Message:
    """Checks issuer, audience, signature and times of tokens. Services check them again, and whether the person is active."""
    provider = {
        "issuer": settings.token_issuer,
        "audiences": [settings.audience],
        "remote_jwks": {
            "http_uri": {"uri": settings.keys_url, "cluster": "keys", "timeout": "5s"},
            "cache_duration": seconds(settings.jwks_seconds),
            "async_fetch": {"fast_listener": True, "failed_refetch_duration": "1s"},
            "retry_policy": {"num_retries": 2},
        },
        "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
        "forward": True,
        "payload_in_metadata": "claims",
        "claim_to_headers": [{"header_name": ORGANIZATION_HEADER, "claim_name": "organization"}],
        "clock_skew_seconds": 30,
        "require_expiration": True,
        "jwt_cache_config": {"jwt_cache_size": 1000},
    }
    public = [
        {"match": {"safe_regex": {"regex": _PUBLIC_API}, "headers": _match_methods("GET", "HEAD")}},
        {"match": {"path": SIGN_OUT_PATH, "headers": _match_methods("POST")}},
    ]
    return extension(
        "envoy.filters.http.jwt_authn",
        "extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        providers={"issuer": provider},
        rules=[*public, {"match": {"prefix": "/api/"}, "requires": {"provider_name": "issuer"}}],
        bypass_cors_preflight=True,
    )


def _match_methods(*methods: str) -> list[Message]:
    return [{"name": ":method", "string_match": {"safe_regex": {"regex": "|".join(methods)}}}]


def _rate_limits(settings: GatewaySettings) -> Message:
    """A token bucket for each tenant, and one for each client address on paths without a token.

    The tenant is that of the verified token, never that of a header. A descriptor entry without a value matches every value
    and has a bucket for each. A token without a tenant, which services refuse, uses the default bucket.
    """
    every_tenant = _bucket(settings.tenant_rate, settings.tenant_burst)
    every_address = _bucket(settings.address_rate, settings.address_burst)
    public = [{"key": "door", "value": "public"}, {"key": "remote_address"}]
    return extension(
        "envoy.filters.http.local_ratelimit",
        "extensions.filters.http.local_ratelimit.v3.LocalRateLimit",
        stat_prefix="gateway",
        filter_enabled={"default_value": percent(100), "runtime_key": "gateway.unused"},
        filter_enforced={"default_value": percent(100), "runtime_key": "gateway.unused"},
        token_bucket=every_tenant,
        descriptors=[
            {"entries": [{"key": "tenant"}], "token_bucket": every_tenant},
            {"entries": public, "token_bucket": every_address},
        ],
        rate_limits=[
            *({"actions": [each]} for each in _tenant_of_token()),
            *({"actions": [_public_path_action(match), {"remote_address": {}}]} for match in _PUBLIC_PATHS),
        ],
        max_dynamic_descriptors=20_000,
        always_consume_default_token_bucket=False,
        enable_x_ratelimit_headers="DRAFT_VERSION_03",
    )


def _tenant_of_token() -> list[Message]:
    """The descriptors of the tenant: the claim `tenant` of a machine's token, or the only entry of `organization` in a person's.
    Keycloak may send `organization` as an object, which expressions cannot read: then the entire claim identifies the
    tenant."""
    kind = "extensions.rate_limit_descriptors.expr.v3.Descriptor"
    expressions = [
        {
            "extension": extension(
                "envoy.rate_limit_descriptors.expr", kind, descriptor_key="tenant", skip_if_error=True, text=text
            )
        }
        for text in (f"{_CLAIMS}['tenant']", f"{_CLAIMS}['organization'][0]")
    ]
    entire_claim = {"header_name": ORGANIZATION_HEADER, "descriptor_key": "tenant", "skip_if_absent": True}
    return [*expressions, {"request_headers": entire_claim}]


def _public_path_action(path: Message) -> Message:
    match = {"descriptor_key": "door", "descriptor_value": "public", "headers": [{"name": ":path", **path}]}
    return {"header_value_match": match}


def _bucket(rate: int, burst: int) -> Message:
    return {"max_tokens": max(rate, burst), "tokens_per_fill": rate, "fill_interval": "1s"}
