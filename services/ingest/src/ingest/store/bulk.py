"""Many rows of several tables in one statement: they travel as JSON, which costs less than a placeholder a value."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import OperationalError
from storage import Session

_DIALECT = postgresql.dialect()
_encode = msgspec.json.encode


@dataclass(frozen=True)
class InsertSpec:
    """An INSERT of rows, in their order. `shared`: columns that are the same in all rows, parameters of the statement.
    `then`: an ON CONFLICT or RETURNING clause."""

    table: Table
    columns: tuple[str, ...]
    shared: tuple[str, ...] = ()
    suffix_sql: str = ""

    def sql(self) -> str:
        name, columns = self.table.name, ", ".join(self.columns)
        record = ", ".join(f"{column} {self._type(column)}" for column in self.columns)
        given = "".join(f"cast(:{column} AS {self._type(column)}), " for column in self.shared)
        return (
            f"INSERT INTO {name} ({', '.join((*self.shared, *self.columns))}) SELECT {given}{columns} FROM "  # noqa: S608  names of our own tables only
            f"rows from (json_to_recordset(cast(:rows_of_{name} AS json)) AS ({record})) "
            f"WITH ORDINALITY AS r({columns}, ordinality) ORDER BY ordinality {self.suffix_sql}"
        )

    def _type(self, column: str) -> str:
        return self.table.c[column].type.compile(_DIALECT)


@dataclass
class MultiInsert:
    """Rows for several tables, each named once, that one statement writes together."""

    rows: dict[InsertSpec, Sequence[dict[str, Any]]] = field(default_factory=dict[InsertSpec, Sequence[dict[str, Any]]])

    def add(self, spec: InsertSpec, rows: Sequence[dict[str, Any]]) -> None:
        if rows:
            self.rows[spec] = rows

    async def write(self, session: Session, **shared: Any) -> list[dict[str, Any]]:
        """Writes the rows, and returns what the INSERT that was added last returns. The session's tenant and time are
        shared by all rows without being named."""
        if not self.rows:
            return []
        wanted = {"tenant": session.tenant, "known_at": session.now, "since": session.now, **shared}
        given = {name: wanted[name] for into in self.rows for name in into.shared}
        rows = {f"rows_of_{into.table.name}": _encode(rows).decode() for into, rows in self.rows.items()}
        return await session.rows(_statement(tuple(self.rows)), given | rows)


@lru_cache(maxsize=256)
def _statement(tables: tuple[InsertSpec, ...]) -> str:
    *others, last = tables
    beside = ", ".join(f"into_{each.table.name} AS ({each.sql()})" for each in others)
    return (f"WITH {beside} " if beside else "") + last.sql()


async def insert_rows(session: Session, spec: InsertSpec, rows: Sequence[dict[str, Any]], **shared: Any) -> None:
    batch = MultiInsert()
    batch.add(spec, rows)
    await batch.write(session, **shared)


def to_pg_array(values: Iterable[str | int]) -> str:
    """An array as PostgreSQL reads it: the driver takes a microsecond for each element of a list."""
    return "{" + ",".join([_element(value) for value in values]) + "}"


def _element(value: str | int) -> str:
    return str(value) if isinstance(value, int) else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def is_deadlock(error: Exception) -> bool:
    """Whether the database gave up this transaction because two waited for each other; it may be tried again."""
    return isinstance(error, OperationalError) and getattr(error.orig, "sqlstate", None) == "40P01"
