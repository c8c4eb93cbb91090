"""Rows of any table, made up from the types of its columns."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import psycopg

_COLUMNS = """
SELECT relname, attname, format_type(atttypid, NULL) FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
WHERE relnamespace = %s::regnamespace AND relkind IN ('r', 'p') AND relname NOT IN ('alembic_version', 'storage_version')
AND attnum > 0 AND NOT attisdropped AND attidentity = '' AND attgenerated = '' ORDER BY 1, attnum
"""


def fill(connection: psycopg.Connection[Any], schema: str, tenants: Sequence[str]) -> None:
    """Two rows of each tenant in every table, or one where that is all it can have; a value in every column."""
    connection.execute("SET session_replication_role = replica")  # references need not lead anywhere
    tables: dict[str, dict[str, str]] = {}
    for table, column, type_ in connection.execute(_COLUMNS, [schema]).fetchall():
        tables.setdefault(table, {})[column] = type_
    for table, columns in tables.items():
        for tenant in tenants:
            for number in (1, 2):
                row = {
                    column: tenant if column == "tenant" else _value(type_, f"{column} {number} of {tenant}", number)
                    for column, type_ in columns.items()
                }
                names = ", ".join(f'"{column}"' for column in row)
                values = ", ".join(["%s"] * len(row))
                connection.execute(
                    f'INSERT INTO {schema}."{table}" ({names}) VALUES ({values}) ON CONFLICT DO NOTHING',  # pyright: ignore
                    list(row.values()),
                )


def _value(type_: str, text: str, number: int) -> Any:
    if type_.endswith("[]"):
        return [_value(type_[:-2], text, number)]
    values: dict[str, Any] = {
        "text": text,
        "uuid": uuid5(NAMESPACE_URL, text),
        "smallint": number,
        "integer": number,
        "bigint": number,
        "numeric": number,
        "boolean": True,
        "date": f"2026-11-0{number}",
        "timestamp with time zone": f"2026-11-0{number}T08:00:00Z",
        "json": json.dumps({"n": text}),
        "jsonb": json.dumps({"n": text}),
        "bytea": text.encode(),
    }
    if type_ not in values:
        raise NotImplementedError(f"Say in {__file__} what a value of the type `{type_}` looks like.")
    return values[type_]


def rows_of(connection: psycopg.Connection[Any], schema: str) -> dict[str, list[dict[str, Any]]]:
    """All rows by table."""
    tables = dict.fromkeys(table for table, *_ in connection.execute(_COLUMNS, [schema]).fetchall())
    return {
        table: [row for (row,) in connection.execute(f'SELECT to_jsonb(t) FROM {schema}."{table}" t')]  # pyright: ignore
        for table in tables
    }
