"""A thing that is edited has an ETag, which whoever changes it may name: then nobody's change is lost unseen.

The ETag has two parts, `"definition.answer"`. The first is of what can be edited, the second of the whole answer, with
what changes by itself, such as a source's health. If-None-Match compares both, If-Match only the first."""

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
    from servicekit.door.route import UnitOfWorkRoute

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
    """Waits until nobody else edits what this service holds for the tenant (None: the session's), or this `thing` of it,
    and keeps others waiting until the commit. Whoever changes what has an ETag calls it before anything else is locked;
    the door does so for the changes that it knows of."""
    await session.lock_key(f"edits {tenant or session.tenant} {resource}")


def link_resource_routes(doors: Iterable["UnitOfWorkRoute"]) -> None:
    """Tells each route that changes a thing how that thing is read, and both what headers they take. Once or more."""
    every = list(doors)
    reads = {door.path_format: door for door in every if "GET" in (door.methods or ())}
    for door in every:
        methods = door.methods or set()
        if methods & {"PUT", "PATCH", "DELETE"} or door.policy.resource_path:
            door.read_route = reads.get(door.policy.resource_path or door.path_format)
            if door.read_route is not None:
                door.read_route.has_etag = True
                _document_headers(door, _MATCH, *([_NONE_MATCH_WRITE] if "PUT" in methods else []))
                _document_headers(door.read_route, _NONE_MATCH_READ)


def _document_headers(door: "UnitOfWorkRoute", *parameters: dict[str, Any]) -> None:
    told = door.openapi_extra or {}
    known = told.get("parameters", [])
    door.openapi_extra = {**told, "parameters": [*known, *(each for each in parameters if each not in known)]}


async def respond_with_etag(door: "UnitOfWorkRoute", answer: RouteHandler, request: Request) -> Response:
    """The answer with its ETag, or 304."""
    response = await answer(request)
    if not _is_whole(response):
        return response
    definition = response
    if not _is_json(response) or request.url.query or "limit" in query_names(door.dependant):
        definition = await answer(_build_read_request(door, request))
    tag = _compute_etag(door, definition, response)
    headers = {"etag": tag, "cache-control": "no-store", "vary": "authorization, accept"}
    response.headers.update(headers)
    asked = request.headers.get("if-none-match")
    if asked is not None and (asked.strip() == "*" or _strip_etag(tag) in _parse_etags(asked)):
        return Response(status_code=304, headers=headers)
    return response


async def check_preconditions(door: "UnitOfWorkRoute", request: Request) -> None:
    """Raises PreconditionFailed when the thing is not as the request says that it must be; its writers are shut out."""
    wanted, unwanted = request.headers.get("if-match"), request.headers.get("if-none-match")
    if wanted is None and unwanted is None:
        return
    thing = door.read_route
    if thing is None:
        given = "If-Match" if wanted is not None else "If-None-Match"
        problem = FieldProblem(
            pointer=f"/header/{given.lower()}", problem="not taken here", cure="send it without the header"
        )
        raise Invalid("no-if-match", f"This request takes no {given}.", errors=[problem])
    tag = await compute_current_etag(thing, request)
    if tag is None and wanted is not None:
        if "PUT" in (door.methods or ()):
            raise PreconditionFailed(
                "gone", "There is nothing at this address, or no more. Send it without If-Match to make it."
            )
        return  # the handler says that it is not there
    if (
        wanted is not None
        and wanted.strip() != "*"
        and not any(_same_definition(tag, each) for each in _parse_etags(wanted))
    ):
        raise PreconditionFailed(
            "changed-since",
            "It has been changed since you read it, and your change was not made. GET it again, make your change to what "
            "you get, and send that with its ETag.",
        )
    if (
        unwanted is not None
        and tag is not None
        and (unwanted.strip() == "*" or any(_same_definition(tag, each) for each in _parse_etags(unwanted)))
    ):
        raise PreconditionFailed(
            "there-already",
            "There is one at this address already, and it was not changed. Choose another name; or GET it, and send your "
            "change with its ETag in If-Match.",
        )


async def compute_current_etag(read_route: "UnitOfWorkRoute", request: Request) -> str | None:
    """The ETag that the caller would be told now; None when there is nothing."""
    assert read_route.original_handler is not None
    try:
        response = await read_route.original_handler(_build_read_request(read_route, request))
    except NotFound:
        return None
    return _compute_etag(read_route, response, response) if _is_whole(response) else None


def _build_read_request(thing: "UnitOfWorkRoute", request: Request) -> Request:
    """The request that reads the whole thing as JSON, in the same unit of work."""
    known = query_names(thing.dependant)
    kept = [pair for pair in request.scope["query_string"].split(b"&") if pair.startswith(b"tenant=")]
    kept = kept if "tenant" in known else []
    if "limit" in known:
        kept.append(b"limit=1000")  # of a list, as much as there may be
    dropped = (b"accept", b"content-length", b"transfer-encoding", b"if-none-match", b"if-match")
    headers = [pair for pair in request.scope["headers"] if pair[0] not in dropped]
    return Request(
        {**request.scope, "method": "GET", "query_string": b"&".join(kept), "headers": headers}, request.receive
    )


def _compute_etag(thing: "UnitOfWorkRoute", definition: Response, whole: Response) -> str:
    body = bytes(definition.body)
    if thing.policy.volatile_fields:
        content = json.loads(body)
        body = json.dumps(
            {name: content[name] for name in content if name not in thing.policy.volatile_fields}
        ).encode()
    return f'"{_hash(body)}.{_hash(bytes(whole.body))}"'


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:20]


def _is_whole(response: Response) -> bool:
    return response.status_code == 200 and not isinstance(response, StreamingResponse)


def _is_json(response: Response) -> bool:
    return response.headers.get("content-type", "").startswith("application/json")


def _parse_etags(header: str) -> Iterator[str]:
    """Without quotes, which are easily lost in a shell, and without the W/ of a proxy that compresses."""
    return (_strip_etag(each) for each in header.split(","))


def _strip_etag(tag: str) -> str:
    return tag.strip().removeprefix("W/").strip('"')


def _same_definition(tag: str | None, other: str) -> bool:
    return tag is not None and _strip_etag(tag).split(".")[0] == other.split(".")[0]
