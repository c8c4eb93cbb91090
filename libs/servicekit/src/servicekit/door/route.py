"""One request, one transaction, committed before the answer goes out.

The order is: the token, the parameters' names, the person and the role, and only then the body; so what is refused has
cost little."""

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
    KEY_LENGTH,
    WRITE_METHODS,
    store_response,
)
from servicekit.door.integrity_errors import translate_integrity_error
from servicekit.door.policy import RoutePolicy, depends_on, get_route_policy, header_names
from servicekit.door.query import check_parameters, query_names
from servicekit.door.unit_of_work import StoredResponse, UnitOfWork, get_context
from servicekit.errors import FieldProblem, Invalid, Unavailable


class UnitOfWorkRoute(APIRoute):
    """Commits the request's unit of work when its handler has answered, and before the answer leaves."""

    read_route: "UnitOfWorkRoute | None" = None
    """How that is read which this route changes."""
    has_etag = False
    """Whether what it reads has an ETag."""
    original_handler: RouteHandler | None = None
    """The framework's handler, which works in the unit of work that the request has."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **kwargs: Any) -> None:
        super().__init__(path, _yield_after(endpoint), **kwargs)
        if get_route_policy(self.endpoint) is None and depends_on(self.dependant, get_caller):
            raise TypeError(f"{self.name}: say with `@route_policy` who may call it.")
        told = {**(self.policy.openapi_extensions() if self.requires_token else {}), **(self.openapi_extra or {})}
        self.openapi_extra = told
        if self.stores_responses and IDEMPOTENCY_PARAMETER not in told.get("parameters", []):
            self.openapi_extra = {**told, "parameters": [*told.get("parameters", []), IDEMPOTENCY_PARAMETER]}

    @cached_property
    def policy(self) -> RoutePolicy:
        return get_route_policy(self.endpoint) or RoutePolicy()

    @cached_property
    def body_type(self) -> TypeAdapter[Any]:
        """What its body is read as."""
        assert self.body_field is not None
        return TypeAdapter(cast("Any", self.body_field.field_info.annotation))

    @cached_property
    def requires_token(self) -> bool:
        """Whether it takes an access token, in the door's way or in the handler's own."""
        return depends_on(self.dependant, get_caller) or self.policy.verifies_token_itself

    @cached_property
    def stores_responses(self) -> bool:
        """Whether it takes an Idempotency-Key, in the door's own way."""
        streams = isinstance(self.response_class, type) and issubclass(self.response_class, StreamingResponse)
        writes = bool(WRITE_METHODS & set(self.methods or ()))
        return writes and self.policy.idempotency_key and depends_on(self.dependant, get_caller) and not streams

    @cached_property
    def accepts_idempotency_key(self) -> bool:
        """Whether it takes an Idempotency-Key, in the door's way or in the handler's own."""
        return self.stores_responses or IDEMPOTENCY_HEADER in header_names(self.dependant)

    def get_route_handler(  # noqa: C901 - one clause for each kind of fault that becomes a problem document
        self,
    ) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        original = self.original_handler = super().get_route_handler()
        accepted, known, signed_in = self.policy, query_names(self.dependant), depends_on(self.dependant, get_caller)
        writes = bool(WRITE_METHODS & set(self.methods or ()))
        keyless = writes and not self.accepts_idempotency_key
        reads = accepted.body_bytes is not None and (self.body_field is not None or (writes and signed_in))

        async def handle(whole: Request) -> Response:  # noqa: C901, PLR0912 - as above
            unit = whole.state.unit = UnitOfWork(accepted, stores_response=self.stores_responses)
            request = BoundedRequest(whole, accepted.body_bytes)
            try:
                if signed_in:
                    unit.claims = await get_context(request).verifier.verify(bearer_token(request))
                check_parameters(request, known)
                _check_idempotency_key(request, refused=keyless)
                request.check_content_length()
                if reads and _has_body(request):
                    if unit.claims:
                        await _require_role(request, unit)
                    await request.body()
                    if self.body_field is not None:
                        await request.parse_json_body()
                        request.leave_out_faults(self.body_type)
                async with unit.stack:
                    response = await run_with_budget(self._handle_request(original, request, unit), seconds=None)
                    if unit.idempotency_key and unit.session:
                        response = await store_response(unit, response)
                return response
            except StoredResponse as stored:
                return stored.response
            except HTTPException as error:
                if error.status_code != 400:
                    raise
                # The framework cannot take the body apart: a form without boundary, or of too many parts.
                problem = FieldProblem(
                    pointer="/body", problem=str(error.detail)[:500], cure="send it as it is described"
                )
                raise Invalid("unreadable-body", "The body cannot be read.", errors=[problem]) from error
            except RecursionError as error:
                raise Invalid("nested-too-deeply", "What was sent is nested too deeply. Write it flatter.") from error
            except OverBudget as error:
                raise Invalid("took-too-long", f"This was given up: {error}. Ask for less at once.") from error
            except (OperationalError, InterfaceError, PoolTimeout, ConnectionError) as error:
                raise Unavailable("database-away", "The database cannot be reached.", retry_after=2) from error
            except IntegrityError as error:
                raise await translate_integrity_error(error, get_context(request).sessions) or error from error
            except (DataError, UnicodeEncodeError, OverflowError) as error:
                raise Invalid("unstorable-value", "A value is not one that the database can hold.") from error

        return handle

    async def _handle_request(self, answer: RouteHandler, request: Request, unit: UnitOfWork) -> Response:
        if self.has_etag and "GET" in (self.methods or ()):
            return await respond_with_etag(self, answer, request)
        if self.read_route is None:
            if WRITE_METHODS & set(self.methods or ()):
                await check_preconditions(self, request)
            return await answer(request)
        found = await get_caller(request)
        assert unit.session is not None
        tenant = found.tenant
        if tenant == PLATFORM_TENANT:  # which works in others, too
            tenant = request.path_params.get("tenant") or request.query_params.get("tenant") or tenant
        await lock_edits(unit.session, tenant, request.url.path if self.policy.lock_resource_only else "")
        await check_preconditions(self, request)
        response = await answer(request)
        if response.status_code in (200, 201) and (tag := await compute_current_etag(self.read_route, request)):
            response.headers["etag"] = tag
        return response


def _yield_after(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """The endpoint, which lets other tasks run before its answer is serialized: a large answer takes as long to
    serialize as to build, and both at once would hold the loop."""
    if not iscoroutinefunction(endpoint):
        return endpoint

    @wraps(endpoint)
    async def run(*args: Any, **kwargs: Any) -> Any:
        answer = await endpoint(*args, **kwargs)
        if not isinstance(answer, Response):
            await asyncio.sleep(0)
        return answer

    return run


async def _require_role(request: Request, unit: UnitOfWork) -> None:
    """In a transaction of its own, since a body that comes slowly must not hold one."""
    assert unit.claims is not None
    async with get_context(request).sessions.begin([unit.claims.tenant], now=datetime.now(UTC)) as session:
        found = await authenticate(session, unit.claims)
    unit.policy.require_role(found)


def _has_body(request: Request) -> bool:
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"


def _check_idempotency_key(request: Request, *, refused: bool) -> None:
    key = request.headers.get(IDEMPOTENCY_HEADER)
    if key and refused:
        cure = "send it without the header"
        problem = FieldProblem(pointer=f"/header/{IDEMPOTENCY_HEADER}", problem="not taken here", cure=cure)
        raise Invalid("no-idempotency-key", "This request takes no Idempotency-Key.", errors=[problem])
    if key and (len(key) > KEY_LENGTH or not key.isascii() or not key.isprintable()):
        problem = FieldProblem(
            pointer=f"/header/{IDEMPOTENCY_HEADER}",
            problem="no key",
            cure=f"1 to {KEY_LENGTH} printable ASCII characters",
        )
        raise Invalid("bad-idempotency-key", "The Idempotency-Key is not one.", errors=[problem])


def iter_unit_routes(routes: Sequence[Any]) -> Iterator[UnitOfWorkRoute]:
    """All routes of an application, those of the routers that it includes among them."""
    for route in routes:
        if isinstance(route, UnitOfWorkRoute):
            yield route
        elif included := getattr(route, "original_router", None):
            yield from iter_unit_routes(included.routes)


def router(**kwargs: Any) -> APIRouter:
    """A router whose requests are units of work."""
    return APIRouter(route_class=UnitOfWorkRoute, **kwargs)
