"""The API that receives records."""

import asyncio
import hashlib
from collections import deque
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Annotated

from contracts import Mode, new_id
from fastapi import Header, Query, Request, Response
from servicekit import authenticate, bearer_token, check_roles, get_context, route_policy
from servicekit import router as door_router
from servicekit.errors import Conflict, Invalid, NotFound
from starlette.types import Message

from ingest.actions.sources import RETIRED, load_source
from ingest.actions.upload_service import UploadService
from ingest.actions.uploads import ClientDisconnected, Digest, Upload
from ingest.api.access import SENDER_ROLES
from ingest.api.receipts import ReceiptView, receipt_view
from ingest.store import receipts, records
from ingest.store.receipts import ReceiptRow
from ingest.store.records import RecordRow

router = door_router(tags=["records"])
READ_AHEAD_BYTES = 1 << 20
"""Bytes of a body that are received while earlier ones are being judged."""

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
@route_policy(roles=SENDER_ROLES, body_bytes=None, verifies_token_itself=True)
async def send_records(
    source: str,
    request: Request,
    mode: Annotated[Mode, Query(description="`history` counts without consequences.")] = "live",
    prefer: Annotated[str, Header(description="`respond-async`: keep the body and answer at once.")] = "",
    idempotency_key: Annotated[str | None, Header()] = None,
) -> Response:
    """A payload: JSON object, array, NDJSON or CSV, plain or gzip. Sending the same again changes nothing."""
    kit = get_context(request)
    upload_service: UploadService = request.app.state.service
    claims = await kit.verifier.verify(bearer_token(request))
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise Invalid("unknown-encoding", f"Content-Encoding `{encoding}` is not read here. Send plain or gzip.")
    upload_service.check_size(int(length) if (length := request.headers.get("content-length", "")).isdigit() else 0)
    later = "respond-async" in [word.strip().lower() for word in prefer.split(",")]
    # The slot comes first: under overload most requests are refused, and must not cost a database query.
    with upload_service.reserve_slot(claims.tenant):
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
            known = await receipts.find_by_idempotency_key(session, caller.person_id, key) if key else None
            problems = await records.load_problems(session, known) if known else []
            digest = _begin_digest(request) if key else None
            upload = Upload(caller.tenant, new_id(), found, mode, caller.person_id, session.now, key, digest)
        body = RequestBody(request)
        try:
            if known:
                await upload_service.verify_same_body(upload, aiter(body), known.digest)
                return _receipt_response(known, problems, request, 202 if known.status == "queued" else 200)
            upload.is_disconnected = body.is_disconnected
            receive = upload_service.spool if later else upload_service.judge_upload
            row, problems = await receive(upload, aiter(body))
        except ClientDisconnected:
            return Response(status_code=499)  # nobody reads it
        finally:
            await body.close()
    return _receipt_response(row, problems, request, 202 if later else 200)


def _begin_digest(request: Request) -> Digest:
    """The hash of a request without its body, which is added as it is read."""
    return hashlib.sha256(f"{request.url.path}?{request.url.query}\n".encode())


class RequestBody:
    """A request's body. Between chunks the upload asks `is_disconnected`, which reads ahead a little of the body."""

    def __init__(self, request: Request) -> None:
        self._receive = request.receive
        self._next: asyncio.Future[Message] | None = None
        self._read_ahead: deque[bytes] = deque()
        self._ended = False

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        while self._read_ahead or not self._ended:
            if self._read_ahead:
                data = self._read_ahead.popleft()
            else:
                message = await (self._next or self._receive())
                self._next = None
                data = self._accept_message(message)
            if data:
                yield data

    def _accept_message(self, message: Message) -> bytes:
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        self._ended = not message.get("more_body", False)
        return message.get("body", b"")

    async def is_disconnected(self) -> bool:
        """Whether the client closed the connection. Receives up to `READ_AHEAD_BYTES` that have arrived."""
        while sum(map(len, self._read_ahead)) < READ_AHEAD_BYTES:
            if self._next is None:
                self._next = asyncio.ensure_future(self._receive())
                await asyncio.sleep(0)
            if not self._next.done():
                return False
            message, self._next = self._next.result(), None
            if message["type"] == "http.disconnect":
                return True
            self._read_ahead.append(self._accept_message(message))
        return False

    async def close(self) -> None:
        """Cancels a pending receive."""
        if self._next is not None:
            self._next.cancel()
            await asyncio.gather(self._next, return_exceptions=True)


def _receipt_response(row: ReceiptRow, problems: list[RecordRow], request: Request, status: int) -> Response:
    view = receipt_view(row, problems)
    path = request.url.path.partition("/sources/")[0] + f"/receipts/{view.id}"
    headers = {"location": path} | ({"preference-applied": "respond-async"} if status == 202 else {})
    return Response(view.model_dump_json(), status, headers, "application/json")
