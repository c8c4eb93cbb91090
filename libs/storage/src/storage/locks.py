"""Advisory locks of PostgreSQL: one way to derive a lock's number from its name, for every lock of libraries and services.

A name is text that begins with the service, e.g. `kpi-engine models acme`; services share a database and must not share
locks by accident. `Session.lock_key`, `lock_keys` and `try_lock` add the service themselves. Transaction-level locks end
with the transaction; `Sessions.hold_lock` is session-level and ends with its block.
"""

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection


def lock_sql(name_sql: str, *, shared: bool = False, wait: bool = True, session_level: bool = False) -> str:
    """The SQL expression that takes the lock whose name the text expression `name_sql` gives, for use in statements that
    lock as a part of their work. Shared holders exclude exclusive ones only. Without `wait` its value is false when
    somebody else holds the lock."""
    function = (
        f"pg_{'' if wait else 'try_'}advisory_{'' if session_level else 'xact_'}lock{'_shared' if shared else ''}"
    )
    return f"{function}(hashtextextended({name_sql}, 0))"


_LOCK = f"SELECT {lock_sql('cast(:name AS text)')}"


def lock_connection(connection: Connection, name: str) -> None:
    """Takes an exclusive lock until the end of the connection's transaction; for migrations."""
    connection.execute(text(_LOCK), {"name": name})


async def lock_async_connection(connection: AsyncConnection, name: str) -> None:
    """As `lock_connection`, for work outside of a `Session`."""
    await connection.execute(text(_LOCK), {"name": name})
