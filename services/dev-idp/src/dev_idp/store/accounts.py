"""Accounts, and the tenants they get into."""

from collections.abc import Sequence

from sqlalchemy import Row, delete, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from dev_idp import model
from dev_idp.store.tables import account, membership


async def find_account_by_name(connection: AsyncConnection, username: str) -> Row | None:
    return (await connection.execute(select(account).where(account.c.username == username))).one_or_none()


async def find_active_account(connection: AsyncConnection, sub: str) -> Row | None:
    return (await connection.execute(select(account).where(account.c.sub == sub, account.c.active))).one_or_none()


async def list_listed_accounts(connection: AsyncConnection) -> Sequence[Row]:
    query = select(account.c.username, account.c.display_name).where(account.c.listed, account.c.active)
    return (await connection.execute(query.order_by(account.c.username))).all()


async def add_account(connection: AsyncConnection, **values: object) -> bool:
    """Whether the account is new; an existing username or sub is left as it is."""
    added = upsert(account).values(**values).on_conflict_do_nothing().returning(account.c.sub)
    return await connection.scalar(added) is not None


async def change_account(connection: AsyncConnection, username: str, **values: object) -> Row | None:
    changed = update(account).where(account.c.username == username).values(**values).returning(account)
    return (await connection.execute(changed)).one_or_none()


async def upsert_account(
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


async def set_account_active(
    connection: AsyncConnection, username: str, *, active: bool, tenant: str | None
) -> Row | None:
    """The account, switched; None where there is none, or none of this tenant."""
    which = [account.c.username == username, *([account.c.tenant == tenant] if tenant else [])]
    switched = update(account).where(*which).values(active=active).returning(account)
    return (await connection.execute(switched)).one_or_none()


async def replace_temporary(connection: AsyncConnection, sub: str, proof: str, password: str) -> Row | None:
    """The active account, whose password was the temporary one of this digest and is now `password`, hashed."""
    found = await find_active_account(connection, sub)
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


async def remove_member(connection: AsyncConnection, sub: str, tenant: str) -> None:
    await connection.execute(delete(membership).where(membership.c.sub == sub, membership.c.tenant == tenant))


async def redeem_one_time_token(connection: AsyncConnection, token: str) -> Row | None:
    """The active account that the one-time token admits; the token is gone afterwards."""
    taken = (
        update(account)
        .where(account.c.one_time == model.digest(token), account.c.active)
        .values(one_time=None)
        .returning(account)
    )
    return (await connection.execute(taken)).one_or_none()
