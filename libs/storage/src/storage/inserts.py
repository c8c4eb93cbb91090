"""INSERT of many rows, of one table or several, in one statement: the one way in which services write rows in bulk.

The rows travel as one JSON parameter, which costs less than one placeholder per value. The statement is text, rendered
once per process: SQLAlchemy compiles `postgresql.insert` anew each time, which costs more than the database's work.
Binary values do not travel in JSON: write those with SQLAlchemy's `insert`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import msgspec
from pydantic_core import to_json
from sqlalchemy import Table
from sqlalchemy.dialects import postgresql

_DIALECT = postgresql.dialect()
# pydantic encodes what msgspec does not know, such as models.
_encode = msgspec.json.Encoder(enc_hook=lambda value: msgspec.Raw(to_json(value))).encode


@dataclass(frozen=True, eq=False)
class InsertSpec:
    """An INSERT of rows in their order. Create it once, as a constant of the module.

    `columns` are those that each row names; None means all but the constant ones. A column that a row does not name is
    NULL, even if it has a default. `constant_columns` have the same value in all rows, passed beside the rows.
    `where_sql` and `suffix_sql` (ON CONFLICT, RETURNING) are appended.
    """

    table: Table
    columns: tuple[str, ...] | None = None
    constant_columns: tuple[str, ...] = ()
    suffix_sql: str = ""
    where_sql: str = ""

    @cached_property
    def sql(self) -> str:
        """The statement. Its parameters are those of `parameters`."""
        every = tuple(column.name for column in self.table.columns)
        names = self.columns or tuple(name for name in every if name not in self.constant_columns)
        into = ", ".join(map(_quoted, (*self.constant_columns, *names)))
        columns = ", ".join(map(_quoted, names))
        record = ", ".join(f"{_quoted(name)} {self._type(name)}" for name in names)
        constants = "".join(f"cast(:{name} AS {self._type(name)}), " for name in self.constant_columns)
        return (
            f"INSERT INTO {_quoted(self.table.name)} ({into}) SELECT {constants}{columns} FROM "  # noqa: S608  names of our own tables only
            f"ROWS FROM (json_to_recordset(cast(:{self._rows_parameter} AS json)) AS ({record})) "
            f"WITH ORDINALITY AS r({columns}, ordinality) {self.where_sql} ORDER BY ordinality {self.suffix_sql}"
        )

    def parameters(self, rows: Iterable[Mapping[str, Any]], constants: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of `sql`. `constants` may hold more than `constant_columns`. Raises KeyError when one of those
        is missing."""
        return {name: constants[name] for name in self.constant_columns} | {self._rows_parameter: encode_rows(rows)}

    @cached_property
    def _rows_parameter(self) -> str:
        return f"rows_of_{self.table.name}"

    def _type(self, column: str) -> str:
        return self.table.columns[column].type.compile(_DIALECT)


@dataclass(slots=True)
class MultiInsert:
    """Rows of several tables that one statement inserts; each table has one spec. See `Session.insert_multi`."""

    rows: dict[InsertSpec, Sequence[Mapping[str, Any]]] = field(
        default_factory=dict[InsertSpec, Sequence[Mapping[str, Any]]]
    )

    def add(self, spec: InsertSpec, rows: Sequence[Mapping[str, Any]]) -> None:
        """Sets the rows of one table. Without rows its INSERT is left out."""
        if rows:
            self.rows[spec] = rows

    @property
    def sql(self) -> str:
        """The statement; it returns what the RETURNING clause of the spec added last returns."""
        return _multi_sql(tuple(self.rows))

    def parameters(self, constants: Mapping[str, Any]) -> dict[str, Any]:
        """The parameters of `sql`. Raises KeyError when a constant column of a spec is missing."""
        found: dict[str, Any] = {}
        for spec, rows in self.rows.items():
            found |= spec.parameters(rows, constants)
        return found

    def constant_columns(self) -> set[str]:
        """The constant columns of all specs."""
        return {name for spec in self.rows for name in spec.constant_columns}


@lru_cache(maxsize=256)
def _multi_sql(specs: tuple[InsertSpec, ...]) -> str:
    *others, last = specs
    ctes = ", ".join(f"into_{each.table.name} AS ({each.sql})" for each in others)
    return (f"WITH {ctes} " if ctes else "") + last.sql


def on_conflict_update(table: Table, columns: Iterable[str]) -> str:
    """A `suffix_sql`: a row whose primary key exists gets the new values of these columns."""
    keys = ", ".join(_quoted(column.name) for column in table.primary_key)
    changed = ", ".join(f"{_quoted(name)} = excluded.{_quoted(name)}" for name in columns)
    return f"ON CONFLICT ({keys}) DO UPDATE SET {changed}"


def encode_rows(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as JSON text, for `json_to_recordset` in statements of one's own, such as an UPDATE."""
    return _encode(list(rows)).decode()


def _quoted(name: str) -> str:
    return _DIALECT.identifier_preparer.quote(name)
