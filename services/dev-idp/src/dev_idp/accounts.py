"""Creates accounts and clients without HTTP, for the composition root and commands. Each call is one transaction."""

from collections.abc import Sequence

from contracts.ids import new_id
from sqlalchemy.ext.asyncio import AsyncEngine

from dev_idp import model, passwords, store


async def ensure_account(
    engine: AsyncEngine,
    username: str,
    password: str | None,
    tenant: str,
    sub: str | None = None,
    *,
    admin: bool = False,
    display_name: str | None = None,
    listed: bool = False,
) -> str:
    """Creates the account, or updates tenant, name and flags of an existing one. Returns its `sub`.

    Password, `sub` and `active` of an existing account stay, because a restart must not undo what people changed. `listed`
    accounts appear on the login page of a provider created with `demo=True`. Raises ValueError when another account has
    the `sub`.
    """
    values = {"tenant": tenant, "admin": admin, "display_name": display_name or username, "listed": listed}
    async with engine.begin() as connection:
        if found := await store.change_account(connection, username, **values):
            return found.sub
    hashed = None if password is None else await passwords.compute_hash(password)
    async with engine.begin() as connection:
        await store.add_account(connection, sub=sub or str(new_id()), username=username, password=hashed, **values)
        added = await store.find_account_by_name(connection, username)
    if added is None:
        raise ValueError(f"the sub {sub} already belongs to another account")
    return added.sub


async def ensure_client(
    engine: AsyncEngine,
    client_id: str,
    secret: str | None,
    redirect_uris: Sequence[str],
    tenant: str | None,
    grants: Sequence[str],
    *,
    post_logout_redirect_uris: Sequence[str] | None = None,
    backchannel_logout_uri: str | None = None,
) -> None:
    """Registers the client or replaces its registration. Without a secret it is public and must use PKCE.

    After a logout the browser may be redirected to `post_logout_redirect_uris`, by default the redirect URIs. Raises
    ValueError when the client may not use one of the grants.
    """
    if problems := model.find_client_problems(client_id, confidential=secret is not None, tenant=tenant, grants=grants):
        raise ValueError("; ".join(problems))
    hashed = None if secret is None else await passwords.compute_hash(secret)
    async with engine.begin() as connection:
        await store.upsert_client(
            connection,
            client_id=client_id,
            secret=hashed,
            redirect_uris=list(redirect_uris),
            post_logout_redirect_uris=list(
                redirect_uris if post_logout_redirect_uris is None else post_logout_redirect_uris
            ),
            tenant=tenant,
            grants=list(grants),
            backchannel_logout_uri=backchannel_logout_uri,
        )


async def issue_one_time(engine: AsyncEngine, username: str) -> str:
    """Issues a token that signs the account in once, in place of an earlier one. Raises LookupError for an unknown username."""
    token = model.new_secret()
    async with engine.begin() as connection:
        if await store.change_account(connection, username, one_time=model.digest(token)) is None:
            raise LookupError(f"there is no account {username}")
    return token


async def has_password(engine: AsyncEngine, username: str) -> bool:
    """Whether the account can sign in by password; False also for an unknown username."""
    async with engine.connect() as connection:
        found = await store.find_account_by_name(connection, username)
    return found is not None and found.password is not None
