"""Handles a request in one transaction, which is committed before the response is sent.

What is cheap is checked first: the token, the names of query parameters, the Idempotency-Key, the Content-Length. The person
and the role are checked before a body that the door reads, otherwise in `get_caller`. If-Match is checked last.

A request with a body is authenticated once before, in a short transaction of its own: none must stay open while a slow body
arrives."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property, wraps
from inspect import iscoroutinefunction
from typing import Any, cast

from contracts.directory import PLATFORM_TENANT
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from sqlalchemy.exc import DataError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse

from servicekit.budget import OverBudget, run_with_budget
from servicekit.door.access import authenticate, bearer_token, get_caller
from servicekit.door.body import BoundedRequest
from servicekit.door.etags import RouteHandler, check_preconditions, compute_current_etag, lock_edits, respond_with_etag
from servicekit.door.idempotency import (
    IDEMPOTENCY_HEADER,
    IDEMPOTENCY_PARAMETER,
    MAX_KEY_LENGTH,
    WRITE_METHODS,
    store_response,
)
from servicekit.door.integrity_errors import translate_integrity_error
from servicekit.door.policy import RoutePolicy, depends_on, get_route_policy, header_names
from servicekit.door.query import check_parameters, query_names
from servicekit.door.request_state import RequestState, StoredResponse, get_context
from servicekit.errors import FieldProblem, Invalid, Unavailable


class TransactionalRoute(APIRoute):
    """A route that commits its request's session after the handler returns and before the response is sent. Raises
    TypeError for an endpoint that needs a caller and has no `route_policy`."""

    read_route: "TransactionalRoute | None" = None
    """The route that reads the resource which this route changes."""
    has_etag = False
    """Whether the resource that this route reads has an ETag."""
    original_handler: RouteHandler | None = None
    """FastAPI's handler, which runs in the request's session."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **kwargs: Any) -> None:
        super().__init__(path, _let_others_run_after(endpoint), **kwargs)
        if get_route_policy(self.endpoint) is None and self.needs_caller:
            raise TypeError(f"{self.name}: say with `@route_policy` who may call it.")
        extra = {**(self.policy.openapi_extensions() if self.requires_token else {}), **(self.openapi_extra or {})}
        self.openapi_extra = extra
        if self.stores_responses and IDEMPOTENCY_PARAMETER not in extra.get("parameters", []):
            self.openapi_extra = {**extra, "parameters": [*extra.get("parameters", []), IDEMPOTENCY_PARAMETER]}

    @cached_property
    def policy(self) -> RoutePolicy:
        """The route's policy; the default one when the endpoint is not decorated."""
        return get_route_policy(self.endpoint) or RoutePolicy()

    @cached_property
    def body_adapter(self) -> TypeAdapter[Any]:
        """Validates the body against its type."""
        assert self.body_field is not None
        return TypeAdapter(cast("Any", self.body_field.field_info.annotation))

    @cached_property
    def requires_token(self) -> bool:
        """Whether the route needs an access token, which the door or the handler verifies."""
        return self.needs_caller or self.policy.verifies_token_itself

    @cached_property
    def stores_responses(self) -> bool:
        """Whether the door stores the route's responses by Idempotency-Key."""
        streams = isinstance(self.response_class, type) and issubclass(self.response_class, StreamingResponse)
        return self.writes and self.policy.idempotency_key and self.needs_caller and not streams

    @cached_property
    def accepts_idempotency_key(self) -> bool:
        """Whether the route accepts an Idempotency-Key, which the door or the handler handles."""
        return self.stores_responses or IDEMPOTENCY_HEADER in header_names(self.dependant)

    @cached_property
    def needs_caller(self) -> bool:
        """Whether the door verifies the token before it checks anything else."""
        return depends_on(self.dependant, get_caller)

    @cached_property
    def writes(self) -> bool:
        """Whether one of the route's methods may change something."""
        return bool(WRITE_METHODS & set(self.methods or ()))

    @cached_property
    def reads_body(self) -> bool:
        """Whether the door reads the body; otherwise the handler does, as far as it needs it."""
        return self.policy.body_bytes is not None and (
            self.body_field is not None or (self.writes and self.needs_caller)
        )

    @cached_property
    def query_parameters(self) -> dict[str, bool]:
        """Name → whether it may be repeated, for each query parameter that the route accepts."""
        return query_names(self.dependant)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler that wraps FastAPI's own: checks the request, runs it, and translates errors."""
        original = self.original_handler = super().get_route_handler()

        async def handle(raw_request: Request) -> Response:
            state = raw_request.state.door = RequestState(self.policy, stores_response=self.stores_responses)
            request = BoundedRequest(raw_request, self.policy.body_bytes)
            try:
                await self._check_request(request, state)
                # Leaving this block commits; an exception, also StoredResponse, rolls back.
                async with state.stack:
                    # There is no limit in total, only one for blocking the event loop.
                    response = await run_with_budget(self._handle_request(original, request, state), seconds=None)
                    if state.idempotency_key and state.session:
                        response = await store_response(state, response)
                return response
            except StoredResponse as stored:
                return stored.response
            except Exception as error:
                problem = await _translate_error(error, request)
                if problem is None:
                    raise
                raise problem from error

        return handle

    async def _check_request(self, request: BoundedRequest, state: RequestState) -> None:
        """The checks before the transaction, and the body where the door reads it."""
        if self.needs_caller:
            state.claims = await get_context(request).verifier.verify(bearer_token(request))
        check_parameters(request, self.query_parameters)
        _check_idempotency_key(request, refused=self.writes and not self.accepts_idempotency_key)
        request.check_content_length()
        if not self.reads_body or not _has_body(request):
            return
        if state.claims:
            await _require_role(request, state)
        await request.body()
        if self.body_field is not None:
            await request.parse_json_body()
            request.truncate_invalid_body(self.body_adapter)

    async def _handle_request(self, handler: RouteHandler, request: Request, state: RequestState) -> Response:
        if self.has_etag and "GET" in (self.methods or ()):
            return await respond_with_etag(self, handler, request)
        if self.read_route is not None:
            return await self._handle_edit(self.read_route, handler, request, state)
        if self.writes:
            await check_preconditions(self, request)
        return await handler(request)

    async def _handle_edit(
        self, read_route: "TransactionalRoute", handler: RouteHandler, request: Request, state: RequestState
    ) -> Response:
        """Changes what `read_route` reads, under the lock of its edits. The response has the new ETag."""
        caller = await get_caller(request)
        assert state.session is not None
        tenant = caller.tenant
        if tenant == PLATFORM_TENANT:  # its admins also edit other tenants
            tenant = request.path_params.get("tenant") or request.query_params.get("tenant") or tenant
        await lock_edits(state.session, tenant, request.url.path if self.policy.lock_resource_only else "")
        await check_preconditions(self, request)
        response = await handler(request)
        if response.status_code in (200, 201) and (tag := await compute_current_etag(read_route, request)):
            response.headers["etag"] = tag
        return response


async def _translate_error(error: Exception, request: Request) -> Exception | None:
    """The error as one that becomes a problem document; None when it is raised as it is."""
    match error:
        case HTTPException(status_code=400):
            # The framework cannot parse the body: a form without boundary, or with too many parts.
            cure = "send it as it is described"
            problem = FieldProblem(pointer="/body", problem=str(error.detail)[:500], cure=cure)
            return Invalid("unreadable-body", "The body cannot be read.", errors=[problem])
        case RecursionError():
            return Invalid("nested-too-deeply", "What was sent is nested too deeply. Write it flatter.")
        case OverBudget():
            return Invalid("took-too-long", f"This was given up: {error}. Ask for less at once.")
        case OperationalError() | InterfaceError() | PoolTimeout() | ConnectionError():
            return Unavailable("database-away", "The database or the document store cannot be reached.", retry_after=2)
        case IntegrityError():
            return await translate_integrity_error(error, get_context(request).sessions)
        case DataError() | UnicodeEncodeError() | OverflowError():
            return Invalid("unstorable-value", "A value is not one that the database can hold.")
        case _:
            return None


def _let_others_run_after(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps an endpoint so that other tasks run before its response is serialized. A large response takes as long to
    serialize as to build; both together would block the event loop for too long."""
    if not iscoroutinefunction(endpoint):
        return endpoint

    @wraps(endpoint)
    async def run(*args: Any, **kwargs: Any) -> Any:
        result = await endpoint(*args, **kwargs)
        if not isinstance(result, Response):
            await asyncio.sleep(0)
        return result

    return run


async def _require_role(request: Request, state: RequestState) -> None:
    """Raises Forbidden unless the caller has a role for the route. Uses a transaction of its own, since none must stay open
    while a slow body arrives."""
    assert state.claims is not None
    async with get_context(request).sessions.begin([state.claims.tenant], now=datetime.now(UTC)) as session:
        caller = await authenticate(session, state.claims)
    state.policy.require_role(caller)


def _has_body(request: Request) -> bool:
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"


def _check_idempotency_key(request: Request, *, refused: bool) -> None:
    key = request.headers.get(IDEMPOTENCY_HEADER)
    if key and refused:
        cure = "send it without the header"
        problem = FieldProblem(
            pointer=f"/header/{IDEMPOTENCY_HEADER}", problem="this request does not accept the header", cure=cure
        )
        raise Invalid("no-idempotency-key", "This request does not accept an Idempotency-Key.", errors=[problem])
    if key and (len(key) > MAX_KEY_LENGTH or not key.isascii() or not key.isprintable()):
        problem = FieldProblem(
            pointer=f"/header/{IDEMPOTENCY_HEADER}",
            problem="not valid",
            cure=f"1 to {MAX_KEY_LENGTH} printable ASCII characters",
        )
        raise Invalid("bad-idempotency-key", "The Idempotency-Key is not valid.", errors=[problem])


def iter_transactional_routes(routes: Sequence[Any]) -> Iterator[TransactionalRoute]:
    """Yields the routes of an application and of the routers that it includes."""
    for route in routes:
        if isinstance(route, TransactionalRoute):
            yield route
        elif included := getattr(route, "original_router", None):
            yield from iter_transactional_routes(included.routes)


def router(**kwargs: Any) -> APIRouter:
    """A router whose requests are one transaction each."""
    return APIRouter(route_class=TransactionalRoute, **kwargs)
