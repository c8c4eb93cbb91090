"""The end of login sessions: published, so that every service refuses their tokens."""

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
    """A logout token that is too old, was used before, or cannot be verified: status 400."""

    status = 400
    title = "The logout token cannot be taken"


async def end_session(session: Session, logout: LogoutClaims) -> None:
    """Publishes that the login session has ended; its tokens are refused from then on. `session` is the platform tenant's. Raises
    LogoutRefused for a logout token that is older than five minutes or was used before."""
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
    """Publishes the tombstone of an ended session, whose last token has expired."""
    session.emit_tombstone(ended)
