"""ETags of resources that can be edited. A caller that sends one in If-Match cannot overwrite another caller's change.

An ETag has two parts, `"definition.response"`. The first is a hash of what can be edited, the second of the complete
response, which also has fields that change by themselves, such as a source's health. If-None-Match compares both parts,
If-Match only the first."""

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from fastapi import Request, Response
from starlette.responses import StreamingResponse
from storage import Session

from servicekit.door.query import query_names
from servicekit.errors import FieldProblem, Invalid, NotFound, PreconditionFailed

if TYPE_CHECKING:
    from servicekit.door.route import TransactionalRoute

RouteHandler = Callable[[Request], Awaitable[Response]]

_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "The ETag that was read before: nothing is changed, and 412 answered, when it is another by now.",
}
_NONE_MATCH_WRITE = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "`*`: nothing is changed, and 412 answered, when there is something already.",
}
_NONE_MATCH_READ = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "The ETag of what one has: 304 when it is still the same.",
}


async def lock_edits(session: Session, tenant: str | None = None, resource: str = "") -> None:
    """Locks edits of the tenant's data in this service (None: the session's tenant), or of one `resource` of it, until the
    commit; waits for other holders. Code that changes a resource with an ETag calls this before it locks anything else.
    The HTTP door does so for its routes."""
    await session.lock_key(f"edits {tenant or session.tenant} {resource}")


def link_resource_routes(routes: Iterable["TransactionalRoute"]) -> None:
    """Links each route that changes a resource to the route that reads it, and documents the headers of both. Idempotent."""
    every = list(routes)
    reads = {route.path_format: route for route in every if "GET" in (route.methods or ())}
    for route in every:
        methods = route.methods or set()
        if methods & {"PUT", "PATCH", "DELETE"} or route.policy.resource_path:
            route.read_route = reads.get(route.policy.resource_path or route.path_format)
            if route.read_route is not None:
                route.read_route.has_etag = True
                _document_headers(route, _MATCH, *([_NONE_MATCH_WRITE] if "PUT" in methods else []))
                _document_headers(route.read_route, _NONE_MATCH_READ)


def _document_headers(route: "TransactionalRoute", *parameters: dict[str, Any]) -> None:
    extra = route.openapi_extra or {}
    known = extra.get("parameters", [])
    route.openapi_extra = {**extra, "parameters": [*known, *(each for each in parameters if each not in known)]}


async def respond_with_etag(route: "TransactionalRoute", handler: RouteHandler, request: Request) -> Response:
    """The response of a read with its ETag, or 304 when If-None-Match has the same."""
    response = await handler(request)
    if not _is_complete(response):
        return response
    definition = response
    if not _is_json(response) or request.url.query or "limit" in query_names(route.dependant):
        definition = await handler(_build_read_request(route, request))
    tag = _compute_etag(route, definition, response)
    headers = {"etag": tag, "cache-control": "no-store", "vary": "authorization, accept"}
    response.headers.update(headers)
    known = request.headers.get("if-none-match")
    if known is not None and (known.strip() == "*" or _strip_etag(tag) in _parse_etags(known)):
        return Response(status_code=304, headers=headers)
    return response


async def check_preconditions(route: "TransactionalRoute", request: Request) -> None:
    """Raises PreconditionFailed when If-Match or If-None-Match does not hold; Invalid when the route has no ETag. The caller
    has locked edits, so that the resource cannot change until the commit."""
    match, none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
    if match is None and none_match is None:
        return
    read_route = route.read_route
    if read_route is None:
        header = "If-Match" if match is not None else "If-None-Match"
        problem = FieldProblem(
            pointer=f"/header/{header.lower()}",
            problem="this request does not accept the header",
            cure="send it without the header",
        )
        raise Invalid("no-if-match", f"This request does not accept {header}.", errors=[problem])
    tag = await compute_current_etag(read_route, request)
    if tag is None and match is not None:
        if "PUT" in (route.methods or ()):
            raise PreconditionFailed(
                "gone", "There is nothing at this address, or no more. Send it without If-Match to make it."
            )
        return  # the handler raises NotFound
    if (
        match is not None
        and match.strip() != "*"
        and not any(_same_definition(tag, each) for each in _parse_etags(match))
    ):
        raise PreconditionFailed(
            "changed-since",
            "It has been changed since you read it, and your change was not made. GET it again, make your change to what "
            "you get, and send that with its ETag.",
        )
    if (
        none_match is not None
        and tag is not None
        and (none_match.strip() == "*" or any(_same_definition(tag, each) for each in _parse_etags(none_match)))
    ):
        raise PreconditionFailed(
            "there-already",
            "There is one at this address already, and it was not changed. Choose another name; or GET it, and send your "
            "change with its ETag in If-Match.",
        )


async def compute_current_etag(read_route: "TransactionalRoute", request: Request) -> str | None:
    """The ETag that the caller would now get from `read_route`; None when there is no such resource."""
    assert read_route.original_handler is not None
    try:
        response = await read_route.original_handler(_build_read_request(read_route, request))
    except NotFound:
        return None
    return _compute_etag(read_route, response, response) if _is_complete(response) else None


def _build_read_request(read_route: "TransactionalRoute", request: Request) -> Request:
    """The request that reads the complete resource as JSON, in the same session."""
    known = query_names(read_route.dependant)
    kept = [pair for pair in request.scope["query_string"].split(b"&") if pair.startswith(b"tenant=")]
    kept = kept if "tenant" in known else []
    if "limit" in known:
        kept.append(b"limit=1000")  # the maximum
    dropped = (b"accept", b"content-length", b"transfer-encoding", b"if-none-match", b"if-match")
    headers = [pair for pair in request.scope["headers"] if pair[0] not in dropped]
    return Request(
        {**request.scope, "method": "GET", "query_string": b"&".join(kept), "headers": headers}, request.receive
    )


def _compute_etag(read_route: "TransactionalRoute", definition: Response, response: Response) -> str:
    body = bytes(definition.body)
    if volatile := read_route.policy.volatile_fields:
        content = json.loads(body)
        body = json.dumps({name: content[name] for name in content if name not in volatile}).encode()
    return f'"{_hash(body)}.{_hash(bytes(response.body))}"'


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:20]


def _is_complete(response: Response) -> bool:
    return response.status_code == 200 and not isinstance(response, StreamingResponse)


def _is_json(response: Response) -> bool:
    return response.headers.get("content-type", "").startswith("application/json")


def _parse_etags(header: str) -> Iterator[str]:
    """The tags of a header without quotes, which a shell easily removes, and without the `W/` that a compressing proxy adds."""
    return (_strip_etag(each) for each in header.split(","))


def _strip_etag(tag: str) -> str:
    return tag.strip().removeprefix("W/").strip('"')


def _same_definition(tag: str | None, other: str) -> bool:
    return tag is not None and _strip_etag(tag).split(".")[0] == other.split(".")[0]
