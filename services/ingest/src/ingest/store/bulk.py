"""Many rows in one statement: they travel as one JSON parameter, which costs less than a placeholder a value."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import OperationalError
from storage import Session

_DIALECT = postgresql.dialect()
_encode = msgspec.json.encode


def insert_statement(table: Table, columns: Sequence[str], conflict: str = "") -> str:
    """INSERT of what jsonb_to_recordset makes of `:rows`, in the given order. `conflict`: an ON CONFLICT clause."""
    typed = ", ".join(f"{name} {table.c[name].type.compile(_DIALECT)}" for name in columns)
    names = ", ".join(columns)
    return (
        f"INSERT INTO {table.name} ({names}) SELECT {names} FROM "  # noqa: S608  names of our own tables only
        f"rows from (jsonb_to_recordset(cast(:rows AS jsonb)) AS ({typed})) WITH ORDINALITY AS r({names}, ordinality) "
        f"ORDER BY ordinality {conflict}"
    )


async def insert_rows(session: Session, statement: str, rows: Sequence[dict[str, Any]]) -> None:
    if rows:
        await session.execute(statement, {"rows": _encode(rows).decode()})


def is_deadlock(error: Exception) -> bool:
    """Whether the database gave up this transaction because two waited for each other; it may be tried again."""
    return isinstance(error, OperationalError) and getattr(error.orig, "sqlstate", None) == "40P01"
