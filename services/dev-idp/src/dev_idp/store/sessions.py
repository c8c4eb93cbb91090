"""Login sessions, and the codes and refresh tokens that came from them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Row, Table, delete, exists, insert, or_, select, union, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection
from storage import lock_async_connection

from dev_idp import model
from dev_idp.store.tables import (
    account,
    authorization_code,
    client,
    login_session,
    refresh_token,
    session_client,
)


async def add_login(connection: AsyncConnection, cookie: str, **values: object) -> Row:
    """Opens a session. Only the digest of its cookie is stored."""
    added = insert(login_session).values(cookie=model.digest(cookie), **values).returning(login_session)
    return (await connection.execute(added)).one()


async def renew_login(connection: AsyncConnection, sid: str, cookie: str, **values: object) -> Row:
    """The same session behind a new cookie."""
    query = update(login_session).where(login_session.c.sid == sid)
    return (
        await connection.execute(query.values(cookie=model.digest(cookie), **values).returning(login_session))
    ).one()


async def find_login(connection: AsyncConnection, cookie: str, now: datetime) -> Row | None:
    """The live session behind a cookie, of an account that is still active."""
    query = (
        select(login_session)
        .join(account, account.c.sub == login_session.c.sub)
        .where(login_session.c.cookie == model.digest(cookie), login_session.c.expires_at > now, account.c.active)
    )
    return (await connection.execute(query)).one_or_none()


@dataclass(frozen=True)
class EndedSession:
    """An ended session and a client to notify at `uri`. `tenant` registered the client; None: this installation."""

    sid: str
    sub: str
    client_id: str
    uri: str
    tenant: str | None


async def record_session_client(connection: AsyncConnection, sid: str, client_id: str) -> None:
    """Records that the client got a code from this session."""
    await connection.execute(upsert(session_client).values(sid=sid, client_id=client_id).on_conflict_do_nothing())


async def end_login(connection: AsyncConnection, sid: str) -> list[EndedSession]:
    """Deletes a session with its codes and refresh tokens. Returns the clients to notify."""
    return await _end(connection, "sid", sid)


async def end_sessions_of_account(connection: AsyncConnection, sub: str) -> list[EndedSession]:
    """Deletes all sessions, codes and refresh tokens of an account. Returns the clients to notify."""
    return await _end(connection, "sub", sub)


async def _end(connection: AsyncConnection, name: str, value: str) -> list[EndedSession]:
    """Includes sign-ins without a browser, which exist as refresh tokens only."""
    live = union(
        *(
            select(table.c.sid, table.c.sub).where(table.c[name] == value, table.c.sid.is_not(None))
            for table in (login_session, refresh_token)
        )
    ).subquery()
    # Tenants' applications are notified of sessions they took part in; this installation's clients of all.
    taking_part = exists().where(session_client.c.sid == live.c.sid, session_client.c.client_id == client.c.client_id)
    query = (
        select(live.c.sid, live.c.sub, client.c.client_id, client.c.backchannel_logout_uri, client.c.tenant)
        .select_from(live.join(client, or_(client.c.tenant.is_(None), taking_part)))
        .where(client.c.backchannel_logout_uri.is_not(None))
    )
    ended = [EndedSession(*row) for row in await connection.execute(query)]
    await connection.execute(delete(session_client).where(session_client.c.sid.in_(select(live.c.sid))))
    for table in (login_session, authorization_code, refresh_token):
        await connection.execute(delete(table).where(table.c[name] == value))
    return ended


async def add_code(connection: AsyncConnection, code: str, **values: object) -> None:
    """Stores an authorization code by its digest."""
    await connection.execute(insert(authorization_code).values(code=model.digest(code), **values))


async def find_code(connection: AsyncConnection, code: str) -> Row | None:
    """The code's row, with its family locked until the transaction ends: of two concurrent redeemers, the second sees it used."""
    return await _find_in_family(connection, authorization_code, authorization_code.c.code == model.digest(code))


async def mark_code_used(connection: AsyncConnection, code: str, remember_until: datetime) -> None:
    """Marks a code as used and stores it until `remember_until`, the last expiry of its tokens: using it again revokes them."""
    query = update(authorization_code).where(authorization_code.c.code == model.digest(code))
    await connection.execute(query.values(used=True, expires_at=remember_until))


async def add_refresh(connection: AsyncConnection, token: str, **values: object) -> None:
    """Stores a refresh token by its digest."""
    await connection.execute(insert(refresh_token).values(token=model.digest(token), **values))


async def find_refresh(connection: AsyncConnection, token: str) -> Row | None:
    """The refresh token's row, with its family locked until the transaction ends: of two concurrent users, the second sees it
    used."""
    return await _find_in_family(connection, refresh_token, refresh_token.c.token == model.digest(token))


async def mark_refresh_used(connection: AsyncConnection, token: str) -> None:
    """Marks a refresh token as used: using it again revokes its family."""
    query = update(refresh_token).where(refresh_token.c.token == model.digest(token))
    await connection.execute(query.values(used=True))


async def _find_in_family(connection: AsyncConnection, table: Table, matches: ColumnElement[bool]) -> Row | None:
    # A row lock is not enough: an uncommitted successor would survive the revocation of its family.
    family = await connection.scalar(select(table.c.family).where(matches))
    if family is None:
        return None
    await lock_async_connection(connection, f"dev-idp family {family}")
    return (await connection.execute(select(table).where(matches))).one_or_none()


async def revoke_family(connection: AsyncConnection, family: str) -> None:
    """Deletes all refresh tokens that came from one code or one direct grant."""
    await connection.execute(delete(refresh_token).where(refresh_token.c.family == family))


async def purge(connection: AsyncConnection, now: datetime) -> None:
    """Deletes expired sessions, codes and refresh tokens."""
    expired = select(login_session.c.sid).where(login_session.c.expires_at <= now)
    await connection.execute(delete(session_client).where(session_client.c.sid.in_(expired)))
    for table in (login_session, authorization_code, refresh_token):
        await connection.execute(delete(table).where(table.c.expires_at <= now))
