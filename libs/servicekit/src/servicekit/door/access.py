"""Authenticates the caller, and opens the request's session."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from contracts import new_id
from contracts.audit import Origin
from contracts.directory import PLATFORM_TENANT, PersonChanged, TenantChanged
from fastapi import Depends, Request
from fastapi.security import HTTPBearer
from opentelemetry import trace
from storage import DocumentStore, Session, is_valid_tenant_name

from servicekit.audit import actor_of
from servicekit.caller import Caller
from servicekit.directory import workday
from servicekit.door.idempotency import replay_response
from servicekit.door.request_state import RequestState, get_context
from servicekit.errors import Forbidden, NotFound, Unauthenticated
from servicekit.logs import LogContext, log_context
from servicekit.tokens import Claims

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,128}")  # the same as at the gateway
_bearer = HTTPBearer(auto_error=False, description="An access token of the issuer, audience `uplift`.")


def _documents(request: Request) -> DocumentStore:
    return get_context(request).documents


def bearer_token(request: Request) -> str:
    """The access token of the request. Raises Unauthenticated when there is none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("no-token", "Send an access token: `Authorization: Bearer …`.")
    return token.strip()


def request_id(request: Request) -> str:
    """The request's id from the gateway or the caller, whose logs have it too; else a new one."""
    header = request.headers.get("x-request-id", "")
    return header if _REQUEST_ID.fullmatch(header) else str(new_id())


_NOW = """coalesce(CASE WHEN (t.body->>'simulated')::boolean THEN (t.body->>'clock')::timestamptz END,
    cast(:now AS timestamptz))"""
_WHO = f"""
SELECT t.body AS tenant, p.body AS person, {workday("p.id", _NOW)} AS today, EXISTS (
    SELECT 1 FROM ended_session e WHERE e.iss = :iss
    AND (e.ref = :by_sid OR (e.ref = :by_sub AND to_timestamp(:issued_at) <= e.ended_at))) AS over
FROM directory_tenant t
LEFT JOIN directory_login l ON l.tenant = t.tenant AND l.iss = :iss AND l.sub = :sub
LEFT JOIN directory_person p ON p.tenant = l.tenant AND p.id = l.person_id WHERE t.tenant = :tenant
"""  # noqa: S608


async def authenticate(session: Session, token_claims: Claims, request_id: str | None = None) -> Caller:
    """Finds the person of a token in the directory copy. Sets the session's origin to the person, and its time to the
    tenant's. Raises Unauthenticated when the login session has ended, Forbidden when the person or the tenant is unknown
    or switched off."""
    row = await session.row(
        _WHO,
        {
            "tenant": token_claims.tenant,
            "iss": token_claims.iss,
            "sub": token_claims.sub,
            "by_sid": f"sid:{token_claims.sid}",
            "by_sub": f"sub:{token_claims.sub}",
            "issued_at": token_claims.issued_at,
            "now": session.now,
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
    session.origin = Origin(actor=actor_of(of_tenant.slug, person), request_id=request_id)
    today = row["today"]
    return Caller(of_tenant.slug, person, tuple(role for role in person.roles if role.holds_on(today)), today)


async def get_caller(request: Request, _: Annotated[Any, Depends(_bearer)] = None) -> Caller:
    """The caller of the request; the first call opens the request's session. Raises Unauthenticated, Forbidden, and
    StoredResponse when the request repeats an Idempotency-Key."""
    state: RequestState = request.state.door
    if state.caller is None:
        context = get_context(request)
        claims = state.claims or await context.verifier.verify(bearer_token(request))
        state.session = await state.stack.enter_async_context(
            context.sessions.begin([claims.tenant], now=datetime.now(UTC))
        )
        span = trace.get_current_span().get_span_context()
        log_context.set(LogContext(context.sessions.service, claims.tenant, span=span))
        state.caller = await authenticate(state.session, claims, request_id(request))
        state.policy.require_role(state.caller)
        await replay_response(request, state)
    return state.caller


async def get_session(request: Request, caller: Annotated[Caller, Depends(get_caller)]) -> Session:
    """The session of the request."""
    opened = request.state.door.session
    assert opened is not None, f"{caller.tenant}: the caller was found in a session"
    return opened


CallerDep = Annotated[Caller, Depends(get_caller)]
WorkSession = Annotated[Session, Depends(get_session)]
DocumentsDep = Annotated[DocumentStore, Depends(_documents)]


async def enter_tenant(session: Session, caller: Caller, tenant: str | None) -> None:
    """Narrows the session to `tenant` (None: the caller's own). Raises Forbidden unless the caller is its tenant_admin or a
    platform_admin; NotFound for an invalid name."""
    if tenant is None or tenant == caller.tenant:
        return caller.require_role("tenant_admin", "platform_admin", whole_tenant=True)
    if caller.tenant != PLATFORM_TENANT or not caller.has_role_everywhere("platform_admin"):
        raise Forbidden("other-tenant", "Only a platform_admin may look into another tenant.")
    if not is_valid_tenant_name(tenant):
        raise NotFound("unknown-tenant", f"There is no tenant `{tenant}`.")
    await session.set_tenants([tenant])
