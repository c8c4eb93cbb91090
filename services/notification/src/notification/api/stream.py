"""The live stream of the inbox: server-sent events."""

import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Header, Query, Request
from servicekit import (
    Caller,
    CallerDep,
    ServiceContext,
    WorkSession,
    authenticate,
    bearer_token,
    get_context,
    route_policy,
    wait_for_any,
)
from servicekit import router as door_router
from servicekit.errors import FieldProblem, Invalid, Problem
from servicekit.tokens import Claims
from sse_starlette import EventSourceResponse, ServerSentEvent
from storage import Session

from notification.api.dependencies import Dependencies, DependenciesDep
from notification.api.inbox import NoticeView
from notification.api.stream_slots import LimitedStream, with_slot
from notification.store import notices

_PAGE = 100
_RETRY_MS = 3_000

router = door_router(tags=["inbox"])


@router.get("/stream", response_class=EventSourceResponse)
@route_policy(reach="own")
async def stream_notices(
    request: Request,
    session: WorkSession,
    caller: CallerDep,
    dependencies: DependenciesDep,
    last_event_id: Annotated[str | None, Query()] = None,
    last_event_id_header: Annotated[str | None, Header(alias="last-event-id")] = None,
) -> EventSourceResponse:
    """Events `notice` with the notice's sequence as id. Goes on behind `Last-Event-ID` (the header, or the parameter
    where a browser cannot set it); without one, begins with what comes next. Ends when the access token does: when it
    expires, its login session is over, the person or the tenant is switched off, or their roles change."""
    last = (await notices.count_notices(session, caller.person_id)).last
    last_seen = last_event_id_header or last_event_id
    if last_seen:
        if not last_seen.isascii() or not last_seen.isdigit() or len(last_seen) > 18:
            problem = FieldProblem(
                pointer="/last_event_id", problem=f"`{last_seen[:40]}` is no id", cure="the id of an event"
            )
            raise Invalid(
                "invalid-last-event-id", "Last-Event-ID is the id of an event of this stream.", errors=[problem]
            )
        last = min(int(last_seen), last)  # an id from another database must not hide later notices
    claims = await get_context(request).verifier.verify(bearer_token(request))
    events = _events(get_context(request), dependencies, claims, caller, last)
    stream = LimitedStream(events, ping=dependencies.heartbeat_seconds)
    return with_slot(stream, dependencies.stream_slots, caller.tenant, caller.person_id)


async def _events(
    kit: ServiceContext, dependencies: Dependencies, claims: Claims, caller: Caller, seq: int
) -> AsyncIterator[ServerSentEvent]:
    """Reads new notices in short transactions, and holds no connection in between."""
    tenant, person_id = caller.tenant, caller.person_id
    yield ServerSentEvent(retry=_RETRY_MS, comment="listening")
    others = f"{tenant}/", f"sid:{claims.sid}", f"sub:{claims.sub}"
    async with dependencies.listener.subscribe(tenant, person_id, *others) as wake:
        while not kit.stopping.is_set() and (remaining := claims.expires_at - time.time()) > 0:
            wake.clear()
            async with kit.sessions.begin([tenant], now=datetime.now(UTC)) as session:
                if not await _is_still_allowed(session, claims, caller):
                    return
                rows = await notices.load_after(session, person_id, seq, limit=_PAGE)
            for row in rows:
                seq = row.seq
                yield ServerSentEvent(id=str(seq), event="notice", data=NoticeView.from_row(row).model_dump_json())
            if len(rows) < _PAGE:
                await wait_for_any(min(dependencies.poll_seconds, remaining), wake, kit.stopping)


async def _is_still_allowed(session: Session, claims: Claims, caller: Caller) -> bool:
    """Whether the token still authenticates the same person with the same roles."""
    try:
        now = await authenticate(session, claims)
    except Problem:
        return False
    return (now.person_id, now.roles) == (caller.person_id, caller.roles)
