"""Headers: what from outside is believed, and what browsers are told."""

from gateway.proto import Message, extension, typed
from gateway.settings import GatewaySettings

_MUTATION = "extensions.filters.http.header_mutation.v3.HeaderMutation"

INTERNAL_PREFIXES = ("x-uplift-", "x-envoy-", "x-forwarded-client-cert", "x-amzn-oidc-", "x-auth-request-")
INTERNAL_HEADERS = (
    "x-tenant", "x-user", "x-roles", "x-real-ip", "x-original-url", "x-rewrite-url", "x-original-host", "forwarded",
    "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix", "x-forwarded-path", "x-forwarded-user", "x-remote-user",
    "remote-user", "x-http-method-override", "x-http-method", "x-method-override", "proxy",
)  # fmt: skip
"""Nobody outside may say these: behind the gateway somebody may believe them."""

_CHECKED = "x-uplift-checked-request-id"
_CALLER_REQUEST_ID = "request.headers['x-request-id']"
_REQUEST_ID = f"{_CALLER_REQUEST_ID}.matches('^[A-Za-z0-9._-]+$') && size({_CALLER_REQUEST_ID}) >= 8 && size({_CALLER_REQUEST_ID}) <= 128 ? {_CALLER_REQUEST_ID} : ''"


def request_header_mutation(settings: GatewaySettings) -> Message:
    """Before anything of the request is read. A caller's request id stays only if it can be logged and sent on."""
    unknown = () if settings.trusted_proxies else ("x-forwarded-for", "x-forwarded-proto")
    return extension(
        "envoy.http.early_header_mutation.header_mutation",
        "extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=[
            *(
                {"remove_on_match": {"key_matcher": {"prefix": each, "ignore_case": True}}}
                for each in INTERNAL_PREFIXES
            ),
            *({"remove": each} for each in (*INTERNAL_HEADERS, *unknown)),
            _set(_CHECKED, f"%CEL({_REQUEST_ID})%", "OVERWRITE_IF_EXISTS_OR_ADD"),
            {"remove": "x-request-id"},
            _set("x-request-id", f"%REQ({_CHECKED})%", "OVERWRITE_IF_EXISTS_OR_ADD"),
            {"remove": _CHECKED},
        ],
    )


def response_header_mutation(settings: GatewaySettings) -> Message:
    """On every answer, Envoy's own refusals included. What a service says itself stays."""
    told = {
        "x-content-type-options": "nosniff",
        "referrer-policy": "strict-origin-when-cross-origin",
        "content-security-policy": "frame-ancestors 'none'",
        "x-frame-options": "DENY",
        "permissions-policy": "camera=(), geolocation=(), microphone=()",
    }
    if settings.secure or settings.tls:
        told["strict-transport-security"] = "max-age=31536000; includeSubDomains"
    return extension(
        "envoy.filters.http.header_mutation",
        _MUTATION,
        mutations={
            "response_mutations": [
                *({"remove": each} for each in ("server", "x-powered-by", "via")),
                {"remove_on_match": {"key_matcher": {"prefix": "x-envoy-", "ignore_case": True}}},
                *(_set(name, value, "ADD_IF_ABSENT") for name, value in told.items()),
            ]
        },
    )


def cors_policy(settings: GatewaySettings) -> dict[str, Message]:
    """`typed_per_filter_config` of routes that the portal's pages may call. No cookies: the token is in a header."""
    policy = typed(
        "extensions.filters.http.cors.v3.CorsPolicy",
        allow_origin_string_match=[{"exact": each} for each in settings.allowed_origins],
        allow_methods="GET, HEAD, POST, PUT, PATCH, DELETE",
        allow_headers="accept-language, authorization, content-encoding, content-type, idempotency-key, if-match, "
        "if-none-match, last-event-id, prefer, traceparent, tracestate, x-request-id",
        expose_headers="etag, idempotency-replayed, location, preference-applied, retry-after, www-authenticate, "
        "x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, x-request-id",
        max_age="600",
        allow_credentials=False,
    )
    return {"envoy.filters.http.cors": policy}


def _set(name: str, value: str, action: str) -> Message:
    return {"append": {"header": {"key": name, "value": value}, "append_action": action}}
