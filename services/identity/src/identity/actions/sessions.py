"""The end of login sessions, told to everybody."""

from datetime import UTC, datetime, timedelta

from contracts.directory import SessionEnded
from servicekit.errors import Problem
from servicekit.tokens import MAX_LIFETIME_SECONDS, LogoutClaims
from storage import Session

from identity.store import desired_resources

FORGET_SESSION_KIND = "forget_session"
_SESSION_RETENTION = timedelta(seconds=MAX_LIFETIME_SECONDS)
_MAX_LOGOUT_TOKEN_AGE = timedelta(minutes=5)


class LogoutRefused(Problem):
    status = 400
    title = "The logout token cannot be taken"


async def end_session(session: Session, logout: LogoutClaims) -> None:
    """Tells everybody that the session's tokens are good no more. `session` is the platform tenant's. Raises
    LogoutRefused for a logout token that is old, or was heard before."""
    if session.now - datetime.fromtimestamp(logout.issued_at, UTC) > _MAX_LOGOUT_TOKEN_AGE:
        raise LogoutRefused("logout-token-old", "The logout token was refused: it was issued too long ago (iat).")
    if not await desired_resources.record_logout_token(
        session, logout.jti, now=session.now, remember=_SESSION_RETENTION
    ):
        raise LogoutRefused("logout-token-used", "The logout token was refused: it was used before (jti).")
    ended = SessionEnded(
        iss=logout.iss, sid=logout.sid, sub=logout.sub, ended_at=session.now, until=session.now + _SESSION_RETENTION
    )
    session.emit(ended)
    await session.schedule(FORGET_SESSION_KIND, ended.id_in_key(), ended.until, ended.model_dump(mode="json"))


async def forget_session(session: Session, ended: SessionEnded) -> None:
    """No token of it is alive any more."""
    session.emit_tombstone(ended)
