"""One request, one transaction, committed before the answer goes out.

The order is: the token, the parameters' names, the person and the role, and only then the body; so what is refused has
cost little."""

from collections.abc import Callable, Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, cast

from contracts.directory import PLATFORM_TENANT
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from sqlalchemy.exc import DataError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import StreamingResponse

from servicekit.budget import OverBudget, within
from servicekit.door.accepted import Accepted, accepted_by, depends_on, header_names
from servicekit.door.access import authenticate, bearer_token, caller
from servicekit.door.body import BoundedRequest
from servicekit.door.idempotency import HEADER, KEY_LENGTH, PARAMETER, WRITES, remember
from servicekit.door.query import check_parameters, query_names
from servicekit.door.refusals import problem_of
from servicekit.door.things import Answer, check_match, current_tag, lock_edits, read_thing
from servicekit.door.unit import StoredResponse, Unit, kit_of
from servicekit.errors import FieldProblem, Invalid, Unavailable


class Door(APIRoute):
    """Commits the request's unit of work when its handler has answered, and before the answer leaves."""

    thing: "Door | None" = None
    """How that is read which this route changes."""
    is_thing = False
    """Whether what it reads has an ETag."""
    answer: Answer | None = None
    """The framework's handler, which works in the unit of work that the request has."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if accepted_by(self.endpoint) is None and depends_on(self.dependant, caller):
            raise TypeError(f"{self.name}: say with `accepts` who may call it.")
        told = {**(self.accepted.described() if self.signed_in else {}), **(self.openapi_extra or {})}
        self.openapi_extra = told
        if self.keeps_answers and PARAMETER not in told.get("parameters", []):
            self.openapi_extra = {**told, "parameters": [*told.get("parameters", []), PARAMETER]}

    @cached_property
    def accepted(self) -> Accepted:
        return accepted_by(self.endpoint) or Accepted()

    @cached_property
    def body_type(self) -> TypeAdapter[Any]:
        """What its body is read as."""
        assert self.body_field is not None
        return TypeAdapter(cast("Any", self.body_field.field_info.annotation))

    @cached_property
    def signed_in(self) -> bool:
        """Whether it takes an access token, in the door's way or in the handler's own."""
        return depends_on(self.dependant, caller) or self.accepted.signed_in

    @cached_property
    def keeps_answers(self) -> bool:
        """Whether it takes an Idempotency-Key, in the door's own way."""
        streams = isinstance(self.response_class, type) and issubclass(self.response_class, StreamingResponse)
        writes = bool(WRITES & set(self.methods or ()))
        return writes and self.accepted.idempotency_key and depends_on(self.dependant, caller) and not streams

    @cached_property
    def takes_key(self) -> bool:
        """Whether it takes an Idempotency-Key, in the door's way or in the handler's own."""
        return self.keeps_answers or HEADER in header_names(self.dependant)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        original = self.answer = super().get_route_handler()
        accepted, known, signed_in = self.accepted, query_names(self.dependant), depends_on(self.dependant, caller)
        writes = bool(WRITES & set(self.methods or ()))
        keyless = writes and not self.takes_key
        reads = accepted.body_bytes is not None and (self.body_field is not None or (writes and signed_in))

        async def handle(whole: Request) -> Response:
            unit = whole.state.unit = Unit(accepted, keeps_answers=self.keeps_answers)
            request = BoundedRequest(whole, accepted.body_bytes)
            try:
                if signed_in:
                    unit.claims = await kit_of(request).verifier.verify(bearer_token(request))
                check_parameters(request, known)
                _check_key(request, refused=keyless)
                request.check_announced()
                if reads and _has_body(request):
                    if unit.claims:
                        await _may(request, unit)
                    await request.body()
                    if self.body_field is not None:
                        await request.take_json()
                        request.leave_out_faults(self.body_type)
                async with unit.stack:
                    response = await within(self._answered(original, request, unit), seconds=None)
                    if unit.key and unit.session:
                        response = await remember(unit, response)
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
                raise await problem_of(error, kit_of(request).sessions) or error from error
            except (DataError, UnicodeEncodeError, OverflowError) as error:
                raise Invalid("unstorable-value", "A value is not one that the database can hold.") from error

        return handle

    async def _answered(self, answer: Answer, request: Request, unit: Unit) -> Response:
        if self.is_thing and "GET" in (self.methods or ()):
            return await read_thing(self, answer, request)
        if self.thing is None:
            if WRITES & set(self.methods or ()):
                await check_match(self, request)
            return await answer(request)
        found = await caller(request)
        assert unit.session is not None
        tenant = found.tenant
        if tenant == PLATFORM_TENANT:  # which works in others, too
            tenant = request.path_params.get("tenant") or request.query_params.get("tenant") or tenant
        await lock_edits(unit.session, tenant, request.url.path if self.accepted.alone else "")
        await check_match(self, request)
        response = await answer(request)
        if response.status_code in (200, 201) and (tag := await current_tag(self.thing, request)):
            response.headers["etag"] = tag
        return response


async def _may(request: Request, unit: Unit) -> None:
    """In a transaction of its own, since a body that comes slowly must not hold one."""
    assert unit.claims is not None
    async with kit_of(request).sessions.begin([unit.claims.tenant], now=datetime.now(UTC)) as session:
        found = await authenticate(session, unit.claims)
    unit.accepted.check(found)


def _has_body(request: Request) -> bool:
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"


def _check_key(request: Request, *, refused: bool) -> None:
    key = request.headers.get(HEADER)
    if key and refused:
        cure = "send it without the header"
        problem = FieldProblem(pointer=f"/header/{HEADER}", problem="not taken here", cure=cure)
        raise Invalid("no-idempotency-key", "This request takes no Idempotency-Key.", errors=[problem])
    if key and (len(key) > KEY_LENGTH or not key.isascii() or not key.isprintable()):
        problem = FieldProblem(
            pointer=f"/header/{HEADER}", problem="no key", cure=f"1 to {KEY_LENGTH} printable ASCII characters"
        )
        raise Invalid("bad-idempotency-key", "The Idempotency-Key is not one.", errors=[problem])


def doors(routes: Sequence[Any]) -> Iterator[Door]:
    """All routes of an application, those of the routers that it includes among them."""
    for route in routes:
        if isinstance(route, Door):
            yield route
        elif included := getattr(route, "original_router", None):
            yield from doors(included.routes)


def router(**kwargs: Any) -> APIRouter:
    """A router whose requests are units of work."""
    return APIRouter(route_class=Door, **kwargs)
