"""SQL text sent by the driver's own cursor, which costs a fifth of what the engine's `execute` does."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

import psycopg
from psycopg.rows import TupleRow
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import psycopg as engine_dialect
from sqlalchemy.engine.base import ExceptionContextImpl
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

_dialect = engine_dialect.dialect(paramstyle="numeric_dollar")

_COPIED_ROWS_PER_STEP = 500
"""Rows of a COPY that are encoded before other tasks may run."""


class DriverConnection:
    """Runs SQL text with `:name` parameters on the driver connection below an engine's connection, in its transaction.

    Raises the engine's errors. Listeners of the engine's `before_cursor_execute`, `after_cursor_execute` and
    `handle_error`, such as tracing, are called as by the engine, with an object of their own as the execution context; a
    statement that they return is ignored.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._has_listeners = bool(connection.engine.sync_engine.dispatch.before_cursor_execute)
        self._cursor: psycopg.AsyncRawCursor[TupleRow] | None = None

    async def run(self, sql: str, parameters: Mapping[str, Any] | None) -> tuple[list[str], list[TupleRow], int]:
        """The columns' names, the rows, and how many rows the statement returned or changed."""
        native, names = _compile_native(sql)
        async with self._open_cursor(sql) as cursor:
            await cursor.execute(native, [parameters[name] for name in names] if parameters else None)
            result = cursor.pgresult
            if result is None or not result.nfields:
                return [], [], cursor.rowcount
            columns = [(result.fname(number) or b"").decode() for number in range(result.nfields)]
            return columns, await cursor.fetchall(), cursor.rowcount

    async def copy_rows(
        self, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], types: Sequence[str] | None = None
    ) -> None:
        """COPY into a table without row-level security (PostgreSQL refuses it into one with it). With `types`, PostgreSQL's
        names of the columns' types, rows travel in binary, at half the cost; without, as text that PostgreSQL parses."""
        sql = f"COPY {table} ({', '.join(columns)}) FROM STDIN" + (" (FORMAT binary)" if types else "")
        async with self._open_cursor(sql) as cursor, cursor.copy(sql.encode()) as copy:
            if types:
                copy.set_types(types)
            for number, row in enumerate(rows, 1):
                await copy.write_row(row)  # waits only for a socket that is full
                if number % _COPIED_ROWS_PER_STEP == 0:
                    await asyncio.sleep(0)

    @asynccontextmanager
    async def _open_cursor(self, sql: str) -> AsyncGenerator[psycopg.AsyncRawCursor[TupleRow]]:
        """The driver's cursor for one statement; its errors become those of the engine."""
        if self._cursor is None:
            driver: Any = (await self._connection.get_raw_connection()).driver_connection
            self._cursor = psycopg.AsyncRawCursor(driver)
        context = self._before_execute(sql) if self._has_listeners else None
        try:
            yield self._cursor
        except psycopg.Error as error:
            wrapped = DBAPIError.instance(sql, None, error, psycopg.Error, hide_parameters=True)
            if context is not None:
                self._on_error(sql, error, context)
            if self._cursor.connection.closed:
                await self._connection.exec_driver_sql("SELECT")  # fails too, so that the engine invalidates its pool
            raise wrapped from error
        if context is not None:
            self._after_execute(sql, context)

    # The engine's listeners

    def _before_execute(self, sql: str) -> Any:
        connection, context = self._connection.sync_connection, SimpleNamespace()
        for listener in self._connection.engine.sync_engine.dispatch.before_cursor_execute:
            listener(connection, self._cursor, sql, {}, context, False)
        return context

    def _after_execute(self, sql: str, context: Any) -> None:
        connection = self._connection.sync_connection
        for listener in self._connection.engine.sync_engine.dispatch.after_cursor_execute:
            listener(connection, self._cursor, sql, {}, context, False)

    def _on_error(self, sql: str, error: psycopg.Error, context: Any) -> None:
        engine, connection = self._connection.engine.sync_engine, self._connection.sync_connection
        # Not a disconnect: the engine finds out about that by a statement of its own.
        failure = ExceptionContextImpl(
            error, None, engine, engine.dialect, connection, None, sql, {}, context, False, False, False
        )
        for listener in engine.dialect.dispatch.handle_error:
            listener(failure)


@lru_cache(maxsize=1024)
def _compile_native(sql: str) -> tuple[bytes, tuple[str, ...]]:
    """The statement with PostgreSQL's own `$1`, and the names in their order."""
    compiled = text(sql).compile(dialect=_dialect)
    return str(compiled).encode(), tuple(compiled.positiontup or ())
