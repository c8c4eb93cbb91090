"""A write that is sent again with the same Idempotency-Key has no second effect and gets the first answer."""

import hashlib
from datetime import UTC, datetime, timedelta

from fastapi import Request, Response
from sqlalchemy.dialects.postgresql import insert
from starlette.responses import StreamingResponse
from storage.tables import idempotent_response

from servicekit.door.unit import StoredResponse, Unit
from servicekit.errors import Invalid, TooLarge

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
HEADER = "idempotency-key"
KEY_LENGTH = 200
KEPT = timedelta(hours=24)
"""How long an answer is kept."""
ANSWER_BYTES = 4_000_000
_SWEPT = 100
"""Who adds one answer takes away so many that are over, so that a tenant's never pile up, and none waits for a sweep."""

PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "maxLength": KEY_LENGTH},
    "description": "The same request with the same key again, within 24 hours, has no effect and gets the first answer.",
}


async def recall(request: Request, unit: Unit) -> None:
    """With an Idempotency-Key: answers with the stored response, or remembers to store this one."""
    key = request.headers.get(HEADER)
    if not key or not unit.keeps_answers or unit.session is None or unit.caller is None:
        return
    body = await request.body()  # read before, and bounded
    whole = b"\x00".join([request.method.encode(), str(request.url.path).encode(), request.url.query.encode(), body])
    unit.key, unit.request_hash = key, hashlib.sha256(whole).hexdigest()
    place = {"tenant": unit.caller.tenant, "caller": str(unit.caller.person_id), "key": unit.key}
    # A second request with the same key waits here for the first one's commit.
    await unit.session.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended(:place, 0))", {"place": "idempotent " + " ".join(place.values())}
    )
    stored = await unit.session.row(
        "SELECT request_hash, status, headers, body FROM idempotent_response "
        "WHERE tenant = :tenant AND caller = :caller AND key = :key AND at > :since",
        {**place, "since": datetime.now(UTC) - KEPT},
    )
    if stored is None:
        return
    if stored["request_hash"] != unit.request_hash:
        raise Invalid("idempotency-key-reused", "This Idempotency-Key was used for another request. Use a new one.")
    raise StoredResponse(
        Response(stored["body"], stored["status"], {**stored["headers"], "idempotency-replayed": "true"})
    )


async def remember(unit: Unit, response: Response) -> Response:
    """Stores the response; one that streams is read to its end first. Returns what is to be answered."""
    assert unit.session is not None
    assert unit.caller is not None
    if isinstance(response, StreamingResponse):
        response = await _whole(response)
    if len(response.body) > ANSWER_BYTES:
        raise _too_large()
    headers = {name: value for name, value in response.headers.items() if name in ("content-type", "etag", "location")}
    await unit.session.narrow([unit.caller.tenant])
    now = datetime.now(UTC)
    await unit.session.execute(
        "DELETE FROM idempotent_response WHERE ctid IN (SELECT ctid FROM idempotent_response "
        "WHERE tenant = :tenant AND at <= :since ORDER BY at LIMIT :most FOR UPDATE SKIP LOCKED)",
        {"tenant": unit.caller.tenant, "since": now - KEPT, "most": _SWEPT},
    )
    place = {"tenant": unit.caller.tenant, "caller": str(unit.caller.person_id), "key": unit.key}
    answer = {
        "request_hash": unit.request_hash,
        "status": response.status_code,
        "headers": headers,
        "body": bytes(response.body),
        "at": now,
    }
    statement = insert(idempotent_response).values(**place, **answer)
    await unit.session.execute(statement.on_conflict_do_update(index_elements=list(place), set_=answer))
    return response


async def _whole(streaming: StreamingResponse) -> Response:
    chunks, size = list[bytes](), 0
    async for chunk in streaming.body_iterator:
        chunks.append(chunk.encode() if isinstance(chunk, str) else bytes(chunk))
        size += len(chunks[-1])
        if size > ANSWER_BYTES:
            raise _too_large()
    headers = {name: value for name, value in streaming.headers.items() if name != "content-length"}
    return Response(b"".join(chunks), streaming.status_code, headers, background=streaming.background)


def _too_large() -> TooLarge:
    return TooLarge("answer-too-large", "The answer is too large to be kept. Send the request without Idempotency-Key.")
