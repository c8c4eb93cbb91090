"""Headers: removing untrusted ones from requests, and adding security headers to responses."""

from gateway.proto import Message, extension, typed
from gateway.settings import GatewaySettings

_MUTATION = "extensions.filters.http.header_mutation.v3.HeaderMutation"

INTERNAL_PREFIXES = ("x-uplift-", "x-envoy-", "x-forwarded-client-cert", "x-amzn-oidc-", "x-auth-request-")
INTERNAL_HEADERS = (
    "x-tenant", "x-user", "x-roles", "x-real-ip", "x-original-url", "x-rewrite-url", "x-original-host", "forwarded",
    "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix", "x-forwarded-path", "x-forwarded-user", "x-remote-user",
    "remote-user", "x-http-method-override", "x-http-method", "x-method-override", "proxy",
)  # fmt: skip
"""Request headers that clients must not set: programs behind the gateway may trust them."""

_CHECKED = "x-uplift-checked-request-id"
_CALLER_REQUEST_ID = "request.headers['x-request-id']"
_REQUEST_ID = f"{_CALLER_REQUEST_ID}.matches('^[A-Za-z0-9._-]+$') && size({_CALLER_REQUEST_ID}) >= 8 && size({_CALLER_REQUEST_ID}) <= 128 ? {_CALLER_REQUEST_ID} : ''"


def request_header_mutation(settings: GatewaySettings) -> Message:
    """The mutations of a request before the first filter. A caller's x-request-id stays only if it has 8 to 128 letters, digits,
    dots, underscores and hyphens."""
    untrusted = () if settings.trusted_proxies else ("x-forwarded-for", "x-forwarded-proto")
    return extension(
        "envoy.http.early_header_mutation.header_mutation",
        "extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=[
            *(
                {"remove_on_match": {"key_matcher": {"prefix": each, "ignore_case": True}}}
                for each in INTERNAL_PREFIXES
            ),
            *({"remove": each} for each in (*INTERNAL_HEADERS, *untrusted)),
            _set(_CHECKED, f"%CEL({_REQUEST_ID})%", "OVERWRITE_IF_EXISTS_OR_ADD"),
            {"remove": "x-request-id"},
            _set("x-request-id", f"%REQ({_CHECKED})%", "OVERWRITE_IF_EXISTS_OR_ADD"),
            {"remove": _CHECKED},
        ],
    )


def response_header_mutation(settings: GatewaySettings) -> Message:
    """Adds security headers to every response, Envoy's own included, unless the service has set them."""
    added = {
        "x-content-type-options": "nosniff",
        "referrer-policy": "strict-origin-when-cross-origin",
        "content-security-policy": "frame-ancestors 'none'",
        "x-frame-options": "DENY",
        "permissions-policy": "camera=(), geolocation=(), microphone=()",
    }
    if settings.secure or settings.tls:
        added["strict-transport-security"] = "max-age=31536000; includeSubDomains"
    return extension(
        "envoy.filters.http.header_mutation",
        _MUTATION,
        mutations={
            "response_mutations": [
                *({"remove": each} for each in ("server", "x-powered-by", "via")),
                {"remove_on_match": {"key_matcher": {"prefix": "x-envoy-", "ignore_case": True}}},
                *(_set(name, value, "ADD_IF_ABSENT") for name, value in added.items()),
            ]
        },
    )


def cors_policy(settings: GatewaySettings) -> dict[str, Message]:
    """The `typed_per_filter_config` of routes that pages of the allowed origins may call. Cookies are not allowed: the token is
    in a header."""
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
