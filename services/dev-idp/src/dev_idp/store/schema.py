"""Creates and updates the schema at every start."""

from contracts import ALL_SERVICES
from joserfc.jwk import RSAKey
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.schema import CreateSchema
from storage import lock_async_connection

from dev_idp import model
from dev_idp.store.clients import add_client, upsert_client
from dev_idp.store.tables import metadata, signing_key

_ADDED_COLUMNS = (
    ("client", "backchannel_logout_uri text"),
    ("account", "email text"),
    ("account", "temporary boolean NOT NULL DEFAULT false"),
)


async def ensure_schema(engine: AsyncEngine) -> None:
    """Creates what is missing: schema, tables, signing key, built-in clients. Idempotent; called at every start."""
    async with engine.begin() as connection:
        # Serialises two processes that start at once.
        await lock_async_connection(connection, "dev-idp schema")
        await connection.execute(CreateSchema("oidc", if_not_exists=True))
        await connection.run_sync(metadata.create_all)
        # For databases created before these columns.
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
        # Own addresses are stored relative to the issuer, which may differ at the next start.
        # An existing registration stays as it is.
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
    """Private JWKs, the newest first: that one signs."""
    return list(await connection.scalars(select(signing_key.c.jwk).order_by(signing_key.c.created_at.desc())))
