"""A write that is sent again with the same Idempotency-Key has no second effect and gets the first answer."""

import hashlib
from datetime import UTC, datetime

from fastapi import Request, Response
from sqlalchemy.dialects.postgresql import insert
from storage.tables import idempotent_response

from servicekit.door.unit import StoredResponse, Unit
from servicekit.errors import Invalid

WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


async def recall(request: Request, unit: Unit) -> None:
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
    raise StoredResponse(
        Response(stored["body"], stored["status"], {**stored["headers"], "idempotency-replayed": "true"})
    )


async def remember(unit: Unit, response: Response) -> None:
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
