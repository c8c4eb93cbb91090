"""Where records come in."""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Annotated, Any

from contracts import Mode, new_id
from fastapi import Header, Query, Request, Response
from servicekit import accepts, authenticate, bearer_token, check_roles, kit_of
from servicekit import router as door_router
from servicekit.errors import Conflict, Invalid, NotFound
from starlette.types import Message

from ingest.actions.orders import Digest, Order, SenderLeft
from ingest.actions.reception import Reception
from ingest.actions.sources import RETIRED, load_source
from ingest.api.access import SENDERS
from ingest.api.receipts import ReceiptView, shown
from ingest.store import receipts

router = door_router(tags=["records"])
AHEAD = 1 << 20
"""Bytes of a body that are taken in while what came before is worked on."""

_BODY = {
    "requestBody": {
        "required": True,
        "description": "The vendor's payload as it is, plain or gzip.",
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in ("application/json", "application/x-ndjson", "text/csv", "application/gzip")
        },
    },
}


@router.post(
    "/sources/{source}/records",
    response_model=ReceiptView,
    responses={202: {"model": ReceiptView, "description": "Kept; `Location` is the receipt."}},
    openapi_extra=_BODY,
)
@accepts(roles=SENDERS, body_bytes=None, signed_in=True)
async def send_records(
    source: str,
    request: Request,
    mode: Annotated[Mode, Query(description="`history` counts without consequences.")] = "live",
    prefer: Annotated[str, Header(description="`respond-async`: keep the body and answer at once.")] = "",
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Response:
    """A payload: JSON object, array, NDJSON or CSV, plain or gzip. Sending the same again changes nothing."""
    kit = kit_of(request)
    reception: Reception = request.app.state.service
    claims = await kit.verifier.verify(bearer_token(request))
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise Invalid("unknown-encoding", f"Content-Encoding `{encoding}` is not read here. Send plain or gzip.")
    reception.check_size(int(length) if (length := request.headers.get("content-length", "")).isdigit() else 0)
    later = "respond-async" in [word.strip().lower() for word in prefer.split(",")]
    # The place comes first: in an overload most are refused, and must not have cost a look into the database before.
    with reception.place(claims.tenant):
        async with kit.sessions.begin([claims.tenant], now=datetime.now(UTC)) as session:
            caller = await authenticate(session, claims)
            check_roles(request, caller)
            found = await load_source(session, source)
            if found is None:
                raise NotFound("unknown-source", f"There is no source `{source}`. PUT /sources/{source} makes one.")
            if found.status != "active":
                if found.status == RETIRED:
                    raise Conflict("source-retired", f"The source `{source}` is retired. PUT it to bring it back.")
                raise Conflict("source-paused", f"The source `{source}` is paused. Set its status to active.")
            key = idempotency_key[:200] if idempotency_key else None
            known = await receipts.by_key(session, caller.person_id, key) if key else None
            problems = await receipts.problems(session, known) if known else []
            digest = _digest(request) if key else None
            order = Order(caller.tenant, new_id(), found, mode, caller.person_id, session.now, key, digest)
        body = Body(request)
        try:
            if known:
                await reception.compare(order, aiter(body), known["digest"])
                return _answer(known, problems, request, 202 if known["status"] == "queued" else 200)
            order.left = body.left
            told = await (reception.spool(order, aiter(body)) if later else reception.read(order, aiter(body)))
        except SenderLeft:
            return Response(status_code=499)  # which nobody reads
        finally:
            await body.close()
    return _answer(*told, request, 202 if later else 200)


def _digest(request: Request) -> Digest:
    """Begins the hash of a request; its body follows."""
    return hashlib.sha256(f"{request.url.path}?{request.url.query}\n".encode())


class Body:
    """A request's body. While what came of it is worked on, it is asked whether the sender is still there: then it takes
    in what comes meanwhile, a little of it."""

    def __init__(self, request: Request) -> None:
        self._receive = request.receive
        self._next: asyncio.Future[Message] | None = None
        self._came: deque[bytes] = deque()
        self._ended = False

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        while self._came or not self._ended:
            if self._came:
                data = self._came.popleft()
            else:
                message = await (self._next or self._receive())
                self._next = None
                data = self._take(message)
            if data:
                yield data

    def _take(self, message: Message) -> bytes:
        if message["type"] == "http.disconnect":
            raise SenderLeft
        self._ended = not message.get("more_body", False)
        return message.get("body", b"")

    async def left(self) -> bool:
        while sum(map(len, self._came)) < AHEAD:
            if self._next is None:
                self._next = asyncio.ensure_future(self._receive())
                await asyncio.sleep(0)
            if not self._next.done():
                return False
            message, self._next = self._next.result(), None
            if message["type"] == "http.disconnect":
                return True
            self._came.append(self._take(message))
        return False

    async def close(self) -> None:
        if self._next is not None:
            self._next.cancel()
            await asyncio.gather(self._next, return_exceptions=True)


def _answer(row: dict[str, Any], problems: list[dict[str, Any]], request: Request, status: int) -> Response:
    view = shown(row, problems)
    path = request.url.path.partition("/sources/")[0] + f"/receipts/{view.id}"
    headers = {"location": path} | ({"preference-applied": "respond-async"} if status == 202 else {})
    return Response(view.model_dump_json(), status, headers, "application/json")
