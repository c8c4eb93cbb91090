"""Registered clients."""

from sqlalchemy import Row, delete, func, select
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from dev_idp.store.tables import authorization_code, client, refresh_token, session_client


async def find_client(connection: AsyncConnection, client_id: str) -> Row | None:
    """The registration of a client; None when it is not registered."""
    return (await connection.execute(select(client).where(client.c.client_id == client_id))).one_or_none()


async def add_client(connection: AsyncConnection, **values: object) -> bool:
    """Inserts a client. False when its id exists, whose registration then stays as it is."""
    added = upsert(client).values(**values).on_conflict_do_nothing().returning(client.c.client_id)
    return await connection.scalar(added) is not None


async def upsert_client(connection: AsyncConnection, **values: object) -> None:
    """Registers the client, or replaces its registration."""
    statement = upsert(client).values(**values)
    await connection.execute(statement.on_conflict_do_update(index_elements=["client_id"], set_=values))


async def upsert_tenant_client(connection: AsyncConnection, client_id: str, tenant: str, **values: object) -> bool:
    """Registers or updates a client of the tenant. False when the client id is another tenant's."""
    upserted = (
        upsert(client)
        .values(client_id=client_id, tenant=tenant, **values)
        .on_conflict_do_update(index_elements=["client_id"], set_=values, where=client.c.tenant == tenant)
        .returning(client.c.client_id)
    )
    return await connection.scalar(upserted) is not None


async def list_public_redirect_uris(connection: AsyncConnection) -> list[str]:
    """The redirect URIs of all public clients."""
    uris = select(func.unnest(client.c.redirect_uris)).where(client.c.secret.is_(None))
    return list((await connection.execute(uris)).scalars())


async def remove_client(connection: AsyncConnection, client_id: str, tenant: str) -> bool:
    """Deletes a tenant's client with its codes and refresh tokens. False when the tenant has no such client."""
    removed = delete(client).where(client.c.client_id == client_id, client.c.tenant == tenant)
    if await connection.scalar(removed.returning(client.c.client_id)) is None:
        return False
    for table in (session_client, authorization_code, refresh_token):
        await connection.execute(delete(table).where(table.c.client_id == client_id))
    return True
