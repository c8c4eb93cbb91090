"""The schema brought up to date at every start."""

from contracts import ALL_SERVICES
from joserfc.jwk import RSAKey
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.schema import CreateSchema

from dev_idp import model
from dev_idp.store.clients import add_client, upsert_client
from dev_idp.store.tables import metadata, signing_key

_ADDED_COLUMNS = (
    ("client", "backchannel_logout_uri text"),
    ("account", "email text"),
    ("account", "temporary boolean NOT NULL DEFAULT false"),
)


async def ensure_schema(engine: AsyncEngine) -> None:
    """Create what is missing: schema, tables, signing key, the client of the command line. Safe to call at every start."""
    async with engine.begin() as connection:
        # Two processes that start at once would both find nothing and both create.
        await connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('oidc.prepare'))"))
        await connection.execute(CreateSchema("oidc", if_not_exists=True))
        await connection.run_sync(metadata.create_all)
        # A database from before these columns.
        for table, column in _ADDED_COLUMNS:
            await connection.execute(text(f"ALTER TABLE oidc.{table} ADD COLUMN IF NOT EXISTS {column}"))
        if not await signing_keys(connection):
            key = RSAKey.generate_key(2048, auto_kid=True)
            await connection.execute(insert(signing_key).values(kid=key.kid, jwk=key.as_dict(private=True)))
        await upsert_client(
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
        await upsert_client(
            connection,
            client_id=model.DOCS_CLIENT,
            secret=None,
            redirect_uris=[f"/api/{service}/v1/docs/oauth2-redirect" for service in ALL_SERVICES],
            post_logout_redirect_uris=[],
            tenant=None,
            grants=["authorization_code"],
        )


async def signing_keys(connection: AsyncConnection) -> list[dict]:
    """Private JWKs, the newest, which signs, first."""
    return list(await connection.scalars(select(signing_key.c.jwk).order_by(signing_key.c.created_at.desc())))
