"""The end of login sessions, told to everybody."""

from datetime import UTC, datetime, timedelta

from contracts.directory import SessionEnded
from servicekit.errors import Problem
from servicekit.tokens import LONGEST_LIFE_SECONDS, Logout
from storage import Session

from identity.store import provisions

FORGET = "forget_session"
_MEMORY = timedelta(seconds=LONGEST_LIFE_SECONDS)
_OLDEST = timedelta(minutes=5)


class LogoutRefused(Problem):
    status = 400
    title = "The logout token cannot be taken"


async def end_session(session: Session, logout: Logout) -> None:
    """Tells everybody that the session's tokens are good no more. `session` is the platform tenant's. Raises
    LogoutRefused for a logout token that is old, or was heard before."""
    if session.now - datetime.fromtimestamp(logout.issued_at, UTC) > _OLDEST:
        raise LogoutRefused("logout-token-old", "The logout token was refused: it was issued too long ago (iat).")
    if not await provisions.hear_once(session, logout.jti, now=session.now, remember=_MEMORY):
        raise LogoutRefused("logout-token-used", "The logout token was refused: it was used before (jti).")
    ended = SessionEnded(
        iss=logout.iss, sid=logout.sid, sub=logout.sub, ended_at=session.now, until=session.now + _MEMORY
    )
    session.emit(ended)
    await session.schedule(FORGET, ended.id_in_key(), ended.until, ended.model_dump(mode="json"))


async def forget_session(session: Session, ended: SessionEnded) -> None:
    """No token of it is alive any more."""
    session.emit_tombstone(ended)
