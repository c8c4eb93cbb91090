"""The rows that the provider needs at every start."""

from contracts import ALL_SERVICES
from joserfc.jwk import RSAKey
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from storage import lock_async_connection

from dev_idp import model
from dev_idp.store.clients import add_client, upsert_client
from dev_idp.store.tables import signing_key


async def ensure_seed_rows(engine: AsyncEngine) -> None:
    """Creates what is missing: signing key, built-in clients. Idempotent; called at every start."""
    async with engine.begin() as connection:
        # Serialises two processes that start at once.
        await lock_async_connection(connection, "dev-idp seed rows")
        if not await load_signing_keys(connection):
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


async def load_signing_keys(connection: AsyncConnection) -> list[dict]:
    """Private JWKs, the newest first: that one signs."""
    return list(await connection.scalars(select(signing_key.c.jwk).order_by(signing_key.c.created_at.desc())))
