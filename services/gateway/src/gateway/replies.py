"""Envoy's own error responses as RFC 9457 problem documents, like those of the services."""

from dataclasses import dataclass
from typing import Any

from gateway.proto import Message, extension

_PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class Refusal:
    """A problem document for one of Envoy's own errors. `status` is Envoy's; `replacement_status` is sent in its place.
    `retry_after` is in seconds."""

    status: int
    slug: str
    title: str
    detail: str
    replacement_status: int | None = None
    retry_after: int | None = None
    filter_expression: str | None = None
    """A CEL expression that must be true too."""


_KEYS_AWAY = "response.code_details == 'jwt_authn_access_denied{Jwks_remote_fetch_is_failed}'"
_TOKEN = "response.code_details.startsWith('jwt_authn_access_denied')"  # noqa: S105
_UNAUTHENTICATED_TITLE = "A valid access token is needed"
_UNAUTHENTICATED_DETAIL = "Send a valid access token of the issuer: `Authorization: Bearer …`."
_UNAVAILABLE_TITLE = "Not available at the moment"

REFUSALS = (
    Refusal(401, "issuer-away", _UNAVAILABLE_TITLE, "The issuer's keys cannot be reached.", 503, 5, _KEYS_AWAY),
    Refusal(
        403, "invalid-token", _UNAUTHENTICATED_TITLE, "The access token was refused.", 401, filter_expression=_TOKEN
    ),
    Refusal(401, "no-token", _UNAUTHENTICATED_TITLE, _UNAUTHENTICATED_DETAIL),
    Refusal(400, "bad-request", "The request cannot be read", "Its path, headers or framing are not as HTTP has them."),
    Refusal(403, "forbidden", "Not allowed", "The gateway does not allow this."),
    Refusal(404, "not-found", "Not found", "There is nothing at this path."),
    Refusal(405, "method", "Method not allowed", "The path does not take this method."),
    Refusal(408, "too-slow", "The request took too long", "It did not arrive, or was not answered, in time."),
    Refusal(413, "too-large", "Too large", "The body is larger than is taken here."),
    Refusal(426, "upgrade", "Upgrade required", "Use HTTP/1.1 or HTTP/2."),
    Refusal(429, "too-many", "Too many requests", "Your limit is used up for the moment.", retry_after=1),
    Refusal(431, "headers-too-large", "Too large", "The headers are larger than is taken here."),
    Refusal(502, "bad-answer", _UNAVAILABLE_TITLE, "The service's answer could not be read."),
    Refusal(
        503, "service-away", _UNAVAILABLE_TITLE, "The service cannot be reached or has too much to do.", retry_after=2
    ),
    Refusal(
        504, "no-answer", _UNAVAILABLE_TITLE, "The service did not answer in time; what was asked may still happen."
    ),
)


def local_replies() -> Message:
    """The `local_reply_config` of the connection manager."""
    return {"mappers": [*map(_mapper, REFUSALS), _fallback_mapper()]}


def _mapper(refusal: Refusal) -> Message:
    status = refusal.replacement_status or refusal.status
    headers = [_header("cache-control", "no-store")]
    if refusal.retry_after is not None:
        headers.append(_header("retry-after", str(refusal.retry_after)))
    if status == 401:
        headers.append(_header("www-authenticate", f'Bearer error="{refusal.slug}"'))
    filters = [_status("EQ", refusal.status)]
    if refusal.filter_expression:
        filters.append(_cel(refusal.filter_expression))
    return {
        "filter": filters[0] if len(filters) == 1 else {"and_filter": {"filters": filters}},
        "status_code": status,
        "headers_to_add": headers,
        "body_format_override": _body(f"urn:uplift:problem:{refusal.slug}", refusal.title, status, refusal.detail),
    }


def _fallback_mapper() -> Message:
    return {
        "filter": _status("GE", 400),
        "body_format_override": _body(
            "about:blank", "The gateway refused this", "%RESPONSE_CODE%", "%LOCAL_REPLY_BODY%"
        ),
    }


def _body(kind: str, title: str, status: int | str, detail: str) -> Message:
    fields: dict[str, Any] = {
        "type": kind,
        "title": title,
        "status": status,
        "detail": detail,
        "instance": "%PATH(NQ)%",
    }
    return {"json_format": fields, "content_type": _PROBLEM}


def _status(operator: str, value: int) -> Message:
    comparison = {"op": operator, "value": {"default_value": value, "runtime_key": "gateway.unused"}}
    return {"status_code_filter": {"comparison": comparison}}


def _cel(expression: str) -> Message:
    kind = "extensions.access_loggers.filters.cel.v3.ExpressionFilter"
    return {"extension_filter": extension("envoy.access_loggers.extension_filters.cel", kind, expression=expression)}


def _header(name: str, value: str) -> Message:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
