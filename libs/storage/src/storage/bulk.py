"""INSERT of many rows in one statement, written once.

SQLAlchemy does not cache what `postgresql.insert` compiles to, and compiles it again each time: that costs more than the
database does. These are texts, made when a module is loaded; the rows come as one JSON parameter.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

_DIALECT = postgresql.dialect()


def build_insert(table: Table, columns: Iterable[str] | None = None, *, suffix_sql: str = "") -> str:
    """Inserts `rows_of(…)` into these columns (by default all) in the order given; what a row does not name is null.
    `then`: what follows, such as ON CONFLICT or RETURNING."""
    names = [column.name for column in table.columns] if columns is None else list(columns)
    typed = ", ".join(f"{_quoted(name)} {table.columns[name].type.compile(_DIALECT)}" for name in names)
    into = ", ".join(map(_quoted, names))
    return (
        f"INSERT INTO {table.name} ({into}) SELECT {into} "  # noqa: S608
        f"FROM json_to_recordset(cast(:rows AS json)) AS r({typed}) {suffix_sql}"
    )


def build_on_conflict_update(table: Table, columns: Iterable[str]) -> str:
    """For `then`: a row whose primary key is there already gets these columns instead."""
    keys = ", ".join(_quoted(column.name) for column in table.primary_key)
    changed = ", ".join(f"{_quoted(name)} = excluded.{_quoted(name)}" for name in columns)
    return f"ON CONFLICT ({keys}) DO UPDATE SET {changed}"


def encode_rows_parameter(rows: Iterable[Mapping[str, Any]], **constant_columns: Any) -> dict[str, str]:
    """The parameter of `insert_rows`; `same`: columns that are the same in all rows."""
    return {"rows": to_json([{**constant_columns, **row} for row in rows]).decode()}


def _quoted(name: str) -> str:
    return _DIALECT.identifier_preparer.quote(name)
