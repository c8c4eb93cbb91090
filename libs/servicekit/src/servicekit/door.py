"""The HTTP door: one request, one transaction, committed before the answer goes out."""

import base64
import hashlib
import json
import zlib
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Generic, TypeVar
from zoneinfo import ZoneInfo

from contracts.directory import PersonChanged, TenantChanged
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from opentelemetry import trace
from pydantic import BaseModel
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DataError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.types import Message
from storage import DocumentStore, Session
from storage.tables import idempotent_response

from servicekit.caller import Caller
from servicekit.errors import FieldProblem, Forbidden, Invalid, Problem, TooLarge, Unauthenticated, Unavailable
from servicekit.kit import Kit
from servicekit.logs import Subject, about
from servicekit.tokens import Claims

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
BODY_BYTES = 32_000_000
_bearer = HTTPBearer(auto_error=False, description="An access token of the issuer, audience `uplift`.")

Item = TypeVar("Item")


def _documents(request: Request) -> DocumentStore:
    return kit_of(request).documents


@dataclass
class _Unit:
    """The request's unit of work: opened by the first dependency that needs it, finished by the door."""

    stack: AsyncExitStack = field(default_factory=AsyncExitStack)
    session: Session | None = None
    caller: Caller | None = None
    key: str | None = None
    request_hash: str = ""
    body_kept: bool = False
    """The body is held in memory as a whole, and so may not be of any size."""


class _StoredResponse(Exception):
    def __init__(self, response: Response) -> None:
        self.response = response


class Door(APIRoute):
    """Commits the request's unit of work when its handler has answered, and before the answer leaves."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        original = super().get_route_handler()

        async def handle(request: Request) -> Response:
            unit = request.state.unit = _Unit(body_kept=self.body_field is not None)
            request = _bounded(request, unit)
            if unit.body_kept:
                await request.body()  # here, since the framework would tell every failure as a body it cannot parse
            try:
                async with unit.stack:
                    response = await original(request)
                    if unit.key and unit.session:
                        await _remember(unit, response)
                return response
            except _StoredResponse as stored:
                return stored.response
            except (OperationalError, InterfaceError, PoolTimeout, ConnectionError) as error:
                raise Unavailable("database-away", "The database cannot be reached.", retry_after=2) from error
            except DataError as error:
                raise Invalid("unstorable-value", "A value is not one that the database can hold.") from error

        return handle


def _bounded(request: Request, unit: _Unit) -> Request:
    """The same request; what is kept of its body is limited, what its handler reads as a stream is not."""
    size = 0

    async def receive() -> Message:
        nonlocal size
        message = await request.receive()
        size += len(message.get("body", b""))
        if unit.body_kept and size > BODY_BYTES:
            raise TooLarge("too-large", f"At most {BODY_BYTES:,} bytes are taken here.")
        return message

    return Request(request.scope, receive)


def router(**kwargs: Any) -> APIRouter:
    """A router whose requests are units of work."""
    return APIRouter(route_class=Door, **kwargs)


def kit_of(request: Request) -> Kit:
    return request.app.state.kit


def bearer_token(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("no-token", "Send an access token: `Authorization: Bearer …`.")
    return token.strip()


async def authenticate(session: Session, token_claims: Claims) -> Caller:
    """Looks the token's subject up in the session's copy of the directory, and sets the session's time to the
    tenant's. Raises Unauthenticated when the login session is over, Forbidden when the person or the tenant is unknown
    or switched off."""
    row = await session.row(
        "SELECT t.body AS tenant, p.body AS person, EXISTS (SELECT 1 FROM ended_session e WHERE e.iss = :iss AND "
        "(e.ref = :by_sid OR (e.ref = :by_sub AND to_timestamp(:issued_at) <= e.ended_at))) AS over "
        "FROM directory_tenant t "
        "LEFT JOIN directory_login l ON l.tenant = t.tenant AND l.iss = :iss AND l.sub = :sub "
        "LEFT JOIN directory_person p ON p.tenant = l.tenant AND p.id = l.person_id WHERE t.tenant = :tenant",
        {
            "tenant": token_claims.tenant,
            "iss": token_claims.iss,
            "sub": token_claims.sub,
            "by_sid": f"sid:{token_claims.sid}",
            "by_sub": f"sub:{token_claims.sub}",
            "issued_at": token_claims.issued_at,
        },
    )
    if row is None or row["person"] is None:
        raise Forbidden("unknown-here", f"Nobody is known by this login in tenant `{token_claims.tenant}`.")
    if row["over"]:
        raise Unauthenticated("session-ended", "This login session has ended. Sign in again.")
    of_tenant = TenantChanged.model_validate(row["tenant"])
    person = PersonChanged.model_validate(row["person"])
    if not of_tenant.active:
        raise Forbidden("tenant-off", f"Tenant `{of_tenant.slug}` is switched off.")
    if not person.active:
        raise Forbidden("person-off", "This person is switched off.")
    if of_tenant.simulated and of_tenant.clock:
        session.now = of_tenant.clock
    today = session.now.astimezone(ZoneInfo(of_tenant.time_zone)).date()
    return Caller(of_tenant.slug, person, tuple(role for role in person.roles if role.holds_on(today)), today)


async def caller(request: Request, _: Annotated[Any, Depends(_bearer)] = None) -> Caller:
    unit: _Unit = request.state.unit
    if unit.caller is None:
        kit = kit_of(request)
        claims = await kit.verifier.verify(bearer_token(request))
        unit.session = await unit.stack.enter_async_context(kit.sessions.begin([claims.tenant], now=datetime.now(UTC)))
        span = trace.get_current_span().get_span_context()
        about.set(Subject(kit.sessions.service, claims.tenant, span=span))
        unit.caller = await authenticate(unit.session, claims)
        await _recall(request, unit)
    return unit.caller


async def session(request: Request, caller: Annotated[Caller, Depends(caller)]) -> Session:
    opened = request.state.unit.session
    assert opened is not None, f"{caller.tenant}: the caller was found in a session"
    return opened


CallerDep = Annotated[Caller, Depends(caller)]
WorkSession = Annotated[Session, Depends(session)]
DocumentsDep = Annotated[DocumentStore, Depends(_documents)]


async def _recall(request: Request, unit: _Unit) -> None:
    """With an Idempotency-Key: answers with the stored response, or remembers to store this one."""
    key = request.headers.get("idempotency-key")
    if not key or request.method not in WRITES or unit.session is None or unit.caller is None:
        return
    unit.body_kept = True
    body = await request.body()
    whole = b"\x00".join([request.method.encode(), str(request.url.path).encode(), request.url.query.encode(), body])
    unit.key, unit.request_hash = key[:200], hashlib.sha256(whole).hexdigest()
    place = {"tenant": unit.caller.tenant, "caller": str(unit.caller.person_id), "key": unit.key}
    # A second request with the same key waits here for the first one's commit.
    await unit.session.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(:place, 0))", {"place": "idempotent " + " ".join(place.values())}
    )
    stored = await unit.session.row(
        "SELECT request_hash, status, headers, body FROM idempotent_response "
        "WHERE tenant = :tenant AND caller = :caller AND key = :key",
        place,
    )
    if stored is None:
        return
    if stored["request_hash"] != unit.request_hash:
        raise Invalid("idempotency-key-reused", "This Idempotency-Key was used for another request. Use a new one.")
    raise _StoredResponse(
        Response(stored["body"], stored["status"], {**stored["headers"], "idempotency-replayed": "true"})
    )


async def _remember(unit: _Unit, response: Response) -> None:
    assert unit.session is not None
    assert unit.caller is not None
    headers = {name: value for name, value in response.headers.items() if name in ("content-type", "location")}
    await unit.session.narrow([unit.caller.tenant])
    await unit.session.execute(
        insert(idempotent_response).values(
            tenant=unit.caller.tenant,
            caller=str(unit.caller.person_id),
            key=unit.key,
            request_hash=unit.request_hash,
            status=response.status_code,
            headers=headers,
            body=bytes(getattr(response, "body", b"")),
            at=datetime.now(UTC),
        )
    )


class Page(BaseModel, Generic[Item]):
    """`next` is the cursor of the page after this one: pass it as `after`; null on the last page."""

    items: list[Item]
    next: str | None = None


@dataclass(frozen=True)
class PageQuery:
    """`after` are the values that the last page's cursor held."""

    limit: int
    after: list[Any] | None

    def place(self, *readers: Callable[[Any], Any]) -> tuple[Any, ...] | None:
        """What the cursor holds, each part read by its reader; None on the first page. Raises Invalid for the cursor of
        another list."""
        if self.after is None:
            return None
        try:
            return tuple(read(part) for read, part in zip(readers, self.after, strict=True))
        except (ValueError, TypeError, AttributeError) as error:
            raise _bad_cursor("the cursor of another list") from error


def page_query(
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    after: Annotated[str | None, Query(description="The `next` of the page before.")] = None,
) -> PageQuery:
    if after is None:
        return PageQuery(limit, None)
    try:
        raw = base64.urlsafe_b64decode(after + "=" * (-len(after) % 4))
        if raw[:4] != _checksum(raw[4:]):
            raise ValueError("this is none of ours")
        values = json.loads(raw[4:])
    except ValueError as error:
        raise _bad_cursor("not a cursor") from error
    return PageQuery(limit, values)


def _bad_cursor(problem: str) -> Invalid:
    found = FieldProblem(pointer="/after", problem=problem, cure="pass the `next` of the page before")
    return Invalid("bad-cursor", "`after` is not a cursor of this list.", errors=[found])


def _checksum(values: bytes) -> bytes:
    """So that lists need not guard their queries against made-up cursors."""
    return zlib.crc32(values).to_bytes(4)


PageDep = Annotated[PageQuery, Depends(page_query)]


def page_of(rows: Sequence[Item], limit: int, cursor: Callable[[Item], list[Any]]) -> Page[Item]:
    """Makes a page of up to `limit` of the `limit + 1` rows that were fetched."""
    if len(rows) <= limit:
        return Page[Item](items=list(rows))
    values = json.dumps(cursor(rows[limit - 1]), default=str, separators=(",", ":")).encode()
    opaque = base64.urlsafe_b64encode(_checksum(values) + values).decode().rstrip("=")
    return Page[Item](items=list(rows[:limit]), next=opaque)


async def render_problem(request: Request, error: Exception) -> Response:
    """An RFC 9457 problem document."""
    problem = error if isinstance(error, Problem) else Problem("unexpected", "The cause is in the log.")
    headers = {"retry-after": str(problem.retry_after)} if problem.retry_after is not None else {}
    if isinstance(problem, Unauthenticated | Forbidden):
        headers["www-authenticate"] = _challenge(problem)
    document = {**problem.document(), "instance": request.url.path}
    return JSONResponse(document, problem.status, headers, media_type="application/problem+json")


def _challenge(problem: Unauthenticated | Forbidden) -> str:
    """What RFC 6750 wants told; who sent no token at all is told no error. Header values are plain ASCII."""
    if problem.slug == "no-token":
        return 'Bearer realm="uplift"'
    error = "invalid_token" if isinstance(problem, Unauthenticated) else "insufficient_scope"
    detail = problem.detail.encode("ascii", "ignore").decode().translate({34: "'", 92: "/", 10: " ", 13: " "})
    return f'Bearer realm="uplift", error="{error}", error_description="{detail}"'


async def render_http(request: Request, error: Exception) -> Response:
    """What the framework itself refuses: an unknown path, a method that the path does not have."""
    assert isinstance(error, HTTPException)
    title = HTTPStatus(error.status_code).phrase
    document = {"type": "about:blank", "title": title, "status": error.status_code, "detail": str(error.detail)}
    document["instance"] = request.url.path
    return JSONResponse(document, error.status_code, error.headers, media_type="application/problem+json")


async def render_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = [
        FieldProblem(
            pointer="".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in each["loc"]),
            problem=str(each["msg"]),
            cure=f"see the OpenAPI page of this service; got {str(each.get('input'))[:80]!r}",
        )
        for each in error.errors()
        if each["type"] != "json_invalid"
    ] or [_broken_json(error)]
    kind = request.headers.get("content-type", "none")
    if isinstance(error.body, bytes) and "json" not in kind:
        cure = f"send it with `Content-Type: application/json`; it came with {kind[:80]}"
        problems = [FieldProblem(pointer="/body", problem="it is not marked as JSON", cure=cure)]
    detail = "Some fields are not as they must be: " + ", ".join(problem.pointer for problem in problems[:5])
    return await render_problem(request, Invalid("invalid-fields", detail, errors=problems))


def _broken_json(error: RequestValidationError) -> FieldProblem:
    """The framework gives the place as a part of the path, and keeps what is wrong there apart."""
    broken = error.errors()[0]
    text, place = str(error.body), int(broken["loc"][-1])
    return FieldProblem(
        pointer="/body",
        problem=f"not JSON: {broken['ctx']['error']}",
        cure="check commas, quotes and brackets there",
        line=text.count("\n", 0, place) + 1,
        column=place - text.rfind("\n", 0, place),
    )
