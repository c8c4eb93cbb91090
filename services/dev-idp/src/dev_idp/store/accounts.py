"""Accounts, and the tenants that they may sign in to."""

from collections.abc import Sequence

from sqlalchemy import Row, delete, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from dev_idp import model
from dev_idp.store.tables import account, membership


async def find_account_by_name(connection: AsyncConnection, username: str) -> Row | None:
    """The account, also a deactivated one; None when there is none."""
    return (await connection.execute(select(account).where(account.c.username == username))).one_or_none()


async def find_active_account(connection: AsyncConnection, sub: str) -> Row | None:
    """The account with this `sub`, unless it is deactivated."""
    return (await connection.execute(select(account).where(account.c.sub == sub, account.c.active))).one_or_none()


async def list_listed_accounts(connection: AsyncConnection) -> Sequence[Row]:
    """Username and display name of the active accounts that the login page lists, by username."""
    query = select(account.c.username, account.c.display_name).where(account.c.listed, account.c.active)
    return (await connection.execute(query.order_by(account.c.username))).all()


async def add_account(connection: AsyncConnection, **values: object) -> bool:
    """Inserts an account. False when the username or the sub exists, which then stays as it is."""
    added = upsert(account).values(**values).on_conflict_do_nothing().returning(account.c.sub)
    return await connection.scalar(added) is not None


async def change_account(connection: AsyncConnection, username: str, **values: object) -> Row | None:
    """Updates columns of an account. Returns its row; None when there is none."""
    changed = update(account).where(account.c.username == username).values(**values).returning(account)
    return (await connection.execute(changed)).one_or_none()


async def upsert_account(
    connection: AsyncConnection, username: str, tenant: str, sub: str, **values: object
) -> Row | None:
    """Inserts the account with `sub`, or updates the tenant's own. Returns its row; None when it is another tenant's."""
    fixed = {"sub": sub, "username": username, "tenant": tenant, "admin": False, "listed": False}
    upserted = (
        upsert(account)
        .values(**fixed, **values)
        .on_conflict_do_update(index_elements=["username"], set_=values, where=account.c.tenant == tenant)
        .returning(account)
    )
    return (await connection.execute(upserted)).one_or_none()


async def set_account_active(
    connection: AsyncConnection, username: str, *, active: bool, tenant: str | None
) -> Row | None:
    """Sets `active`. Returns the account's row; None when there is none, or none of this tenant."""
    which = [account.c.username == username, *([account.c.tenant == tenant] if tenant else [])]
    switched = update(account).where(*which).values(active=active).returning(account)
    return (await connection.execute(switched)).one_or_none()


async def replace_temporary(connection: AsyncConnection, sub: str, proof: str, password: str) -> Row | None:
    """Replaces a temporary password, whose hash has the digest `proof`, by the hash `password`. Returns the account's row; None
    when the temporary one is no longer valid."""
    found = await find_active_account(connection, sub)
    if found is None or not found.temporary or model.digest(found.password) != proof:
        return None
    which = account.c.sub == sub, account.c.password == found.password
    replaced = update(account).where(*which).values(password=password, temporary=False).returning(account)
    return (await connection.execute(replaced)).one_or_none()


async def list_tenants(connection: AsyncConnection, sub: str) -> list[str]:
    """The account's own tenant first, then those it is a member of, by slug."""
    own = select(account.c.tenant, text("0")).where(account.c.sub == sub)
    others = select(membership.c.tenant, text("1")).where(membership.c.sub == sub)
    return list(dict.fromkeys(await connection.scalars(own.union_all(others).order_by(text("2, 1")))))


async def add_member(connection: AsyncConnection, sub: str, tenant: str) -> None:
    """Lets the account sign in to a further tenant. Repeating it changes nothing."""
    await connection.execute(upsert(membership).values(sub=sub, tenant=tenant).on_conflict_do_nothing())


async def remove_member(connection: AsyncConnection, sub: str, tenant: str) -> None:
    """Removes the account's membership of a further tenant, if it has one."""
    await connection.execute(delete(membership).where(membership.c.sub == sub, membership.c.tenant == tenant))


async def redeem_one_time_token(connection: AsyncConnection, token: str) -> Row | None:
    """Deletes a one-time token. Returns the active account that it belonged to; None when there is none."""
    redeemed = (
        update(account)
        .where(account.c.one_time == model.digest(token), account.c.active)
        .values(one_time=None)
        .returning(account)
    )
    return (await connection.execute(redeemed)).one_or_none()
