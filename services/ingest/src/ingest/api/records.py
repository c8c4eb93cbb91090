"""Where records come in."""

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any

from contracts import Mode, new_id
from fastapi import Header, Query, Request, Response
from servicekit import authenticate, bearer_token, kit_of
from servicekit import router as door_router
from servicekit.errors import Conflict, Invalid, NotFound

from ingest.actions.reception import Digest, Order, Reception
from ingest.actions.sources import load_source
from ingest.api.access import may_send
from ingest.api.receipts import ReceiptView, shown
from ingest.store import receipts

router = door_router(tags=["records"])

_BODY = {
    "requestBody": {
        "required": True,
        "description": "The vendor's payload as it is, plain or gzip.",
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in ("application/json", "application/x-ndjson", "text/csv", "application/gzip")
        },
    },
    "security": [{"HTTPBearer": []}],
}


@router.post(
    "/sources/{source}/records",
    response_model=ReceiptView,
    responses={202: {"model": ReceiptView, "description": "Kept; `Location` is the receipt."}},
    openapi_extra=_BODY,
)
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
            may_send(caller)
            found = await load_source(session, source)
            if found is None:
                raise NotFound("unknown-source", f"There is no source `{source}`. PUT /sources/{source} makes one.")
            if found.status != "active":
                raise Conflict("source-paused", f"The source `{source}` is paused. Set its status to active.")
            key = idempotency_key[:200] if idempotency_key else None
            known = await receipts.by_key(session, caller.person_id, key) if key else None
            problems = await receipts.problems(session, known) if known else []
            digest = _digest(request) if key else None
            order = Order(caller.tenant, new_id(), found, mode, caller.person_id, session.now, key, digest)
        body = _stream(request)
        if known:
            await reception.compare(order, body, known["digest"])
            return _answer(known, problems, request, 202 if known["status"] == "queued" else 200)
        told = await (reception.spool(order, body) if later else reception.read(order, body))
    return _answer(*told, request, 202 if later else 200)


def _digest(request: Request) -> Digest:
    """Begins the hash of a request; its body follows."""
    return hashlib.sha256(f"{request.url.path}?{request.url.query}\n".encode())


async def _stream(request: Request) -> AsyncIterator[bytes]:
    async for data in request.stream():
        if data:
            yield data


def _answer(row: dict[str, Any], problems: list[dict[str, Any]], request: Request, status: int) -> Response:
    view = shown(row, problems)
    path = request.url.path.partition("/sources/")[0] + f"/receipts/{view.id}"
    headers = {"location": path} | ({"preference-applied": "respond-async"} if status == 202 else {})
    return Response(view.model_dump_json(), status, headers, "application/json")
