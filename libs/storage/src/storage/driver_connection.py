"""SQL text straight to the driver: a statement costs a fifth there of what it does by way of the engine."""

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.rows import TupleRow
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import psycopg as engine_dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_END = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_dialect = engine_dialect.dialect(paramstyle="numeric_dollar")


class DriverConnection:
    """Runs SQL text with `:name` parameters on the driver's connection below an engine's, within its transaction.

    Errors are those of the engine. Whoever watches the engine's statements, such as traces, sees them all: then they
    take the way through it.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._watched = bool(connection.engine.sync_engine.dispatch.before_cursor_execute)
        self._cursor: psycopg.AsyncRawCursor[TupleRow] | None = None

    async def run(self, sql: str, parameters: Mapping[str, Any] | None) -> tuple[list[str], list[TupleRow], int]:
        """The columns' names, the rows, and how many rows the statement returned or touched."""
        if self._watched:
            result = await self._connection.execute(text(sql), parameters)
            rows = [tuple(row) for row in result] if result.returns_rows else []
            return list(result.keys()) if result.returns_rows else [], rows, result.rowcount
        native, names = _compile_native(sql)
        async with self._open_cursor(sql) as cursor:
            await cursor.execute(native, [parameters[name] for name in names] if parameters else None)
            result = cursor.pgresult
            if result is None or not result.nfields:
                return [], [], cursor.rowcount
            columns = [(result.fname(number) or b"").decode() for number in range(result.nfields)]
            return columns, await cursor.fetchall(), cursor.rowcount

    async def copy_rows(self, into: str, rows: Iterable[bytes]) -> None:
        """COPY into a table and its columns that no row-level security walls off; `rows` are those of `encode_copy_row`."""
        sql = f"COPY {into} FROM STDIN (FORMAT binary)"
        async with self._open_cursor(sql) as cursor, cursor.copy(sql.encode()) as copy:
            await copy.write(b"".join((_COPY_HEADER, *rows, _COPY_END)))

    @asynccontextmanager
    async def _open_cursor(self, sql: str) -> AsyncGenerator[psycopg.AsyncRawCursor[TupleRow]]:
        """The driver's cursor; its errors become those of the engine."""
        if self._cursor is None:
            driver: Any = (await self._connection.get_raw_connection()).driver_connection
            self._cursor = psycopg.AsyncRawCursor(driver)
        try:
            yield self._cursor
        except psycopg.Error as error:
            if self._cursor.connection.closed:
                await self._connection.exec_driver_sql("SELECT")  # it fails too, and the engine lets go of its pool
            raise DBAPIError.instance(sql, None, error, psycopg.Error, hide_parameters=True) from error


def encode_copy_row(*fields: bytes | None) -> bytes:
    """A row as COPY takes it; each field is in the binary format of its type."""
    sized = [_NULL if field is None else len(field).to_bytes(4, "big") + field for field in fields]
    return b"".join((len(fields).to_bytes(2, "big"), *sized))


@lru_cache(maxsize=1024)
def _compile_native(sql: str) -> tuple[bytes, tuple[str, ...]]:
    """The statement with PostgreSQL's own `$1`, and the names in their order."""
    compiled = text(sql).compile(dialect=_dialect)
    return str(compiled).encode(), tuple(compiled.positiontup or ())
