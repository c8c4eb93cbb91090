"""Tables of the schema `oidc` and their queries. Secrets are kept as hashes only."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from joserfc.jwk import RSAKey
from sqlalchemy import (
    Boolean,
    Column,
    ColumnElement,
    DateTime,
    Index,
    MetaData,
    Row,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.schema import CreateSchema

from all_in_one.oidc import model

metadata = MetaData(schema="oidc")
_MOMENT = DateTime(timezone=True)

signing_key = Table(
    "signing_key",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("jwk", JSONB, nullable=False),
    Column("created_at", _MOMENT, nullable=False, server_default=func.now()),
)
account = Table(
    "account",
    metadata,
    Column("sub", Text, primary_key=True),
    Column("username", Text, nullable=False, unique=True),
    Column("password", Text),
    Column("one_time", Text, unique=True),
    Column("tenant", Text, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("active", Boolean, nullable=False, server_default=text("true")),
    Column("admin", Boolean, nullable=False),
    Column("listed", Boolean, nullable=False),
    Column("email", Text),
    # The password was made by somebody else, and is good for choosing another.
    Column("temporary", Boolean, nullable=False, server_default=text("false")),
)
# Tenants that an account gets into beside its own.
membership = Table(
    "membership",
    metadata,
    Column("sub", Text, primary_key=True),
    Column("tenant", Text, primary_key=True),
)
client = Table(
    "client",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("secret", Text),
    Column("redirect_uris", ARRAY(Text), nullable=False),
    Column("post_logout_redirect_uris", ARRAY(Text), nullable=False),
    Column("tenant", Text),
    Column("grants", ARRAY(Text), nullable=False),
    Column("backchannel_logout_uri", Text),
)
login_session = Table(
    "login_session",
    metadata,
    Column("cookie", Text, primary_key=True),
    Column("sid", Text, nullable=False, unique=True),
    Column("sub", Text, nullable=False),
    Column("auth_time", _MOMENT, nullable=False),
    Column("expires_at", _MOMENT, nullable=False),
)
# Whom to tell when the session ends.
session_client = Table(
    "session_client",
    metadata,
    Column("sid", Text, primary_key=True),
    Column("client_id", Text, primary_key=True),
)
# A family is all that grew out of one code or one direct grant; it is revoked as a whole.
authorization_code = Table(
    "authorization_code",
    metadata,
    Column("code", Text, primary_key=True),
    Column("client_id", Text, nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("code_challenge", Text),
    Column("nonce", Text),
    Column("family", Text, nullable=False),
    Column("sid", Text),
    Column("sub", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("auth_time", _MOMENT, nullable=False),
    Column("expires_at", _MOMENT, nullable=False),
    Column("used", Boolean, nullable=False, server_default=text("false")),
)
refresh_token = Table(
    "refresh_token",
    metadata,
    Column("token", Text, primary_key=True),
    Column("client_id", Text, nullable=False),
    Column("family", Text, nullable=False, index=True),
    Column("sid", Text),
    Column("sub", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("auth_time", _MOMENT, nullable=False),
    Column("expires_at", _MOMENT, nullable=False),
    Column("used", Boolean, nullable=False, server_default=text("false")),
)
for _expiring in (login_session, authorization_code, refresh_token):
    Index(f"{_expiring.name}_expires_at", _expiring.c.expires_at)
    Index(f"{_expiring.name}_sub", _expiring.c.sub)

_ADDED = (
    ("client", "backchannel_logout_uri text"),
    ("account", "email text"),
    ("account", "temporary boolean NOT NULL DEFAULT false"),
)


async def prepare(engine: AsyncEngine) -> None:
    """Create what is missing: schema, tables, signing key, the client of the command line. Safe to call at every start."""
    async with engine.begin() as connection:
        # Two processes that start at once would both find nothing and both create.
        await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('oidc.prepare'))"))
        await connection.execute(CreateSchema("oidc", if_not_exists=True))
        await connection.run_sync(metadata.create_all)
        # A database from before these columns.
        for table, column in _ADDED:
            await connection.execute(text(f"ALTER TABLE oidc.{table} ADD COLUMN IF NOT EXISTS {column}"))
        if not await signing_keys(connection):
            key = RSAKey.generate_key(2048, auto_kid=True)
            await connection.execute(insert(signing_key).values(kid=key.kid, jwk=key.as_dict(private=True)))
        await put_client(
            connection,
            client_id=model.CLI_CLIENT,
            secret=None,
            redirect_uris=[],
            post_logout_redirect_uris=[],
            tenant=None,
            grants=["password", "refresh_token", model.ONE_TIME],
        )
        # Addresses of our own are kept relative to the issuer's: it may be another at the next start.
        # A registration that somebody changed stays.
        await add_client(
            connection,
            client_id=model.PORTAL_CLIENT,
            secret=None,
            redirect_uris=["/"],
            post_logout_redirect_uris=["/"],
            tenant=None,
            grants=["authorization_code", "refresh_token"],
            backchannel_logout_uri="/api/identity/v1/back-channel-logout",
        )


async def signing_keys(connection: AsyncConnection) -> list[dict]:
    """Private JWKs, the newest, which signs, first."""
    return list(await connection.scalars(select(signing_key.c.jwk).order_by(signing_key.c.created_at.desc())))


async def account_by_name(connection: AsyncConnection, username: str) -> Row | None:
    return (await connection.execute(select(account).where(account.c.username == username))).one_or_none()


async def active_account(connection: AsyncConnection, sub: str) -> Row | None:
    return (await connection.execute(select(account).where(account.c.sub == sub, account.c.active))).one_or_none()


async def listed_accounts(connection: AsyncConnection) -> Sequence[Row]:
    query = select(account.c.username, account.c.display_name).where(account.c.listed, account.c.active)
    return (await connection.execute(query.order_by(account.c.username))).all()


async def add_account(connection: AsyncConnection, **values: object) -> bool:
    """Whether the account is new; an existing username or sub is left as it is."""
    added = upsert(account).values(**values).on_conflict_do_nothing().returning(account.c.sub)
    return await connection.scalar(added) is not None


async def change_account(connection: AsyncConnection, username: str, **values: object) -> Row | None:
    changed = update(account).where(account.c.username == username).values(**values).returning(account)
    return (await connection.execute(changed)).one_or_none()


async def keep_account(
    connection: AsyncConnection, username: str, tenant: str, sub: str, **values: object
) -> Row | None:
    """The account with these values, made with `sub` where there is none; None when it is another tenant's."""
    fresh = {"sub": sub, "username": username, "tenant": tenant, "admin": False, "listed": False}
    kept = (
        upsert(account)
        .values(**fresh, **values)
        .on_conflict_do_update(index_elements=["username"], set_=values, where=account.c.tenant == tenant)
        .returning(account)
    )
    return (await connection.execute(kept)).one_or_none()


async def switch_account(connection: AsyncConnection, username: str, *, active: bool, tenant: str | None) -> Row | None:
    """The account, switched; None where there is none, or none of this tenant."""
    which = [account.c.username == username, *([account.c.tenant == tenant] if tenant else [])]
    switched = update(account).where(*which).values(active=active).returning(account)
    return (await connection.execute(switched)).one_or_none()


async def replace_temporary(connection: AsyncConnection, sub: str, proof: str, password: str) -> Row | None:
    """The active account, whose password was the temporary one of this digest and is now `password`, hashed."""
    found = await active_account(connection, sub)
    if found is None or not found.temporary or model.digest(found.password) != proof:
        return None
    which = account.c.sub == sub, account.c.password == found.password
    replaced = update(account).where(*which).values(password=password, temporary=False).returning(account)
    return (await connection.execute(replaced)).one_or_none()


async def tenants_of(connection: AsyncConnection, sub: str) -> list[str]:
    """The account's own tenant first, then those it is a member of."""
    own = select(account.c.tenant, text("0")).where(account.c.sub == sub)
    others = select(membership.c.tenant, text("1")).where(membership.c.sub == sub)
    return list(dict.fromkeys(await connection.scalars(own.union_all(others).order_by(text("2, 1")))))


async def add_member(connection: AsyncConnection, sub: str, tenant: str) -> None:
    await connection.execute(upsert(membership).values(sub=sub, tenant=tenant).on_conflict_do_nothing())


async def drop_member(connection: AsyncConnection, sub: str, tenant: str) -> None:
    await connection.execute(delete(membership).where(membership.c.sub == sub, membership.c.tenant == tenant))


async def take_one_time(connection: AsyncConnection, token: str) -> Row | None:
    """The active account that the one-time token admits; the token is gone afterwards."""
    taken = (
        update(account)
        .where(account.c.one_time == model.digest(token), account.c.active)
        .values(one_time=None)
        .returning(account)
    )
    return (await connection.execute(taken)).one_or_none()


async def find_client(connection: AsyncConnection, client_id: str) -> Row | None:
    return (await connection.execute(select(client).where(client.c.client_id == client_id))).one_or_none()


async def add_client(connection: AsyncConnection, **values: object) -> bool:
    """Whether the client is new; an existing one is left as it is."""
    added = upsert(client).values(**values).on_conflict_do_nothing().returning(client.c.client_id)
    return await connection.scalar(added) is not None


async def put_client(connection: AsyncConnection, **values: object) -> None:
    """Register the client, or replace its registration."""
    statement = upsert(client).values(**values)
    await connection.execute(statement.on_conflict_do_update(index_elements=["client_id"], set_=values))


async def keep_client(connection: AsyncConnection, client_id: str, tenant: str, **values: object) -> bool:
    """Whether the client is now registered so; not when it is another tenant's."""
    kept = (
        upsert(client)
        .values(client_id=client_id, tenant=tenant, **values)
        .on_conflict_do_update(index_elements=["client_id"], set_=values, where=client.c.tenant == tenant)
        .returning(client.c.client_id)
    )
    return await connection.scalar(kept) is not None


async def remove_client(connection: AsyncConnection, client_id: str, tenant: str) -> bool:
    """Whether the tenant had it. Its codes and refresh tokens go with it."""
    removed = delete(client).where(client.c.client_id == client_id, client.c.tenant == tenant)
    if await connection.scalar(removed.returning(client.c.client_id)) is None:
        return False
    for table in (session_client, authorization_code, refresh_token):
        await connection.execute(delete(table).where(table.c.client_id == client_id))
    return True


async def add_login(connection: AsyncConnection, cookie: str, **values: object) -> Row:
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
class Ended:
    """A session that is over, and a client that took part in it and wants to be told at `uri`."""

    sid: str
    sub: str
    client_id: str
    uri: str


async def take_part(connection: AsyncConnection, sid: str, client_id: str) -> None:
    """The client has got a code from this session."""
    await connection.execute(upsert(session_client).values(sid=sid, client_id=client_id).on_conflict_do_nothing())


async def end_login(connection: AsyncConnection, sid: str) -> list[Ended]:
    """Forget a session with every code and refresh token that came from it. Gives whom to tell."""
    return await _end(connection, login_session.c.sid == sid, {"sid": sid})


async def end_all_of(connection: AsyncConnection, sub: str) -> list[Ended]:
    """Forget every session, code and refresh token of an account. Gives whom to tell."""
    return await _end(connection, login_session.c.sub == sub, {"sub": sub})


async def _end(connection: AsyncConnection, which: ColumnElement[bool], place: dict[str, str]) -> list[Ended]:
    query = (
        select(login_session.c.sid, login_session.c.sub, client.c.client_id, client.c.backchannel_logout_uri)
        .join(session_client, session_client.c.sid == login_session.c.sid)
        .join(client, client.c.client_id == session_client.c.client_id)
        .where(which, client.c.backchannel_logout_uri.is_not(None))
    )
    ended = [Ended(*row) for row in await connection.execute(query)]
    ids = select(login_session.c.sid).where(which)
    await connection.execute(delete(session_client).where(session_client.c.sid.in_(ids)))
    ((name, value),) = place.items()
    for table in (login_session, authorization_code, refresh_token):
        await connection.execute(delete(table).where(table.c[name] == value))
    return ended


async def add_code(connection: AsyncConnection, code: str, **values: object) -> None:
    await connection.execute(insert(authorization_code).values(code=model.digest(code), **values))


async def find_code(connection: AsyncConnection, code: str) -> Row | None:
    """The code, with its family locked until the transaction ends: of two redeemers the second sees it used."""
    return await _find_in_family(connection, authorization_code, authorization_code.c.code == model.digest(code))


async def use_code(connection: AsyncConnection, code: str) -> None:
    query = update(authorization_code).where(authorization_code.c.code == model.digest(code))
    await connection.execute(query.values(used=True))


async def add_refresh(connection: AsyncConnection, token: str, **values: object) -> None:
    await connection.execute(insert(refresh_token).values(token=model.digest(token), **values))


async def find_refresh(connection: AsyncConnection, token: str) -> Row | None:
    """The refresh token, with its family locked until the transaction ends: of two users the second sees it used."""
    return await _find_in_family(connection, refresh_token, refresh_token.c.token == model.digest(token))


async def use_refresh(connection: AsyncConnection, token: str) -> None:
    query = update(refresh_token).where(refresh_token.c.token == model.digest(token))
    await connection.execute(query.values(used=True))


async def _find_in_family(connection: AsyncConnection, table: Table, matches: ColumnElement[bool]) -> Row | None:
    # Locking the row alone would let a successor, not yet committed, outlive the revocation of its family.
    family = await connection.scalar(select(table.c.family).where(matches))
    if family is None:
        return None
    await connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(family))))
    return (await connection.execute(select(table).where(matches))).one_or_none()


async def revoke_family(connection: AsyncConnection, family: str) -> None:
    await connection.execute(delete(refresh_token).where(refresh_token.c.family == family))


async def purge(connection: AsyncConnection, now: datetime) -> None:
    """Forget what has expired."""
    expired = select(login_session.c.sid).where(login_session.c.expires_at <= now)
    await connection.execute(delete(session_client).where(session_client.c.sid.in_(expired)))
    for table in (login_session, authorization_code, refresh_token):
        await connection.execute(delete(table).where(table.c.expires_at <= now))
