"""Idempotency keys: a write that is repeated with the same Idempotency-Key has no second effect and gets the first response."""

import hashlib
from datetime import UTC, datetime, timedelta

from fastapi import Request, Response
from sqlalchemy.dialects.postgresql import insert
from starlette.responses import StreamingResponse
from storage.tables import idempotent_response

from servicekit.door.request_state import RequestState, StoredResponse
from servicekit.errors import Invalid, TooLarge

WRITE_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
IDEMPOTENCY_HEADER = "idempotency-key"
MAX_KEY_LENGTH = 200
RESPONSE_RETENTION = timedelta(hours=24)
"""How long a response is stored."""
MAX_RESPONSE_BYTES = 4_000_000
_PURGE_LIMIT = 100
"""Storing a response deletes up to so many expired ones of the tenant, so that no separate clean-up is needed."""

IDEMPOTENCY_PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": MAX_KEY_LENGTH},
    "description": "The same request with the same key again, within 24 hours, has no effect and gets the first answer.",
}


async def replay_response(request: Request, state: RequestState) -> None:
    """For a request with an Idempotency-Key: raises StoredResponse when there is one, else marks the request's state so that
    its response is stored. Raises Invalid when the key was used for another request."""
    key = request.headers.get(IDEMPOTENCY_HEADER)
    if not key or not state.stores_response or state.session is None or state.caller is None:
        return
    body = await request.body()  # already read, and within its limit
    content = b"\x00".join([request.method.encode(), str(request.url.path).encode(), request.url.query.encode(), body])
    state.idempotency_key, state.request_hash = key, hashlib.sha256(content).hexdigest()
    row_key = {"tenant": state.caller.tenant, "caller": str(state.caller.person_id), "key": state.idempotency_key}
    # A concurrent request with the same key waits here until the first one commits.
    await state.session.lock_key("idempotent " + " ".join(row_key.values()))
    stored = await state.session.row(
        "SELECT request_hash, status, headers, body FROM idempotent_response "
        "WHERE tenant = :tenant AND caller = :caller AND key = :key AND at > :since",
        {**row_key, "since": datetime.now(UTC) - RESPONSE_RETENTION},
    )
    if stored is None:
        return
    if stored["request_hash"] != state.request_hash:
        raise Invalid("idempotency-key-reused", "This Idempotency-Key was used for another request. Use a new one.")
    raise StoredResponse(
        Response(stored["body"], stored["status"], {**stored["headers"], "idempotency-replayed": "true"})
    )


async def store_response(state: RequestState, response: Response) -> Response:
    """Stores the response for its Idempotency-Key, and returns it. A streaming response is read to its end first. Raises
    TooLarge."""
    assert state.session is not None
    assert state.caller is not None
    if isinstance(response, StreamingResponse):
        response = await _read_stream(response)
    if len(response.body) > MAX_RESPONSE_BYTES:
        raise _too_large()
    headers = {name: value for name, value in response.headers.items() if name in ("content-type", "etag", "location")}
    await state.session.set_tenants([state.caller.tenant])
    now = datetime.now(UTC)
    await state.session.execute(
        "DELETE FROM idempotent_response WHERE ctid IN (SELECT ctid FROM idempotent_response "
        "WHERE tenant = :tenant AND at <= :since ORDER BY at LIMIT :most FOR UPDATE SKIP LOCKED)",
        {"tenant": state.caller.tenant, "since": now - RESPONSE_RETENTION, "most": _PURGE_LIMIT},
    )
    row_key = {"tenant": state.caller.tenant, "caller": str(state.caller.person_id), "key": state.idempotency_key}
    values = {
        "request_hash": state.request_hash,
        "status": response.status_code,
        "headers": headers,
        "body": bytes(response.body),
        "at": now,
    }
    statement = insert(idempotent_response).values(**row_key, **values)
    await state.session.execute(statement.on_conflict_do_update(index_elements=list(row_key), set_=values))
    return response


async def _read_stream(streaming: StreamingResponse) -> Response:
    chunks, size = list[bytes](), 0
    async for chunk in streaming.body_iterator:
        chunks.append(chunk.encode() if isinstance(chunk, str) else bytes(chunk))
        size += len(chunks[-1])
        if size > MAX_RESPONSE_BYTES:
            raise _too_large()
    headers = {name: value for name, value in streaming.headers.items() if name != "content-length"}
    return Response(b"".join(chunks), streaming.status_code, headers, background=streaming.background)


def _too_large() -> TooLarge:
    return TooLarge("answer-too-large", "The answer is too large to be kept. Send the request without Idempotency-Key.")
