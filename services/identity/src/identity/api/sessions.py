"""Back-channel logout: the issuer reports the end of a login session."""

from datetime import UTC, datetime
from typing import Annotated

from contracts.directory import PLATFORM_TENANT
from fastapi import Form, Request, Response
from servicekit import get_context
from servicekit import router as door_router
from servicekit.errors import Unauthenticated

from identity.actions.sessions import LogoutRefused, end_session
from identity.api.access import get_state

router = door_router(tags=["sign-on"])


_REFUSED = {
    "description": "The logout token is not good.",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


@router.post("/back-channel-logout", responses={400: _REFUSED})
async def receive_logout(
    request: Request, logout_token: Annotated[str, Form(min_length=1, max_length=20_000)]
) -> Response:
    """OpenID Connect Back-Channel Logout 1.0: the issuer says, signed, that a login session has ended. Every service
    refuses its tokens from then on."""
    kit = get_context(request)
    try:
        logout = await kit.verifier.verify_logout(logout_token, get_state(request).portal_client_id)
    except Unauthenticated as refused:
        raise LogoutRefused(refused.slug, refused.detail) from refused
    async with kit.sessions.begin([PLATFORM_TENANT], now=datetime.now(UTC)) as session:
        await end_session(session, logout)
    return Response(status_code=200, headers={"cache-control": "no-store"})
